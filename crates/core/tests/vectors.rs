//! The committed golden vectors are current, and what they say holds.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its file fails")]

#[path = "../examples/vectors/generate.rs"]
mod generate;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use vouch_core::{
    Address, B256, Bytes,
    channel::Voucher,
    log::{
        Checkpoint, merkle,
        note::{Note, Verifier},
    },
    receipt::Receipt,
    signature::Signature,
};

fn cases(file: &str, array: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(generate::folder().join(file)).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let cases = value[array].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{file} has no {array}");
    cases
}

fn get<T: DeserializeOwned>(case: &Value, name: &str) -> T {
    serde_json::from_value(case[name].clone()).unwrap()
}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap()
}

fn number(case: &Value, name: &str) -> u64 {
    text(case, name).parse().unwrap()
}

#[test]
fn committed_files_are_current() {
    for (name, made) in generate::files() {
        let committed = std::fs::read_to_string(generate::folder().join(name)).unwrap_or_default();
        assert!(
            committed == made,
            "vectors/{name} is not what the code makes: if the change is meant, \
             run `cargo run -p vouch-core --example vectors`"
        );
    }
}

#[test]
fn signatures_are_their_signers() {
    for array in ["checkpoints", "inquiries", "promises", "requests", "vouchers"] {
        for case in cases("eip712.json", array) {
            let signature: Signature = get(&case, "signature");
            let signer: Address = get(&case, "signer");
            assert_eq!(signature.verify(get(&case, "digest"), signer), Ok(()), "{array}");
        }
    }
}

#[test]
fn receipts_read_back() {
    for case in cases("receipt.json", "receipts") {
        let receipt = Receipt::decode(&get::<Bytes>(&case, "encoded")).unwrap();
        assert_eq!(receipt.digest(), get::<B256>(&case, "digest"));
        assert_eq!(serde_json::from_str::<Receipt>(text(&case, "json")).unwrap(), receipt);
    }
}

#[test]
fn proofs_hold() {
    for case in cases("merkle.json", "inclusions") {
        assert_eq!(verify_inclusion(&case), Ok(()), "{case}");
    }
    for case in cases("merkle.json", "consistencies") {
        assert_eq!(verify_consistency(&case), Ok(()), "{case}");
    }
}

#[test]
fn checkpoints_hold() {
    for case in cases("checkpoint.json", "checkpoints") {
        let note = Note::parse(text(&case, "note")).unwrap();
        assert_eq!(verify_checkpoint(&case).unwrap().size, number(&case, "size"));
        let witness = Verifier::parse(text(&case, "witness")).unwrap();
        assert_eq!(witness.verify(&note), Some(number(&case, "witnessTime")));
    }
}

#[test]
fn what_must_be_refused_is() {
    let refuse = |array, accepts: fn(&Value) -> bool| {
        for case in cases("refused.json", array) {
            assert!(!accepts(&case), "{array}: {case}");
        }
    };
    refuse("amounts", |case| {
        let voucher = json!({"channelId": B256::ZERO, "maxClaimableAmount": case["text"]});
        serde_json::from_value::<Voucher>(voucher).is_ok()
    });
    refuse("checkpoints", |case| verify_checkpoint(case).is_ok());
    refuse("consistencies", |case| verify_consistency(case).is_ok());
    refuse("inclusions", |case| verify_inclusion(case).is_ok());
    refuse("receipts", |case| Receipt::decode(&get::<Bytes>(case, "encoded")).is_ok());
    refuse("signatures", |case| {
        Signature::from_slice(&get::<Bytes>(case, "signature"))
            .and_then(|signature| signature.verify(get(case, "digest"), get(case, "signer")))
            .is_ok()
    });
}

fn verify_inclusion(case: &Value) -> Result<(), vouch_core::Error> {
    let (index, size) = (number(case, "index"), number(case, "size"));
    let path: Vec<B256> = get(case, "path");
    merkle::verify_inclusion(get(case, "leaf"), index, size, &path, get(case, "root"))
}

fn verify_consistency(case: &Value) -> Result<(), vouch_core::Error> {
    let (old, new) = (number(case, "oldSize"), number(case, "newSize"));
    let path: Vec<B256> = get(case, "path");
    merkle::verify_consistency(old, get(case, "oldRoot"), new, get(case, "newRoot"), &path)
}

fn verify_checkpoint(case: &Value) -> Result<Checkpoint, vouch_core::Error> {
    let note = Note::parse(text(case, "note"))?;
    let key = Verifier::parse(text(case, "key"))?;
    Checkpoint::verify(&note, &key, get(case, "provider"))
}
