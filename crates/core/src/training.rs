//! A training, as a receipt (kind 4): what was to be trained on, what came of it, and what each set's
//! owner is credited.
//!
//! ```text
//!  training's receipt ◀── parent ── data-use receipt of each set (kind 5, the whole set)
//!   request  = commitment to the manifest: validation, pot, the sets and their grants, in order
//!   response = commitment to the report: values, weights, each set's part of the pot
//!   charge   = what the sets are credited together
//! ```
//! `provider` trained, for `payer`; there is no channel. A set whose grant no longer held when the
//! training ended is credited nothing: its receipt has status failed.

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

/// What [`Share::weight`] sums to, unless all are 0.
pub const PARTS: u128 = 1_000_000_000_000_000_000;
/// The resource of the manifest's commitment.
const RESOURCE: &str = "TRAIN";

/// What a training's receipt has as its `request`: the commitment to the RFC 8785 form of the
/// manifest.
///
/// # Errors
/// [`Error::Canonical`].
pub fn manifest(nonce: &B256, manifest: &Value) -> Result<B256, Error> {
    Ok(commitment::request(nonce, RESOURCE, &canonical_json(manifest)?))
}

/// What a training's receipt has as its `response`: the commitment to the RFC 8785 form of the
/// report.
///
/// # Errors
/// [`Error::Canonical`].
pub fn report(nonce: &B256, report: &Value) -> Result<B256, Error> {
    Ok(commitment::response(nonce, &canonical_json(report)?))
}

/// A set that is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Set {
    /// Whose it is.
    pub owner: Address,
    /// Its id.
    pub dataset: B256,
    /// What allows it.
    pub grant: B256,
}

/// What a manifest says of money: in its `classifier`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Plan {
    /// What is shared out, in atomic units.
    #[serde(with = "crate::serde_decimal")]
    pub pot: u128,
    /// In order.
    pub sets: Vec<Set>,
}

impl Plan {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it has no pot or no sets.
    pub fn of(manifest: &Value) -> Result<Self, Error> {
        let plan = manifest.get("classifier").unwrap_or(&Value::Null);
        Self::deserialize(plan)
            .map_err(|error| Error::malformed("training's manifest", error.to_string()))
    }
}

/// What a report says of one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Share {
    /// The set.
    #[serde(flatten)]
    pub set: Set,
    /// Labelled examples in it.
    pub examples: u64,
    /// In parts of [`PARTS`].
    #[serde(with = "crate::serde_decimal")]
    pub weight: u128,
    /// Of the pot, in atomic units.
    #[serde(with = "crate::serde_decimal")]
    pub amount: u128,
    /// Whether its grant had ended before anyone was paid.
    pub revoked: bool,
}

impl Share {
    /// What its owner is credited.
    #[must_use]
    pub fn credited(&self) -> u128 {
        if self.revoked { 0 } else { self.amount }
    }
}

/// What a report says of money and of the model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Shares {
    /// The trained model's identity.
    pub model: B256,
    /// By set, in the manifest's order.
    #[serde(rename = "owners")]
    pub sets: Vec<Share>,
}

impl Shares {
    /// Reads a report.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it lacks one of these.
    pub fn of(report: &Value) -> Result<Self, Error> {
        Self::deserialize(report)
            .map_err(|error| Error::malformed("training's report", error.to_string()))
    }

    /// What all sets are credited together.
    ///
    /// # Errors
    /// [`Error::Overflow`].
    pub fn credited(&self) -> Result<u128, Error> {
        let mut amounts = self.sets.iter().map(Share::credited);
        amounts.try_fold(0u128, u128::checked_add).ok_or(Error::Overflow)
    }
}

/// A training with what opens its receipt: a node of a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Training {
    /// The receipt, of kind 4.
    pub receipt: Receipt,
    /// The trainer's promise to log it: its signature.
    pub promise: SignedPromise,
    /// Its place in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogProof>,
    /// The log's verifier key; each checkpoint is signed by the trainer as well.
    pub log_key: String,
    /// Opens manifest and report.
    pub nonce: B256,
    /// What was to be trained, on what, and for how much.
    pub manifest: Value,
    /// What came of it.
    pub report: Value,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_whose_grant_has_ended_is_credited_nothing() {
        let share = |amount: &str, revoked| {
            json!({
                "owner": Address::ZERO, "dataset": B256::ZERO, "grant": B256::ZERO,
                "examples": 3, "weight": "1", "amount": amount, "revoked": revoked,
            })
        };
        let report = |owners: Vec<Value>| json!({ "model": B256::ZERO, "owners": owners });
        let sets = vec![share("70", false), share("20", true), share("5", false)];
        let shares = Shares::of(&report(sets)).unwrap();
        let credited: Vec<_> = shares.sets.iter().map(Share::credited).collect();
        assert_eq!((credited, shares.credited()), (vec![70, 0, 5], Ok(75)));
        let most = u128::MAX.to_string();
        let shares = Shares::of(&report(vec![share(&most, false), share("1", false)])).unwrap();
        assert_eq!(shares.credited(), Err(Error::Overflow));
    }

    #[test]
    fn a_manifest_or_report_has_one_commitment_under_its_nonce() {
        let nonce = B256::repeat_byte(1);
        let (one, same, other) =
            (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}), json!({"a": 1}));
        for commit in [manifest, report] {
            let of = |value| commit(&nonce, value).unwrap();
            assert_eq!(of(&one), of(&same));
            assert_ne!(of(&one), of(&other));
            assert_ne!(of(&one), commit(&B256::ZERO, &one).unwrap());
        }
    }
}
