//! The golden vectors: what the code of today makes of fixed inputs, for every language to agree
//! with.
//!
//! Shapes are flat, because Solidity reads them too: a file is an object of arrays of objects;
//! bytes are `0x` hex, integers are decimal strings, keys are in alphabetical order.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "fixed inputs; shared by an example and a test"
)]

use std::path::PathBuf;

use alloy_primitives::{Address, B256, hex};
use secp256k1::SecretKey;
use serde_json::{Value, json};
use vouch_core::{
    domain::Domain,
    log::merkle,
    signature::{Signature, address_of},
};

mod data_use;
mod eip712;
mod faults;
mod log;
mod receipt;
mod refused;

/// Where the files lie.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors")
}

/// Every file: its name and its text.
pub fn files() -> Vec<(&'static str, String)> {
    [
        ("checkpoint.json", log::checkpoints()),
        ("commitments.json", receipt::commitments()),
        ("data_use.json", data_use::all()),
        ("eip712.json", eip712::all()),
        ("faults.json", faults::all()),
        ("merkle.json", log::merkle()),
        ("money.json", receipt::money()),
        ("receipt.json", receipt::receipts()),
        ("refused.json", refused::all()),
    ]
    .map(|(name, mut value)| {
        value.sort_all_objects();
        (name, format!("{value:#}\n"))
    })
    .into()
}

/// A secret key of 32 equal bytes.
fn key(byte: u8) -> SecretKey {
    SecretKey::from_byte_array([byte; 32]).unwrap()
}

/// The two domains that the vectors are in: a development chain, and large numbers.
fn domains() -> [Domain; 2] {
    let settlement = hex!("4020074e9dF2ce1deE5A9C1b5c3f541D02a10003").into();
    [
        Domain { chain: 31337, settlement },
        Domain { chain: (1 << 52) - 1, settlement: Address::repeat_byte(0xd0) },
    ]
}

/// Leaf hashes of the entries `"entry 0"`, `"entry 1"`, ...
fn leaves(count: u64) -> Vec<B256> {
    (0..count).map(|index| merkle::leaf_hash(format!("entry {index}").as_bytes())).collect()
}

/// A digest with its signature, the signing key and its address, beside what was signed.
fn signed(mut message: Value, digest: B256, key: &SecretKey) -> Value {
    let fields = json!({
        "digest": digest,
        "key": hex::encode_prefixed(key.secret_bytes()),
        "signature": Signature::sign(digest, key),
        "signer": lower(address_of(key)),
    });
    let object = message.as_object_mut().unwrap();
    object.extend(fields.as_object().unwrap().clone());
    message
}

/// An address without a checksum, as all bytes here.
fn lower(address: Address) -> String {
    hex::encode_prefixed(address)
}

/// An integer as a decimal string.
fn decimal(value: impl Into<u128>) -> String {
    value.into().to_string()
}
