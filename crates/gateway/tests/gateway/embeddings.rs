use serde_json::{Value, json};
use vouch_core::receipt::{Kind, Status, Tier, flags};
use vouch_store::Store;
use vouch_wire::openai::{EmbeddingsResponse, Vector};

use crate::{
    buyer::{Buyer, CHAT, EMBEDDINGS, Reply, SessionCall, chat, offer_at, post_at},
    harness::Harness,
};

async fn funded() -> (Harness, Buyer) {
    let harness = Harness::with_embedder().await;
    let buyer = Buyer::new(3);
    harness.chain.add(buyer.id(), 100_000);
    (harness, buyer)
}

fn texts(input: Value) -> Value {
    json!({ "model": "e", "input": input })
}

#[tokio::test]
async fn vectors_are_charged_by_input_receipted_and_verified() {
    let (harness, buyer) = funded().await;
    let body = texts(json!(["hello", "hi"]));
    let call = SessionCall::at(EMBEDDINGS, &harness, &buyer, body, 1, 500).await;
    let reply = call.reply(&harness).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let answer: EmbeddingsResponse = serde_json::from_value(reply.body.clone()).unwrap();
    assert_eq!((answer.object.as_str(), answer.data.len()), ("list", 2));
    assert_eq!(answer.data[1].embedding.numbers().unwrap(), [2.0, 209.0 / 7.0]);
    assert_eq!(answer.vouch.input_ids, [b"hello".map(u32::from).to_vec(), vec![104, 105]]);
    let acknowledgement = reply.acknowledgement();
    let receipt = &acknowledgement.receipt;
    // 7 of input, 5 for the request.
    assert_eq!((receipt.kind, receipt.charge, receipt.usage.input), (Kind::Embedding, 12, 7));
    assert_eq!(
        (receipt.status, receipt.tier, receipt.flags),
        (Status::Complete, Tier::Replayed, 0)
    );
    call.verify(&harness, &buyer, &reply.body, acknowledgement).await;

    // The same call again is the same answer, for the same money.
    let again = call.reply(&harness).await;
    assert_eq!((again.status, &again.body), (200, &reply.body));
    assert_eq!(again.acknowledgement(), acknowledgement);
    let channel = harness.store.channel(&buyer.id()).unwrap();
    assert_eq!((channel.charged, channel.reserved), (12, 0));
    harness.stop().await;
}

#[tokio::test]
async fn a_stock_client_pays_what_was_offered() {
    let (harness, buyer) = funded().await;
    let mut body = texts(json!([[1, 2], [3]]));
    body["encoding_format"] = "base64".into();
    let body = body.to_string();
    let accepted = offer_at(EMBEDDINGS, &harness, &body).await.accepts.remove(0);
    assert_eq!(accepted.amount, 8);
    let payment = buyer.payment(accepted, 8);
    let reply = Reply::read(post_at(EMBEDDINGS, &harness, &body, Some(&payment)).await).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let answer: EmbeddingsResponse = serde_json::from_value(reply.body.clone()).unwrap();
    assert!(matches!(answer.data[0].embedding, Vector::Base64(_)));
    assert_eq!(answer.data[0].embedding.numbers().unwrap(), [2.0, 3.0 / 7.0]);
    let receipt = &reply.acknowledgement().receipt;
    assert_eq!((receipt.flags, receipt.charge), (flags::PROVIDERS_NONCE, 8));
    harness.stop().await;
}

#[tokio::test]
async fn what_is_not_served_is_refused_in_a_sentence() {
    let (harness, _) = funded().await;
    let mut dimensions = texts(json!("a"));
    dimensions["dimensions"] = 3.into();
    let of_the_generator = json!({ "model": "m", "input": "a" });
    for (path, body, says) in [
        (EMBEDDINGS, of_the_generator, "gives text, not vectors"),
        (CHAT, chat("e", "hello", 3), "gives vectors, not text"),
        (EMBEDDINGS, dimensions, "vectors have 2"),
        (EMBEDDINGS, texts(json!([])), "input is empty"),
        (EMBEDDINGS, texts(json!([256])), "an id above 255"),
        (EMBEDDINGS, texts(json!([[]])), "or none"),
        (EMBEDDINGS, texts(json!(vec!["x".repeat(1000); 2049])), "has more than 65536 bytes"),
        (EMBEDDINGS, texts(json!(vec![""; 2049])), "at most 2048"),
        (EMBEDDINGS, json!({ "model": "e" }), "missing field `input`"),
    ] {
        let reply = Reply::read(post_at(path, &harness, &body.to_string(), None).await).await;
        let message = reply.body["error"]["message"].as_str().unwrap();
        assert!((400..414).contains(&reply.status), "{}", reply.body);
        assert!(reply.status != 402 && message.contains(says), "{message}");
    }
    let list: Value = harness.get("/v1/models").await.json().await.unwrap();
    let said = |at: usize| list["data"][at]["vouch"]["embeddings"].clone();
    assert_eq!((said(0), said(1)), (Value::Null, json!(true)));
    harness.stop().await;
}
