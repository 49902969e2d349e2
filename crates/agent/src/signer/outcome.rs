//! What came of an intent.

use alloy_primitives::{Address, B256, TxHash};
use serde::{Deserialize, Serialize};

use super::{Refusal, simulate::Change};
use crate::mandate::Grant;

/// Refused, settled, failed or unknown; nothing is ever sent twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// Nothing was sent.
    Refused {
        /// [`Refusal::code`].
        code: String,
        /// One sentence.
        reason: String,
    },
    /// It is done. Without a transaction: money set aside for an answer, or a sub-agent's grant.
    Settled {
        /// Where it was mined.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        mined: Option<Mined>,
        /// What the simulation showed just before.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        simulated: Vec<Change>,
        /// What moved, by the tokens' own logs.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        moved: Vec<Moved>,
        /// For the sub-agent.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        grant: Option<Box<Grant>>,
    },
    /// It was mined and reverted: nothing changed but the agent's coin for gas.
    Failed {
        /// Where.
        mined: Mined,
        /// One sentence.
        reason: String,
    },
    /// It was sent and is not mined yet. The same transaction is looked for, and sent again, before
    /// any other.
    Unknown {
        /// Its hash.
        transaction: TxHash,
        /// One sentence.
        reason: String,
    },
}

/// A transaction in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mined {
    /// Its hash.
    pub transaction: TxHash,
    /// The block's number.
    pub block: u64,
    /// The block's hash.
    pub block_hash: B256,
    /// Gas that it used.
    pub gas_used: u64,
    /// Wei for one unit of gas.
    #[serde(with = "crate::decimal")]
    pub gas_price: u128,
}

/// A transfer from or to the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// Of which token. Tokens outside the mandate are listed too; their word is their own.
    pub token: Address,
    /// From whom.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// Atomic units; beyond 2^128 cut.
    #[serde(with = "crate::decimal")]
    pub amount: u128,
}

impl Outcome {
    /// Whether it is done.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Settled { .. })
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { code: refusal.code().to_owned(), reason: refusal.to_string() }
    }
}
