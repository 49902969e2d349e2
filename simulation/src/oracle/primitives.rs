//! Hashes and signatures from their standards alone: EIP-712, RFC 6962, C2SP signed notes. No code
//! of what is judged here is used.

use alloy_primitives::{Address, B256, Keccak256, U256, keccak256};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secp256k1::{
    Message, SECP256K1,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use sha2::{Digest as _, Sha256};

/// One 32-byte word of an ABI encoding.
pub(crate) fn word(number: u128) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

/// `keccak256` over words behind one another.
fn words(words: &[[u8; 32]]) -> B256 {
    let mut hasher = Keccak256::new();
    words.iter().for_each(|word| hasher.update(word));
    hasher.finalize()
}

/// `keccak256(0x1901 || domain || struct)`.
fn typed(domain: B256, message: B256) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update([0x19, 0x01]);
    hasher.update(domain);
    hasher.update(message);
    hasher.finalize()
}

/// The separator of a domain with chain and contract.
pub(crate) fn separator(name: &str, chain: u64, contract: Address) -> B256 {
    let kind = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
    );
    words(&[
        kind.0,
        keccak256(name).0,
        keccak256("1").0,
        word(chain.into()),
        contract.into_word().0,
    ])
}

/// x402's `Voucher(bytes32 channelId,uint128 maxClaimableAmount)`.
pub(crate) fn voucher(domain: B256, channel: B256, amount: u128) -> B256 {
    let kind = keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");
    typed(domain, words(&[kind.0, channel.0, word(amount)]))
}

/// What a promise says, in the order of its type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromiseFields {
    pub(crate) root: B256,
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) not_before: B256,
    pub(crate) merge_by: u64,
}

/// `Promise(bytes32 root,uint64 first,uint32 count,bytes32 notBefore,uint64 mergeBy)`.
pub(crate) fn promise(domain: B256, fields: &PromiseFields) -> B256 {
    let kind = keccak256(
        "Promise(bytes32 root,uint64 first,uint32 count,bytes32 notBefore,uint64 mergeBy)",
    );
    let message = words(&[
        kind.0,
        fields.root.0,
        word(fields.first.into()),
        word(fields.count.into()),
        fields.not_before.0,
        word(fields.merge_by.into()),
    ]);
    typed(domain, message)
}

/// `Checkpoint(string origin,uint64 size,bytes32 root)` in the domain of logs.
pub(crate) fn checkpoint(origin: &str, size: u64, root: B256) -> B256 {
    let domain = keccak256("EIP712Domain(string name,string version)");
    let domain = words(&[domain.0, keccak256("Vouch Log").0, keccak256("1").0]);
    let kind = keccak256("Checkpoint(string origin,uint64 size,bytes32 root)");
    typed(domain, words(&[kind.0, keccak256(origin).0, word(size.into()), root.0]))
}

/// The address that made a 65-byte signature.
pub(crate) fn signer(digest: B256, signature: &[u8]) -> Option<Address> {
    let (compact, v) = signature.split_at_checked(64)?;
    let id = match v {
        [27] => RecoveryId::Zero,
        [28] => RecoveryId::One,
        _ => return None,
    };
    let signature = RecoverableSignature::from_compact(compact, id).ok()?;
    let key = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature).ok()?;
    let hash = keccak256(key.serialize_uncompressed().get(1..)?);
    hash.get(12..).map(Address::from_slice)
}

fn sha256(parts: &[&[u8]]) -> B256 {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    B256::from(<[u8; 32]>::from(hasher.finalize()))
}

/// RFC 6962 §2.1: the hash of a leaf.
pub(crate) fn leaf(entry: &[u8]) -> B256 {
    sha256(&[&[0], entry])
}

/// RFC 6962 §2.1: the Merkle tree hash over leaf hashes.
pub(crate) fn tree(leaves: &[B256]) -> B256 {
    match leaves.len() {
        0 => sha256(&[]),
        1 => leaves[0],
        count => {
            let mut half = 1;
            while half * 2 < count {
                half *= 2;
            }
            let (left, right) = leaves.split_at(half);
            sha256(&[&[1], tree(left).as_slice(), tree(right).as_slice()])
        }
    }
}

/// RFC 6962 §2.1.1, read backwards: the root that a path leads to from leaf `index` of `count`;
/// `None` if it has another length than such a path.
pub(crate) fn climb(leaf: B256, index: u64, count: u64, path: &[B256]) -> Option<B256> {
    if count <= 1 {
        return (index == 0 && path.is_empty()).then_some(leaf);
    }
    let mut half = 1;
    while half * 2 < count {
        half *= 2;
    }
    let (sibling, rest) = path.split_last()?;
    if index < half {
        let left = climb(leaf, index, half, rest)?;
        Some(sha256(&[&[1], left.as_slice(), sibling.as_slice()]))
    } else {
        let right = climb(leaf, index - half, count - half, rest)?;
        Some(sha256(&[&[1], sibling.as_slice(), right.as_slice()]))
    }
}

/// A checkpoint as a note has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) size: u64,
    pub(crate) root: B256,
}

/// Reads a signed note that must be of this origin, and signed by both keys (C2SP signed-note and
/// tlog-checkpoint); `None` if anything is not as it must be.
pub(crate) fn read_note(
    note: &str,
    origin: &str,
    key: &ed25519_dalek::VerifyingKey,
    provider: Address,
) -> Option<Signed> {
    let (body, lines) = note.split_once("\n\n")?;
    let text = format!("{body}\n");
    let mut fields = body.split('\n');
    let (name, size, root) = (fields.next()?, fields.next()?, fields.next()?);
    if name != origin || fields.next().is_some() {
        return None;
    }
    let size: u64 = size.parse().ok()?;
    let root = B256::try_from(STANDARD.decode(root).ok()?.as_slice()).ok()?;
    let (mut by_log, mut by_provider) = (false, false);
    for line in lines.lines() {
        let (signed_by, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let blob = STANDARD.decode(blob).ok()?;
        let (id, signature) = blob.split_at_checked(4)?;
        if signed_by != origin {
            continue;
        }
        if id == id_of(origin, &[&[0x01], key.as_bytes()]) {
            let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
            by_log |= key.verify_strict(text.as_bytes(), &signature).is_ok();
        }
        let other: [&[u8]; 3] = [&[0xff], b"vouch/eip712-secp256k1/v1", provider.as_slice()];
        if id == id_of(origin, &other) {
            by_provider |= signer(checkpoint(origin, size, root), signature) == Some(provider);
        }
    }
    (by_log && by_provider).then_some(Signed { size, root })
}

/// `SHA-256(name || "\n" || algorithm and key)[..4]`.
fn id_of(name: &str, key: &[&[u8]]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), b"\n", &key.concat()]);
    [hash[0], hash[1], hash[2], hash[3]]
}
