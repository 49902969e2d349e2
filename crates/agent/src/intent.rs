//! What a strategy may ask for.
//!
//! An intent names a permission of the mandate by its index and says how much, never whom or what:
//! payees, tokens, pools and contracts are the mandate's. So nothing that an agent reads in the
//! world can become an address.

use std::fmt;

use alloy_primitives::{B256, U256};
use serde::{Deserialize, Serialize};

/// The longest reason of a vote, in bytes: it goes into a transaction.
pub const MAX_REASON_BYTES: usize = 1_000;
/// The longest note of an answer, in bytes.
pub const MAX_NOTE_BYTES: usize = 200;

/// One thing to do, under one permission (its index in the mandate). Amounts are atomic units,
/// deadlines Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(
    tag = "act",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Intent {
    /// Pays one of the mandate's payees.
    Transfer {
        /// A `transfer`.
        permission: usize,
        /// Which payee, by its index in the permission.
        payee: usize,
        /// How much.
        #[serde(with = "crate::decimal")]
        amount: u128,
    },
    /// Sells for at least a minimum.
    Swap {
        /// A `swap`; it says what is sold and bought, and where.
        permission: usize,
        /// What is sold.
        #[serde(with = "crate::decimal")]
        amount_in: u128,
        /// The least to be bought.
        #[serde(with = "crate::decimal")]
        min_out: u128,
        /// Not after this.
        deadline: u64,
    },
    /// Provides liquidity.
    AddLiquidity {
        /// A `liquidity`.
        permission: usize,
        /// The most to put in of the first token.
        #[serde(with = "crate::decimal")]
        amount0: u128,
        /// The most to put in of the second.
        #[serde(with = "crate::decimal")]
        amount1: u128,
        /// The least of the first.
        #[serde(with = "crate::decimal")]
        min0: u128,
        /// The least of the second.
        #[serde(with = "crate::decimal")]
        min1: u128,
        /// Where (v3); v2 has no ranges.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        range: Option<Range>,
        /// Not after this.
        deadline: u64,
    },
    /// Takes liquidity out. On v3 what is freed waits in the position: see [`Intent::Collect`].
    RemoveLiquidity {
        /// A `liquidity`.
        permission: usize,
        /// The position's token (v3); 0 on v2.
        position: U256,
        /// How much of it.
        #[serde(with = "crate::decimal")]
        liquidity: u128,
        /// The least of the first token.
        #[serde(with = "crate::decimal")]
        min0: u128,
        /// The least of the second.
        #[serde(with = "crate::decimal")]
        min1: u128,
        /// Not after this.
        deadline: u64,
    },
    /// Brings a v3 position's fees and freed tokens to the owner.
    Collect {
        /// A `liquidity` on v3.
        permission: usize,
        /// The position's token.
        position: U256,
    },
    /// Votes with the owner's weight; the owner may overrule it while the vote is open.
    Vote {
        /// A `vote`.
        permission: usize,
        /// The proposal.
        proposal: U256,
        /// For what.
        support: Support,
        /// Why, up to [`MAX_REASON_BYTES`]; public, on chain.
        reason: String,
    },
    /// Sets dollars aside for a paid question; the asking itself is the buyer's. What no receipt
    /// accounts for stays set aside: see [`Intent::Answer`].
    Ask {
        /// An `ask`.
        permission: usize,
        /// The most that the answer may cost.
        #[serde(with = "crate::decimal")]
        max_charge: u128,
        /// Which question: the commitment to its request.
        request: B256,
    },
    /// Says what an answer cost, by its receipt: the rest of what was set aside comes back.
    Answer {
        /// The `ask` that it was asked under.
        permission: usize,
        /// Which question: what its [`Intent::Ask`] said.
        request: B256,
        /// Opens `request`, to who has the question.
        nonce: B256,
        /// What the answer's receipt says.
        #[serde(with = "crate::decimal")]
        charge: u128,
        /// What follows from it, in the strategy's own words, up to [`MAX_NOTE_BYTES`].
        #[serde(skip_serializing_if = "String::is_empty", default)]
        note: String,
    },
    /// Hands part of the mandate to the sub-agent that the permission names.
    Delegate {
        /// A `delegate`; it says to whom.
        permission: usize,
        /// How much of the permission's limit.
        #[serde(with = "crate::decimal")]
        limit: u128,
        /// Atomic dollars for answers, of the mandate's `ask`.
        #[serde(with = "crate::decimal", default, skip_serializing_if = "crate::decimal::is_zero")]
        dollars: u128,
    },
}

/// A position's range, in ticks: `lower < upper`, both multiples of the pool's spacing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The lowest tick in it.
    pub lower: i32,
    /// The first tick above it.
    pub upper: i32,
}

/// OpenZeppelin Governor's `VoteType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Support {
    /// No.
    Against = 0,
    /// Yes.
    For = 1,
    /// Counted for the quorum alone.
    Abstain = 2,
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Against => "against",
            Self::For => "for",
            Self::Abstain => "abstain",
        })
    }
}

impl Intent {
    /// The permission it is under.
    #[must_use]
    pub fn permission(&self) -> usize {
        match self {
            Self::Transfer { permission, .. }
            | Self::Swap { permission, .. }
            | Self::AddLiquidity { permission, .. }
            | Self::RemoveLiquidity { permission, .. }
            | Self::Collect { permission, .. }
            | Self::Vote { permission, .. }
            | Self::Ask { permission, .. }
            | Self::Answer { permission, .. }
            | Self::Delegate { permission, .. } => *permission,
        }
    }

    /// Its kind, as JSON has it under `act`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Transfer { .. } => "transfer",
            Self::Swap { .. } => "swap",
            Self::AddLiquidity { .. } => "add-liquidity",
            Self::RemoveLiquidity { .. } => "remove-liquidity",
            Self::Collect { .. } => "collect",
            Self::Vote { .. } => "vote",
            Self::Ask { .. } => "ask",
            Self::Answer { .. } => "answer",
            Self::Delegate { .. } => "delegate",
        }
    }
}
