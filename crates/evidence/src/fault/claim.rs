//! A claim on a channel that the receipts at hand do not add up to.

use serde::{Deserialize, Serialize};
use vouch_core::{Address, B256};

use super::{Promised, ensure, payout::decimal};
use crate::Error;

/// Reason to demand a receipt of a provider: it has claimed more of a channel than the last receipt
/// that is held adds up to. What was claimed is the chain's word; that the provider has no later
/// receipt shows when it does not answer (`Faults.demand`, `Faults.enforce`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uncovered {
    /// The last receipt of the channel that is held.
    pub receipt: Box<Promised>,
    /// What the settlement contract has as claimed, in atomic units, in decimal.
    #[serde(with = "decimal")]
    pub claimed: u128,
}

impl Uncovered {
    /// Checks that the receipt is promised and of a channel, and does not cover the claim; says who
    /// must answer.
    ///
    /// # Errors
    /// [`Error::NoFault`] if it covers the claim, [`Error::Core`] if the promise is bad.
    pub fn verify(&self) -> Result<Address, Error> {
        self.receipt.verify()?;
        let receipt = &self.receipt.receipt;
        ensure(receipt.channel != B256::ZERO, "the receipt is of no channel")?;
        ensure(receipt.cumulative < self.claimed, "the receipt covers what was claimed")?;
        Ok(receipt.provider)
    }

    /// Checks that another receipt of the provider's covers what this one does not.
    ///
    /// # Errors
    /// [`Error::NoFault`] if it does not, [`Error::Core`] if its promise is bad.
    pub fn answered_by(&self, answer: &Promised) -> Result<(), Error> {
        answer.verify()?;
        let (held, shown) = (&self.receipt.receipt, &answer.receipt);
        let channel = (held.domain, held.channel, held.provider);
        let same = channel == (shown.domain, shown.channel, shown.provider);
        ensure(same, "the receipts are of different channels")?;
        ensure(shown.cumulative >= self.claimed, "the receipt does not cover what was claimed")
    }
}
