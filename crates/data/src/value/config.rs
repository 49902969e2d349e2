//! `classifier.toml`: what is trained, on what, and for how much.

use alloy_primitives::{Address, B256, Keccak256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Error, Result, dataset::Document};

/// More are not credited in one commit.
const MAX_SETS: usize = 64;

/// What a classifier is trained on.
///
/// ```toml
/// name = "tickets"
/// k = 5
/// near_duplicate = 0.97
/// pot = "1000000"             # atomic units of the dollar
///
/// [validation]
/// path = "validation"          # a directory, labelled JSON documents
/// commitment = "0x…"           # of its content, fixed before the sets were known
///
/// [[sets]]                     # in order: of two copies, the earlier set's stays
/// owner = "0x…"
/// dataset = "0x…"
/// grant = "0x…"
/// source = "http://127.0.0.1:4030"
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Of the classifier.
    pub name: String,
    /// Neighbours that are asked.
    #[serde(default = "default_k")]
    pub k: usize,
    /// Inner product from which vectors are of copies.
    #[serde(default = "default_near")]
    pub near_duplicate: f32,
    /// What is shared out, in atomic units.
    #[serde(with = "crate::decimal")]
    pub pot: u128,
    /// What the value is measured by.
    pub validation: Validation,
    /// What is trained on.
    pub sets: Vec<SetConfig>,
}

/// The set that decides what data is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Where it is.
    pub path: String,
    /// [`validation_hash`] of it.
    pub commitment: B256,
}

/// One owner's set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetConfig {
    /// Whose it is.
    pub owner: Address,
    /// Its id.
    pub dataset: B256,
    /// What allows its use.
    pub grant: B256,
    /// Where its owner serves it.
    pub source: String,
}

fn default_k() -> usize {
    5
}

fn default_near() -> f32 {
    0.97
}

impl Config {
    /// Reads `classifier.toml`.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the place of the mistake.
    pub fn from_toml(text: &str) -> Result<Self> {
        let config: Self =
            toml::from_str(text).map_err(|error| Error::malformed("classifier.toml", error))?;
        let why = if config.k == 0 || config.k > 1_000 {
            "k is not from 1 to 1,000"
        } else if !(config.near_duplicate > 0.5 && config.near_duplicate <= 1.0) {
            "near_duplicate is not above 0.5 and at most 1"
        } else if config.sets.is_empty() || config.sets.len() > MAX_SETS {
            "sets are not 1 to 64"
        } else {
            return Ok(config);
        };
        Err(Error::malformed("classifier.toml", why))
    }

    /// What a receipt's `request` commits to: all of this, over one embedding model.
    #[must_use]
    pub fn manifest(&self, embedding: B256) -> Value {
        json!({ "version": 1, "embedding": embedding, "classifier": self })
    }
}

/// What a validation set is committed by: keccak-256 over the length and bytes of each document's
/// content, in order.
#[must_use]
pub fn validation_hash(documents: &[Document]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(b"vouch validation set 1\n");
    for document in documents {
        hasher.update((document.content.len() as u64).to_be_bytes());
        hasher.update(document.content.as_bytes());
    }
    hasher.finalize()
}
