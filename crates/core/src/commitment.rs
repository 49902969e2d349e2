//! Commitments that hide what they bind: keccak-256 behind a 32-byte nonce of the client's.
//!
//! The nonce is known to the two parties alone, so nobody can guess a request or an answer from
//! its hash in a receipt.

use alloy_primitives::{B256, Keccak256, keccak256};
use serde::Serialize;

use crate::Error;

/// RFC 8785 (JCS) bytes of a value.
///
/// # Errors
/// [`Error::Canonical`] if the value has no JSON form (a map with keys that are not strings, a
/// number that is not finite).
pub fn canonical_json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json_canonicalizer::to_vec(value).map_err(|error| Error::Canonical(error.to_string()))
}

/// keccak-256 of the RFC 8785 form of a value.
///
/// # Errors
/// As [`canonical_json`].
pub fn canonical_hash(value: &impl Serialize) -> Result<B256, Error> {
    canonical_json(value).map(keccak256)
}

/// `keccak256(nonce || resource || "\n" || body)`.
///
/// `resource` is method and path, such as `POST /v1/chat/completions`: without it, a request
/// signed for one resource could be replayed at another.
#[must_use]
pub fn request(nonce: &B256, resource: &str, body: &[u8]) -> B256 {
    hash(&[nonce.as_slice(), resource.as_bytes(), b"\n", body])
}

/// `keccak256(nonce || canonical response)`.
#[must_use]
pub fn response(nonce: &B256, canonical: &[u8]) -> B256 {
    hash(&[nonce.as_slice(), canonical])
}

/// `keccak256(nonce || input count u64 || input ids u32... || output count u64 || output ids u32...)`,
/// all big-endian.
#[must_use]
pub fn tokens(nonce: &B256, input: &[u32], output: &[u32]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(nonce);
    for ids in [input, output] {
        hasher.update(u64::try_from(ids.len()).unwrap_or(u64::MAX).to_be_bytes());
        for id in ids {
            hasher.update(id.to_be_bytes());
        }
    }
    hasher.finalize()
}

/// The hash of a seed, as a receipt carries it: `keccak256(nonce || seed)`.
#[must_use]
pub fn seed(nonce: &B256, seed: &[u8; 32]) -> B256 {
    hash(&[nonce.as_slice(), seed])
}

/// What opens the `index`-th data-use receipt of a call and nothing else of it:
/// `keccak256(nonce || "source" || index u32)`. It is the data owner's to know.
#[must_use]
pub fn source_nonce(nonce: &B256, index: u32) -> B256 {
    hash(&[nonce.as_slice(), b"source", &index.to_be_bytes()])
}

/// The seed of a call whose request names none: `keccak256(nonce || request commitment)`.
#[must_use]
pub fn derived_seed(nonce: &B256, request: &B256) -> [u8; 32] {
    hash(&[nonce.as_slice(), request.as_slice()]).0
}

/// The seed of a call whose request has an OpenAI `seed`: its 64 bits, sign-extended, big-endian.
#[must_use]
pub fn callers_seed(seed: i64) -> [u8; 32] {
    let mut bytes = if seed < 0 { [0xff; 32] } else { [0; 32] };
    let (_, low) = bytes.split_at_mut(24);
    low.copy_from_slice(&seed.to_be_bytes());
    bytes
}

fn hash(parts: &[&[u8]]) -> B256 {
    let mut hasher = Keccak256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_move_between_input_and_output() {
        let nonce = B256::repeat_byte(1);
        assert_ne!(tokens(&nonce, &[1, 2], &[3]), tokens(&nonce, &[1], &[2, 3]));
        assert_ne!(tokens(&nonce, &[], &[]), tokens(&B256::ZERO, &[], &[]));
    }

    #[test]
    fn a_request_belongs_to_its_resource() {
        let nonce = B256::repeat_byte(1);
        assert_ne!(request(&nonce, "POST /a", b"{}"), request(&nonce, "POST /b", b"{}"));
    }

    #[test]
    fn canonical_json_sorts_keys() {
        let value = serde_json::json!({"b": 1, "a": [true, "é"]});
        assert_eq!(canonical_json(&value).unwrap(), "{\"a\":[true,\"é\"],\"b\":1}".as_bytes());
    }

    #[test]
    fn seeds_are_sign_extended() {
        assert_eq!(callers_seed(-1), [0xff; 32]);
        assert_eq!(callers_seed(1)[31], 1);
        assert_eq!(callers_seed(0), [0; 32]);
    }
}
