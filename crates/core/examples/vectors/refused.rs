use alloy_primitives::{B256, U256, hex};
use serde_json::{Value, json};
use vouch_core::{
    log::{merkle, note::Verifier},
    receipt::ENCODED_LEN,
    signature::{Signature, address_of},
};

use super::{decimal, key, leaves, log, lower, receipt};

/// The order of secp256k1.
const ORDER: [u8; 32] = hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");

/// What every reader must refuse, and why.
pub(crate) fn all() -> Value {
    json!({
        "amounts": amounts(),
        "checkpoints": checkpoints(),
        "consistencies": consistencies(),
        "inclusions": inclusions(),
        "receipts": receipts(),
        "signatures": signatures(),
    })
}

fn signatures() -> Vec<Value> {
    let digest = B256::repeat_byte(0xb1);
    let good = Signature::sign(digest, &key(0x31)).0;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        bytes
    };
    let other_v = if good[64] == 27 { 28 } else { 27 };
    let high_s =
        (U256::from_be_bytes(ORDER) - U256::from_be_slice(&good[32..64])).to_be_bytes::<32>();
    let cases = [
        (
            "s is in the upper half of the order",
            with(&|b| {
                b[32..64].copy_from_slice(&high_s);
                b[64] = other_v;
            }),
        ),
        ("v is 0 or 1", with(&|b| b[64] -= 27)),
        ("v is 29", with(&|b| b[64] = 29)),
        ("v is the other one: it recovers another signer", with(&|b| b[64] = other_v)),
        ("r is zero", with(&|b| b[..32].fill(0))),
        ("r is the order", with(&|b| b[..32].copy_from_slice(&ORDER))),
        ("s is zero", with(&|b| b[32..64].fill(0))),
        ("64 bytes", with(&|b| b.truncate(64))),
        ("66 bytes", with(&|b| b.push(0))),
        ("another key's", Signature::sign(digest, &key(0x32)).0.to_vec()),
        ("over another digest", Signature::sign(B256::repeat_byte(0xb2), &key(0x31)).0.to_vec()),
    ];
    let signer = lower(address_of(&key(0x31)));
    let case = |(reason, bytes): (&str, Vec<u8>)| {
        let signature = hex::encode_prefixed(bytes);
        json!({"digest": digest, "reason": reason, "signature": signature, "signer": signer})
    };
    cases.map(case).into()
}

fn receipts() -> Vec<Value> {
    let good = receipt::ordinary().encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        bytes
    };
    [
        ("version 2", with(0, 2)),
        ("kind 0", with(29, 0)),
        ("kind 9", with(29, 9)),
        ("status 0", with(30, 0)),
        ("tier 5", with(31, 5)),
        ("an unknown flag", with(33, 0x10)),
        ("one byte short", good[..ENCODED_LEN - 1].to_vec()),
        ("one byte long", [good.as_slice(), &[0]].concat()),
    ]
    .map(|(reason, bytes)| json!({"encoded": hex::encode_prefixed(bytes), "reason": reason}))
    .into()
}

fn amounts() -> Vec<Value> {
    let above = format!("{}0", u128::MAX);
    [
        ("a leading zero", "007"),
        ("a sign", "+1"),
        ("a sign", "-1"),
        ("empty", ""),
        ("hexadecimal", "0x10"),
        ("a fraction", "1.0"),
        ("white space", " 1"),
        ("2^128", "340282366920938463463374607431768211456"),
        ("more than 128 bits", above.as_str()),
    ]
    .map(|(reason, text)| json!({"reason": reason, "text": text}))
    .into()
}

fn inclusions() -> Vec<Value> {
    let leaves = leaves(7);
    let (root, path) = (merkle::root(&leaves), merkle::inclusion_path(&leaves, 2));
    let short = path[..path.len() - 1].to_vec();
    let long = [path.as_slice(), &[B256::ZERO]].concat();
    let swapped: Vec<_> = path.iter().rev().copied().collect();
    let cases = [
        ("another index", 3, 7, leaves[2], path.clone(), root),
        ("an index not below the size", 7, 7, leaves[2], path.clone(), root),
        ("an empty tree", 0, 0, leaves[2], path.clone(), root),
        ("another size", 2, 8, leaves[3], path.clone(), root),
        ("a smaller size with a shorter path", 2, 4, leaves[2], path.clone(), root),
        ("another leaf", 2, 7, leaves[3], path.clone(), root),
        ("another root", 2, 7, leaves[2], path.clone(), B256::ZERO),
        ("a path cut short", 2, 7, leaves[2], short, root),
        ("a path with one more", 2, 7, leaves[2], long, root),
        ("a path in the wrong order", 2, 7, leaves[2], swapped, root),
        ("the root as its own leaf", 0, 7, root, Vec::new(), root),
    ];
    let case =
        |(reason, index, size, leaf, path, root): (&str, u64, u64, B256, Vec<B256>, B256)| {
            json!({
                "index": decimal(index), "leaf": leaf, "path": path,
                "reason": reason, "root": root, "size": decimal(size),
            })
        };
    cases.map(case).into()
}

fn consistencies() -> Vec<Value> {
    let leaves = leaves(7);
    let (old, new) = (merkle::root(&leaves[..3]), merkle::root(&leaves));
    let path = merkle::consistency_path(&leaves, 3);
    let long = [path.as_slice(), &[B256::ZERO]].concat();
    let cases = [
        ("a rewritten past", 3, leaves[0], 7, new, path.clone()),
        ("another new root", 3, old, 7, B256::ZERO, path.clone()),
        ("a log that shrinks", 7, new, 3, old, path.clone()),
        ("one size, two roots", 7, old, 7, new, Vec::new()),
        ("an empty path", 3, old, 7, new, Vec::new()),
        ("a path with one more", 3, old, 7, new, long),
        ("a path where none belongs", 7, new, 7, new, path.clone()),
    ];
    let case = |(reason, old_size, old_root, new_size, new_root, path): (
        &str,
        u64,
        B256,
        u64,
        B256,
        Vec<B256>,
    )| {
        json!({
            "newRoot": new_root, "newSize": decimal(new_size), "oldRoot": old_root,
            "oldSize": decimal(old_size), "path": path, "reason": reason,
        })
    };
    cases.map(case).into()
}

fn checkpoints() -> Vec<Value> {
    let (note, checkpoint) = log::signed_note(7);
    let text = note.to_string();
    let without = |line: usize| {
        let mut note = note.clone();
        note.signatures.remove(line);
        note.to_string()
    };
    let provider = lower(address_of(&key(0x31)));
    let verifier = Verifier::log(&checkpoint.origin, &log::log_key()).to_string();
    let cases = [
        ("no Ed25519 signature", without(0)),
        ("no secp256k1 signature", without(1)),
        ("another size", text.replacen("\n7\n", "\n8\n", 1)),
        ("a size with a leading zero", text.replacen("\n7\n", "\n07\n", 1)),
        ("an extension line", text.replacen("\n\n", "\nextension\n\n", 1)),
        ("no newline at its end", text.trim_end().to_owned()),
        ("a hyphen for the em dash", text.replace('\u{2014}', "-")),
        ("carriage returns", text.replace('\n', "\r\n")),
    ];
    let case = |(reason, note): (&str, String)| json!({"key": verifier, "note": note, "provider": provider, "reason": reason});
    cases.map(case).into()
}
