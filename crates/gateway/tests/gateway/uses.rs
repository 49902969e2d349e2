//! The receipts of an owner's data are the owner's to see, by a signature under each question.

use alloy_primitives::Address;
use secp256k1::SecretKey;
use serde_json::Value;
use vouch_core::{
    data_use::stream,
    inquiry::{Inquiry, MAX_LIFE_S},
    signature::{Signature, address_of},
};
use vouch_wire::vouch::{UsesBody, UsesPage};

use crate::{
    buyer::{Buyer, Reply, SessionCall, chat},
    fake_sources::{FakeSources, grant, passage},
    harness::{DOMAIN, Harness, NOW_S, limits, provider, secret},
    stub_engine::StubEngine,
};

const OWNER: u8 = 0x51;
const STRANGER: u8 = 0x52;

/// An inquiry of this moment.
pub fn inquiry(owner: Address, after: u64) -> Inquiry {
    let expiry = NOW_S + MAX_LIFE_S / 2;
    Inquiry { provider: provider(), owner, after, limit: 100, expiry }
}

pub fn signed(inquiry: Inquiry, key: &SecretKey) -> UsesBody {
    UsesBody { inquiry, signature: Some(Signature::sign(inquiry.digest(&DOMAIN), key)) }
}

/// The provider's own view of an owner's receipts.
pub async fn page(harness: &Harness, owner: Address, after: u64) -> UsesPage {
    let body = signed(inquiry(owner, after), &secret(1));
    let reply = ask(harness, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    serde_json::from_value(reply.body).unwrap()
}

async fn ask(harness: &Harness, body: &UsesBody) -> Reply {
    let request = harness.http.post(format!("{}/vouch/uses", harness.url)).json(body);
    Reply::read(request.send().await.unwrap()).await
}

/// A gateway on which one of the owner's documents was quoted.
async fn quoted() -> (Harness, Address) {
    let owner = address_of(&secret(OWNER));
    let mut granted = grant(0xa1, 100, 0);
    granted.owner = owner;
    let sources = FakeSources::new(vec![passage(granted, 1, "A fact.")]);
    let engines = vec![StubEngine::new("m")];
    let harness = Harness::start_sourced(engines, limits(), sources.sourcing()).await;
    let buyer = Buyer::new(3);
    harness.chain.add(buyer.id(), 100_000);
    let call = SessionCall::new(&harness, &buyer, chat("m+sources", "What?", 3), 1, 90_000).await;
    let reply = call.reply(&harness).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    (harness, owner)
}

#[tokio::test]
async fn the_owner_is_shown_its_own() {
    let (harness, owner) = quoted().await;
    let reply = ask(&harness, &signed(inquiry(owner, 0), &secret(OWNER))).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let shown: UsesPage = serde_json::from_value(reply.body).unwrap();
    assert_eq!((shown.stream, shown.uses.len()), (stream(&DOMAIN, provider(), owner), 1));
    // The provider wrote it, and reads it to settle.
    assert_eq!(page(&harness, owner, 0).await.uses.len(), 1);
    let none = Inquiry { limit: 0, ..inquiry(owner, 0) };
    let reply = ask(&harness, &signed(none, &secret(OWNER))).await;
    assert_eq!((reply.status, &reply.body["uses"]), (200, &serde_json::json!([])));
    harness.stop().await;
}

#[tokio::test]
async fn nobody_else_is_and_each_is_told_why() {
    let (harness, owner) = quoted().await;
    let refused = async |body: &UsesBody| {
        let reply = ask(&harness, body).await;
        let said = reply.body["error"]["message"].as_str().unwrap().to_owned();
        assert!(!reply.body.to_string().contains("receipt\":"), "{}", reply.body);
        (reply.status, reply.code().to_owned(), said)
    };
    let (key, good) = (secret(OWNER), inquiry(owner, 0));

    let unsigned = refused(&UsesBody { inquiry: good, signature: None }).await;
    assert_eq!((unsigned.0, unsigned.1.as_str()), (401, "inquiry_unsigned"));
    assert!(unsigned.2.contains("sign the inquiry with the owner's key"), "{}", unsigned.2);

    let stale = refused(&signed(Inquiry { expiry: NOW_S - 1, ..good }, &key)).await;
    assert_eq!((stale.0, stale.1.as_str()), (401, "inquiry_expired"));
    let far = refused(&signed(Inquiry { expiry: NOW_S + MAX_LIFE_S + 1, ..good }, &key)).await;
    assert_eq!((far.0, far.1.as_str()), (401, "inquiry_expiry_too_far"));

    let stranger = refused(&signed(good, &secret(STRANGER))).await;
    assert_eq!((stranger.0, stranger.1.as_str()), (403, "inquiry_signature"));
    assert!(stranger.2.contains(&owner.to_string()), "{}", stranger.2);
    // A signature under another page is another's, too.
    let moved = UsesBody { inquiry: Inquiry { after: 1, ..good }, ..signed(good, &key) };
    assert_eq!(refused(&moved).await.0, 403);

    let elsewhere = Inquiry { provider: address_of(&secret(STRANGER)), ..good };
    let other = refused(&signed(elsewhere, &key)).await;
    assert_eq!((other.0, other.1.as_str()), (403, "inquiry_mismatch"));
    assert!(other.2.contains(&provider().to_string()), "{}", other.2);

    // An inquiry is good for its minutes and no longer.
    harness.advance(MAX_LIFE_S / 2 + 1);
    assert_eq!(refused(&signed(good, &key)).await.1, "inquiry_expired");
    harness.stop().await;
}

#[tokio::test]
async fn what_is_no_inquiry_is_refused_in_a_sentence() {
    let (harness, owner) = quoted().await;
    let url = format!("{}/vouch/uses", harness.url);
    let mut high = serde_json::to_value(signed(inquiry(owner, 0), &secret(OWNER))).unwrap();
    high["signature"] = format!("0x{}", "ff".repeat(65)).into();
    let bodies = [String::new(), "{}".into(), "[]".into(), high.to_string()];
    for body in bodies {
        let sent = harness.http.post(&url).body(body.clone()).send().await.unwrap();
        let reply = Reply::read(sent).await;
        assert_eq!((reply.status, reply.code()), (400, "invalid_request"), "{body}");
    }
    assert_eq!(harness.get("/vouch/uses").await.status(), 405);
    let sent =
        harness.http.post(&url).json(&UsesBody { inquiry: inquiry(owner, 0), signature: None });
    let sent = sent.send().await.unwrap();
    assert_eq!(sent.headers()["www-authenticate"], "Vouch-Inquiry");
    // The old, open way is gone.
    let open: Value = harness.get(&format!("/vouch/uses/{owner}")).await.json().await.unwrap();
    assert_eq!(open["error"]["code"], "not_found");
    harness.stop().await;
}
