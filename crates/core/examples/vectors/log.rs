use alloy_primitives::hex;
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use vouch_core::{
    log::{
        Checkpoint, merkle,
        note::{self, Note, Verifier},
    },
    signature::{Signature, address_of},
};

use super::{decimal, key, leaves, lower};

const ORIGIN: &str = "vouch.example/log";
const WITNESS: &str = "witness.example/w1";
const WITNESS_TIME: u64 = 1_800_000_030;

/// Trees of small sizes: every shape that a path can have up to four levels.
pub(crate) fn merkle() -> Value {
    json!({
        "consistencies": consistencies(),
        "inclusions": inclusions(),
        "leaves": leaf_hashes(),
        "roots": roots(),
    })
}

fn leaf_hashes() -> Vec<Value> {
    ["", "entry 0", "entry 1"]
        .map(|entry| {
            let hash = merkle::leaf_hash(entry.as_bytes());
            json!({"entry": hex::encode_prefixed(entry), "hash": hash})
        })
        .into()
}

fn roots() -> Vec<Value> {
    let root = |size| json!({"root": merkle::root(&leaves(size)), "size": decimal(size)});
    (0..=16).chain([255, 256, 257]).map(root).collect()
}

fn inclusions() -> Vec<Value> {
    let large = [0, 255, 256, 299].map(|index| inclusion(300, index));
    (1..=9)
        .flat_map(|size| (0..size).map(move |index| inclusion(size, index)))
        .chain(large)
        .collect()
}

fn inclusion(size: u64, index: u64) -> Value {
    let leaves = leaves(size);
    let at = usize::try_from(index).unwrap();
    json!({
        "index": decimal(index),
        "leaf": leaves[at],
        "path": merkle::inclusion_path(&leaves, at),
        "root": merkle::root(&leaves),
        "size": decimal(size),
    })
}

fn consistencies() -> Vec<Value> {
    let large = [1, 128, 255, 256, 299].map(|old| consistency(old, 300));
    (1..=9).flat_map(|new| (0..=new).map(move |old| consistency(old, new))).chain(large).collect()
}

fn consistency(old_size: u64, new_size: u64) -> Value {
    let (old, new) = (leaves(old_size), leaves(new_size));
    json!({
        "newRoot": merkle::root(&new),
        "newSize": decimal(new_size),
        "oldRoot": merkle::root(&old),
        "oldSize": decimal(old_size),
        "path": merkle::consistency_path(&new, old.len()),
    })
}

/// Notes with both of the log's signatures and a witness's.
pub(crate) fn checkpoints() -> Value {
    json!({"checkpoints": [checkpoint(7), checkpoint(300)]})
}

pub(crate) fn signed_note(size: u64) -> (Note, Checkpoint) {
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root: merkle::root(&leaves(size)) };
    let (text, provider) = (checkpoint.text(), address_of(&key(0x31)));
    let signature = Signature::sign(checkpoint.digest(), &key(0x31));
    let signatures = vec![
        note::sign_ed25519(ORIGIN, &log_key(), &text),
        note::sign_eip712(ORIGIN, provider, &signature),
        note::cosign(WITNESS, &witness_key(), &text, WITNESS_TIME),
    ];
    (Note { text, signatures }, checkpoint)
}

pub(crate) fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[0x91; 32])
}

fn witness_key() -> SigningKey {
    SigningKey::from_bytes(&[0x92; 32])
}

fn checkpoint(size: u64) -> Value {
    let (note, checkpoint) = signed_note(size);
    json!({
        "digest": checkpoint.digest(),
        "key": Verifier::log(ORIGIN, &log_key()).to_string(),
        "note": note.to_string(),
        "origin": ORIGIN,
        "provider": lower(address_of(&key(0x31))),
        "root": checkpoint.root,
        "size": decimal(size),
        "text": note.text,
        "witness": Verifier::witness(WITNESS, &witness_key()).to_string(),
        "witnessTime": decimal(WITNESS_TIME),
    })
}
