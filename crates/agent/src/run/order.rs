//! What goes into the machine and comes out of it.

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::{
    intent::Support,
    market::{Snapshot, math::decimal},
    strategy::{Advice, Question, Want},
};

/// Which contracts an action goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Venue {
    /// Uniswap v2's router.
    V2,
    /// Uniswap v3's, for the pool of this fee.
    V3 {
        /// Millionths.
        fee: u32,
    },
}

/// What is to be done, with all that its transaction says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Sell exactly `amount_in` for at least `min_out`.
    Swap {
        /// Where.
        venue: Venue,
        /// In which pool.
        pool: Address,
        /// What is sold.
        sell: Address,
        /// What is bought.
        buy: Address,
        /// How much is sold.
        amount_in: U256,
        /// What must come of it at least.
        min_out: U256,
    },
    /// Provide liquidity: at most the amounts, at least the minima.
    AddLiquidity {
        /// Where.
        venue: Venue,
        /// In which pool.
        pool: Address,
        /// Its tokens.
        tokens: (Address, Address),
        /// Ticks; 0 and 0 in v2.
        range: (i32, i32),
        /// Of token0 and token1, at most.
        amounts: (U256, U256),
        /// Of token0 and token1, at least.
        minima: (U256, U256),
    },
    /// Take liquidity and what it earned back.
    RemoveLiquidity {
        /// Where.
        venue: Venue,
        /// In which pool.
        pool: Address,
        /// Its tokens.
        tokens: (Address, Address),
        /// The position's id; 0 in v2.
        id: U256,
        /// How much.
        #[serde(with = "decimal")]
        liquidity: u128,
        /// Of token0 and token1, at least.
        minima: (U256, U256),
    },
    /// Take what a position earned.
    Collect {
        /// Where.
        venue: Venue,
        /// In which pool.
        pool: Address,
        /// Its tokens.
        tokens: (Address, Address),
        /// The position's id.
        id: U256,
    },
    /// Vote on a proposal.
    Vote {
        /// The governor.
        governor: Address,
        /// The proposal's id.
        proposal: U256,
        /// How.
        support: Support,
        /// Said with the vote, on the chain.
        reason: String,
    },
}

/// One thing to do, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Counts from 1 in a run.
    pub id: u64,
    /// The block whose state it was decided on.
    pub block: u64,
    /// Unix seconds after which it must not happen.
    pub deadline: u64,
    /// What.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// Receipts of the answers that it rests on.
    pub relied_on: Vec<B256>,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Settled(Fill),
    /// Not done, and it cannot happen any more.
    Failed {
        /// Why, in one printable sentence.
        reason: String,
        /// The transaction that reverted, if one was mined.
        transaction: Option<B256>,
        /// What it cost in gas, wei.
        #[serde(with = "decimal")]
        gas_cost: u128,
    },
    /// It may or may not happen yet.
    Unknown,
}

/// A settled order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fill {
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
    /// What it cost in gas, wei.
    #[serde(with = "decimal")]
    pub gas_cost: u128,
    /// Tokens that left the account, by the tokens' own transfer events.
    pub spent: Vec<(Address, U256)>,
    /// Tokens that came.
    pub received: Vec<(Address, U256)>,
}

/// What may be under way for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The order.
    pub order: u64,
    /// Its transaction's hash and nonce; none where another process signs, which is then asked.
    pub transaction: Option<(B256, u64)>,
}

/// What the machine is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A block, as the account and its pools stand after it.
    Block(Box<Snapshot>),
    /// What came of an order.
    Outcome {
        /// Which order.
        order: u64,
        /// What.
        outcome: Outcome,
    },
    /// What came of a question.
    Advice(Advice),
}

/// What the machine asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Do this.
    Order(Order),
    /// Ask this.
    Ask(Question),
    /// Nothing: a strategy wanted what the limits do not allow. Kept for the report.
    Refused(Refusal),
}

/// What a strategy wanted in vain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In which block.
    pub block: u64,
    /// What.
    pub want: Want,
    /// Why not.
    pub why: String,
}
