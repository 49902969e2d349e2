use serde_json::{Value, json};
use vouch_core::log::{
    Checkpoint, merkle,
    note::{self, Note, Verifier},
};
use vouch_store::Store;
use vouch_wire::vouch::ProviderDocument;

use crate::{
    buyer::{Buyer, Reply, SessionCall, chat},
    harness::{Harness, ORIGIN, log_key, provider, witness},
    stub_engine::StubEngine,
};

async fn with_receipts(count: u8) -> Harness {
    let harness = Harness::start(vec![StubEngine::new("m")]).await;
    let buyer = Buyer::new(7);
    harness.chain.add(buyer.id(), 100_000);
    for nonce in 1..=count {
        let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), nonce, 50_000).await;
        assert_eq!(call.reply(&harness).await.status, 200);
    }
    harness.store.publish_checkpoint().await.unwrap();
    harness
}

async fn post(harness: &Harness, path: &str, body: String) -> Reply {
    let request = harness.http.post(format!("{}{path}", harness.url)).body(body);
    Reply::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn the_log_is_served_as_tiles_and_checks() {
    let harness = with_receipts(5).await;
    let response = harness.get("/log/checkpoint").await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let note = Note::parse(&response.text().await.unwrap()).unwrap();
    let key = Verifier::log(ORIGIN, &log_key());
    let checkpoint = Checkpoint::verify(&note, &key, provider()).unwrap();
    assert_eq!(checkpoint.size, 5);
    let tile = harness.get("/log/tile/0/000.p/5").await;
    assert_eq!(tile.headers()["content-type"], "application/octet-stream");
    assert!(tile.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    let bytes = tile.bytes().await.unwrap();
    let leaves: Vec<_> = bytes.chunks(32).map(alloy_primitives::B256::from_slice).collect();
    assert_eq!(merkle::root(&leaves), checkpoint.root);
    let path = harness.get("/vouch/consistency?from=3&to=5").await.json::<Value>().await.unwrap();
    let path: Vec<_> = serde_json::from_value(path["path"].clone()).unwrap();
    let old = merkle::root(&leaves[..3]);
    merkle::verify_consistency(3, old, 5, checkpoint.root, &path).unwrap();
    for odd in ["tile/0/5", "tile/0/000.p/9", "../journal", "tile/0/..%2f..%2fjournal", "x"] {
        let reply = Reply::read(harness.get(&format!("/log/{odd}")).await).await;
        assert_eq!((reply.status, reply.code()), (404, "not_found"), "{odd}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn proofs_say_when_they_come() {
    let harness = with_receipts(2).await;
    let gone = Reply::read(harness.get("/vouch/proof/9").await).await;
    assert_eq!((gone.status, gone.code()), (404, "out_of_range"));
    let malformed = Reply::read(harness.get("/vouch/consistency?from=x").await).await;
    assert_eq!((malformed.status, malformed.code()), (400, "invalid_request"));
    harness.stop().await;
}

#[tokio::test]
async fn a_known_witness_cosigns_and_no_other() {
    let harness = with_receipts(2).await;
    let text = harness.store.checkpoint().unwrap().checkpoint.text();
    let stranger = ed25519_dalek::SigningKey::from_bytes(&[99; 32]);
    let forged = note::cosign("witness.example", &stranger, &text, 5).to_string();
    let reply = post(&harness, "/log/cosignatures", forged).await;
    assert_eq!((reply.status, reply.code()), (409, "cosignature_refused"));
    for junk in ["", "\u{2014} x", "\u{2014} a b\n\u{2014} c d"] {
        let reply = post(&harness, "/log/cosignatures", junk.into()).await;
        assert_eq!((reply.status, reply.code()), (400, "invalid_request"));
    }
    let line = note::cosign("witness.example", &witness(), &text, 1_800_000_000).to_string();
    assert_eq!(post(&harness, "/log/cosignatures", line).await.status, 204);
    let served = harness.get("/log/checkpoint").await.text().await.unwrap();
    let note = Note::parse(&served).unwrap();
    let known = Verifier::witness("witness.example", &witness());
    assert_eq!(known.verify(&note), Some(1_800_000_000));
    harness.stop().await;
}

#[tokio::test]
async fn the_provider_says_who_it_is() {
    let harness = with_receipts(1).await;
    let document: ProviderDocument =
        harness.get("/.well-known/vouch.json").await.json().await.unwrap();
    assert_eq!(document.provider, provider());
    assert_eq!(
        (document.network.as_str(), document.models.as_slice()),
        ("eip155:31337", &["m".to_owned()][..])
    );
    let tokenizer = harness.get(&format!("/vouch/tokenizers/0x{}", "70".repeat(32))).await;
    assert_eq!(tokenizer.text().await.unwrap(), "{}");
    let body = json!({"address": provider()}).to_string();
    assert_eq!(post(&harness, "/vouch/faucet", body).await.status, 200);
    let channel = format!("/vouch/channels/{}", Buyer::new(7).id());
    let channel: Value = harness.get(&channel).await.json().await.unwrap();
    assert_eq!((&channel["mode"], &channel["charged"]), (&json!("session"), &json!("40")));
    let metrics = harness.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("vouch_calls_total{status=\"complete\"} 1"), "{metrics}");
    assert!(metrics.contains("vouch_tokens_total{kind=\"output\"} 3"), "{metrics}");
    assert!(metrics.contains("vouch_charged_units_total 40"), "{metrics}");
    harness.stop().await;
}

#[tokio::test]
async fn health_tells_of_a_stale_chain() {
    let harness = with_receipts(1).await;
    assert_eq!(harness.get("/healthz").await.status(), 200);
    harness.chain.stale.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(harness.get("/healthz").await.status(), 503);
    harness.stop().await;
}
