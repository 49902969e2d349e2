//! What a provider offers: the quote that a request accepts and a receipt refers to by hash.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{Error, commitment::canonical_hash, domain::Domain, money::Prices};

/// The version of [`Terms`] that this crate writes.
pub const VERSION: u32 = 1;

/// The most bytes of a model's name and of a log's origin: a contract that is shown terms walks
/// through all of them.
pub const MAX_NAME_BYTES: usize = 256;
/// The most bytes of a log's key: its name, hash and key.
const MAX_KEY_BYTES: usize = MAX_NAME_BYTES + 64;

/// A quote for one model. Its hash is keccak-256 of its RFC 8785 form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// [`VERSION`].
    pub version: u32,
    /// Where vouchers under these terms are settled.
    #[serde(flatten)]
    pub domain: Domain,
    /// Who sells: the address that signs promises and checkpoints.
    pub provider: Address,
    /// Who is paid, where that is not the provider: a vault that splits what comes in by rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<Address>,
    /// The token that pays.
    pub asset: Address,
    /// The model's name at this provider.
    pub model: String,
    /// The model's identity: the hash of all that determines a run.
    pub identity: B256,
    /// Prices in atomic units of the asset.
    pub prices: Prices,
    /// How many output tokens a stream reserves at a time: what the provider risks.
    pub quantum_tokens: u32,
    /// The log that receipts are written to.
    pub log: LogTerms,
    /// What may be put before the question, where answers are sourced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<SourceTerms>,
}

/// Bounds on the passages of a sourced answer. What they cost is in the price of the request; what
/// their owners are credited is in their grants, and never more than the charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTerms {
    /// The most sources of one answer.
    pub max_sources: u32,
    /// The most bytes that they and the words around them add to the prompt.
    pub max_bytes: u32,
}

/// The log a provider writes its receipts to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogTerms {
    /// The C2SP checkpoint origin.
    pub origin: String,
    /// The log's Ed25519 key, in the C2SP verifier form `name+hash+key`.
    pub key: String,
    /// Within how many seconds a promised receipt is in a checkpoint.
    pub merge_delay_s: u32,
}

impl Terms {
    /// The receiver of channels that pay under these terms.
    #[must_use]
    pub fn pay_to(&self) -> Address {
        self.receiver.unwrap_or(self.provider)
    }

    /// Checks what the types alone do not hold: that no name is too long, and none has control
    /// characters, which JSON spells with six bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] if one is or has.
    pub fn check(&self) -> Result<(), Error> {
        for (what, name, most) in [
            ("the model's name", &self.model, MAX_NAME_BYTES),
            ("the log's origin", &self.log.origin, MAX_NAME_BYTES),
            ("the log's key", &self.log.key, MAX_KEY_BYTES),
        ] {
            if name.len() > most || name.chars().any(char::is_control) {
                let why =
                    format!("{what} has more than {most} bytes, or control characters: shorten it");
                return Err(Error::malformed("terms", why));
            }
        }
        Ok(())
    }

    /// The hash that requests and receipts carry.
    ///
    /// # Errors
    /// [`Error::Canonical`] never for terms made of valid strings.
    pub fn hash(&self) -> Result<B256, Error> {
        canonical_hash(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]
mod tests {
    use super::*;

    fn terms() -> Terms {
        let hash = B256::ZERO.to_string();
        let account = Address::ZERO.to_string();
        serde_json::from_value(serde_json::json!({
            "version": 1, "chain": 1, "settlement": account, "provider": account, "asset": account,
            "model": "m", "identity": hash, "quantum_tokens": 64,
            "prices": { "input": "1", "cached": "1", "output": "1", "request": "1" },
            "log": { "origin": "o", "key": "k", "merge_delay_s": 60 },
        }))
        .unwrap()
    }

    #[test]
    fn names_are_short_and_plain() {
        terms().check().unwrap();
        let name = |text: String| [(text.clone(), "o".into()), ("m".into(), text)];
        for (model, origin) in name("é".repeat(MAX_NAME_BYTES / 2)) {
            let log = LogTerms { origin, ..terms().log };
            Terms { model, log, ..terms() }.check().unwrap();
        }
        for text in ["x".repeat(MAX_NAME_BYTES + 1), "a\nb".into()] {
            for (model, origin) in name(text) {
                let log = LogTerms { origin, ..terms().log };
                let refused = Terms { model, log, ..terms() }.check().unwrap_err();
                assert!(refused.to_string().contains("256 bytes"), "{refused}");
            }
        }
        let with_key = |bytes| {
            let log = LogTerms { key: "k".repeat(bytes), ..terms().log };
            Terms { log, ..terms() }.check()
        };
        // A name of 256 bytes, eight digits, a key in base64, and what stands between them.
        assert_eq!((with_key(320), with_key(321).is_err()), (Ok(()), true));
    }

    #[test]
    fn the_provider_is_paid_unless_the_terms_name_another() {
        let provider = Address::repeat_byte(1);
        let terms = Terms { provider, ..terms() };
        assert_eq!(terms.pay_to(), provider);
        let vault = Address::repeat_byte(2);
        assert_eq!(Terms { receiver: Some(vault), ..terms }.pay_to(), vault);
    }
}
