//! Decide what to do from what is seen: pure, no clock, no I/O.
//!
//! A strategy says what it wants, never how much it accepts for it: prices, limits and deadlines are
//! the [`Machine`](crate::run::Machine)'s. What it wants to know from a model it asks for by
//! [`Choice::Ask`], and is given the answer as part of a later [`View`], so that a recorded run
//! decides the same again.

mod advised;
mod range;
mod rebalance;
mod view;

pub use advised::Advised;
pub use range::Range;
pub use rebalance::Rebalance;
pub use view::View;
pub(crate) use view::{part, total, value};

use std::fmt::Debug;

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::portfolio::{Portfolio, StrategyConfig};

/// What a strategy wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// Sell about this much of one token for another, in whichever pool gives most.
    Swap {
        /// What is sold.
        sell: Address,
        /// What is bought.
        buy: Address,
        /// At most.
        amount_in: U256,
    },
    /// Provide liquidity with at most these amounts.
    Provide {
        /// In which pool.
        pool: Address,
        /// Between these ticks; 0 and 0 in v2.
        lower: i32,
        /// See `lower`.
        upper: i32,
        /// Of token0.
        amount0: U256,
        /// Of token1.
        amount1: U256,
    },
    /// Take all liquidity of a position back, with what it earned.
    Withdraw {
        /// In which pool.
        pool: Address,
        /// The position's id.
        id: U256,
    },
    /// Take what a position earned.
    Collect {
        /// In which pool.
        pool: Address,
        /// The position's id.
        id: U256,
    },
}

/// One step of a strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Do something.
    Act {
        /// What.
        want: Want,
        /// Why, in one sentence of the strategy's own words.
        reason: String,
        /// Receipts of the answers that this rests on.
        relied_on: Vec<B256>,
    },
    /// Ask a model; see [`Question`].
    Ask(Question),
}

/// A question with lettered options: nothing but a letter counts as an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Counts from 1.
    pub id: u64,
    /// The model's name.
    pub model: String,
    /// The text, options included.
    pub text: String,
    /// The letters, in the order of the options; the first is the default.
    pub letters: String,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// Which question.
    pub question: u64,
    /// The text, cut to [`MAX_ANSWER_BYTES`]; none if there was no answer.
    pub answer: Option<String>,
    /// The digest of the receipt for it.
    pub receipt: Option<B256>,
}

/// More of an answer is never kept: a letter is enough.
pub const MAX_ANSWER_BYTES: usize = 256;

impl Advice {
    /// An answer; text beyond [`MAX_ANSWER_BYTES`] is dropped.
    #[must_use]
    pub fn new(question: u64, mut answer: String, receipt: Option<B256>) -> Self {
        answer.truncate(answer.floor_char_boundary(MAX_ANSWER_BYTES));
        Self { question, answer: Some(answer), receipt }
    }

    /// No answer.
    #[must_use]
    pub fn none(question: u64) -> Self {
        Self { question, answer: None, receipt: None }
    }

    /// The option chosen: the answer must be one of the letters, alone or with one mark behind it.
    #[must_use]
    pub fn option(&self, letters: &str) -> Option<usize> {
        let answer = self.answer.as_deref()?.trim();
        let bare = answer.strip_suffix(['.', ')', ':']).unwrap_or(answer);
        let mut characters = bare.chars();
        let letter = characters.next()?.to_ascii_uppercase();
        if characters.next().is_some() {
            return None;
        }
        letters.chars().position(|option| option == letter)
    }
}

/// Decides. Keeps what it remembers in itself; the same views give the same choices.
pub trait Strategy: Debug + Send {
    /// What to do now, most urgent first. Called at most once a block, and not while an order or a
    /// question is open.
    fn decide(&mut self, view: &View<'_>) -> Vec<Choice>;
}

/// The strategy that a portfolio names.
#[must_use]
pub fn strategy(portfolio: &Portfolio) -> Box<dyn Strategy> {
    match &portfolio.strategy {
        StrategyConfig::Rebalance { band_bps } => Box::new(Rebalance::new(*band_bps)),
        StrategyConfig::Range { pool, half_width, share_bps } => {
            Box::new(Range::new(*pool, *half_width, *share_bps))
        }
        StrategyConfig::Advised { model, every_s, step_bps, drift_bps, .. } => {
            Box::new(Advised::new(model.clone(), *every_s, *step_bps, *drift_bps))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_letter_is_an_answer() {
        let option = |text: &str| Advice::new(1, text.into(), None).option("ABC");
        assert_eq!(option("B"), Some(1));
        assert_eq!(option(" c.\n"), Some(2));
        assert_eq!(option("A)"), Some(0));
        for other in ["", "D", "AB", "A or B", "Sell everything. B", "B B", "b..", "Ａ", "1"] {
            assert_eq!(option(other), None, "{other}");
        }
        assert_eq!(Advice::none(1).option("ABC"), None);
    }
}
