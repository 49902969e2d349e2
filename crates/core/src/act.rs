//! What an agent does, as a receipt (kind 6): the intent before the act, the outcome after it.
//!
//! `provider` is the agent's key and `payer` the owner's account; there is no channel. `request`
//! commits to the intent, `response` to the outcome, `model` is the hash of the strategy, `terms`
//! that of the mandate, `parent` the receipt of the act that delegated (or of the answer that it
//! follows from), and `charge` what the act spent, in units of `asset`. A refused act is a receipt
//! too, with status failed and the reason as its outcome.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Error,
    bundle::LogProof,
    commitment::{self, canonical_json},
    promise::SignedPromise,
    receipt::Receipt,
};

/// The kind of act that hands a part of a budget on: its intent is a [`Delegation`].
pub const DELEGATE: &str = "delegate";
/// The kind of act that sets money aside for a question.
pub const ASK: &str = "ask";
/// The kind of act that says what an answer cost: its intent is an [`Answered`].
pub const ANSWER: &str = "answer";
/// Key of an intent under which stand the digests of the receipts that it relied on.
pub const RELIED_ON: &str = "reliedOn";
const MAX_KIND_BYTES: usize = 32;

/// The resource of an act's commitment: `ACT <kind>`.
///
/// # Errors
/// [`Error::Malformed`] if the kind is not 1 to 32 lower-case letters, digits and hyphens.
pub fn resource(kind: &str) -> Result<String, Error> {
    let plain = kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if kind.is_empty() || kind.len() > MAX_KIND_BYTES || !plain {
        let why = "its kind must be 1 to 32 lower-case letters, digits and hyphens";
        return Err(Error::malformed("act", why));
    }
    Ok(format!("ACT {kind}"))
}

/// What the receipt of an act has as its `request`: the commitment to the RFC 8785 form of the
/// intent.
///
/// # Errors
/// [`Error::Malformed`] as [`resource`], [`Error::Canonical`].
pub fn intent(nonce: &B256, kind: &str, intent: &Value) -> Result<B256, Error> {
    Ok(commitment::request(nonce, &resource(kind)?, &canonical_json(intent)?))
}

/// What the receipt of an act has as its `response`: the commitment to the RFC 8785 form of the
/// outcome.
///
/// # Errors
/// [`Error::Canonical`].
pub fn outcome(nonce: &B256, outcome: &Value) -> Result<B256, Error> {
    Ok(commitment::response(nonce, &canonical_json(outcome)?))
}

/// The receipts that an intent says it relied on; none where it does not say.
///
/// # Errors
/// [`Error::Malformed`] if what stands there is no list of digests.
pub fn relied_on(intent: &Value) -> Result<Vec<B256>, Error> {
    let Some(digests) = intent.get(RELIED_ON) else { return Ok(Vec::new()) };
    Vec::deserialize(digests)
        .map_err(|_| Error::malformed("intent", "reliedOn is no list of receipts' digests"))
}

/// The intent of an act of kind [`DELEGATE`]: `to` may act under it as long as the charges of all
/// that descends from it stay within `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delegation {
    /// The sub-agent's key.
    pub to: Address,
    /// The token of the budget.
    pub asset: Address,
    /// Atomic units that may be spent in all.
    #[serde(with = "crate::serde_decimal")]
    pub limit: u128,
}

impl Delegation {
    /// Reads an intent.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it delegates nothing.
    pub fn of(intent: &Value) -> Result<Self, Error> {
        Self::deserialize(intent)
            .map_err(|error| Error::malformed("intent to delegate", error.to_string()))
    }
}

/// The intent of an act of kind [`ASK`]: what is set aside, and for which question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// [`commitment::request`] of the question.
    pub request: B256,
    /// The most that the answer may cost, in atomic units.
    #[serde(with = "crate::serde_decimal")]
    pub max_charge: u128,
}

impl Asked {
    /// Reads an intent.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it asks nothing.
    pub fn of(intent: &Value) -> Result<Self, Error> {
        Self::deserialize(intent)
            .map_err(|error| Error::malformed("intent to ask", error.to_string()))
    }
}

/// The intent of an act of kind [`ANSWER`], which relies on the answer's receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// What the [`ASK`] committed to: [`commitment::request`] of the question.
    pub request: B256,
    /// Of that commitment.
    pub nonce: B256,
    /// What the answer cost, in atomic units.
    #[serde(with = "crate::serde_decimal")]
    pub charge: u128,
}

impl Answered {
    /// Reads an intent.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it settles no question.
    pub fn of(intent: &Value) -> Result<Self, Error> {
        Self::deserialize(intent)
            .map_err(|error| Error::malformed("intent to settle a question", error.to_string()))
    }
}

/// An act with what opens its receipt: a node of a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Act {
    /// The receipt, of kind 6.
    pub receipt: Receipt,
    /// The agent's promise to log it: its signature.
    pub promise: SignedPromise,
    /// Opens intent and outcome.
    pub nonce: B256,
    /// The kind of act, such as `swap` or [`DELEGATE`].
    pub kind: String,
    /// What the agent meant to do, and what it relied on.
    pub intent: Value,
    /// What became of it, or why it was refused.
    pub outcome: Value,
    /// The receipt in the agent's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogProof>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_is_a_plain_word() {
        assert_eq!(resource("open-position").unwrap(), "ACT open-position");
        assert!(resource(&"a".repeat(32)).is_ok());
        for kind in ["", "Swap", "a b", "a\nb", &"a".repeat(33)] {
            assert!(resource(kind).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn one_intent_has_one_commitment() {
        let nonce = B256::repeat_byte(1);
        let commit = |kind, value| intent(&nonce, kind, &value).unwrap();
        assert_eq!(
            commit("swap", json!({"a": 1, "b": 2})),
            commit("swap", json!({"b": 2, "a": 1}))
        );
        assert_ne!(commit("swap", json!({})), commit("vote", json!({})));
    }

    #[test]
    fn what_was_relied_on_is_a_list_of_digests() {
        let digest = B256::repeat_byte(7);
        assert_eq!(relied_on(&json!({"reliedOn": [digest]})).unwrap(), [digest]);
        assert!(relied_on(&json!({})).unwrap().is_empty());
        assert!(relied_on(&json!({"reliedOn": "all"})).is_err());
        let limit = json!({"to": Address::ZERO, "asset": Address::ZERO, "limit": "5"});
        assert_eq!(Delegation::of(&limit).unwrap().limit, 5);
        assert!(Delegation::of(&json!({"limit": 5})).is_err());
    }
}
