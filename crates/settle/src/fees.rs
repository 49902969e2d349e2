//! What a unit of gas may cost (EIP-1559), and how much more when a transaction is stuck.

use alloy::{
    network::TransactionBuilder,
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
};

use crate::Error;

/// In wei a unit of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fees {
    /// Base fee and tip together, at most.
    pub(crate) max: u128,
    /// For who makes the block.
    pub(crate) tip: u128,
}

/// What the network asks now: twice the base fee, and a tip as others pay it.
pub(crate) async fn estimate(provider: &DynProvider) -> Result<Fees, Error> {
    let fees = provider.estimate_eip1559_fees().await;
    let fees = fees.map_err(Error::rpc("for the fees"))?;
    Ok(Fees { max: fees.max_fee_per_gas, tip: fees.max_priority_fee_per_gas })
}

impl Fees {
    /// Those of a transaction.
    pub(crate) fn of(request: &TransactionRequest) -> Self {
        Self {
            max: request.max_fee_per_gas.unwrap_or(0),
            tip: request.max_priority_fee_per_gas.unwrap_or(0),
        }
    }

    pub(crate) fn on(self, request: TransactionRequest) -> TransactionRequest {
        request.with_max_fee_per_gas(self.max).with_max_priority_fee_per_gas(self.tip)
    }

    /// An estimate, kept below the ceiling.
    ///
    /// # Errors
    /// [`Error::TooDear`] if the base fee alone is above it: what is sent would not be mined.
    pub(crate) fn below(self, ceiling: u128) -> Result<Self, Error> {
        let base = self.max.saturating_sub(self.tip) / 2;
        if base > ceiling {
            return Err(Error::TooDear { fee: base, ceiling });
        }
        let max = self.max.min(ceiling);
        Ok(Self { max, tip: self.tip.min(max) })
    }

    /// What takes the place of a transaction with these fees: an eighth more of each, which nodes
    /// ask for at least, or what the network asks now if that is more.
    ///
    /// # Errors
    /// [`Error::TooDear`] above the ceiling.
    pub(crate) fn raised(self, now: Self, ceiling: u128) -> Result<Self, Error> {
        let eighth_more = |fee: u128| fee.saturating_add(fee.div_ceil(8)).saturating_add(1);
        let least = Self { max: eighth_more(self.max), tip: eighth_more(self.tip) };
        if least.max > ceiling {
            return Err(Error::TooDear { fee: least.max, ceiling });
        }
        let max = least.max.max(now.max.min(ceiling));
        Ok(Self { max, tip: least.tip.max(now.tip).min(max) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_rise_by_an_eighth_up_to_the_ceiling() {
        let fees = Fees { max: 1_000, tip: 10 };
        let calm = Fees { max: 500, tip: 1 };
        assert_eq!(fees.raised(calm, 2_000).unwrap(), Fees { max: 1_126, tip: 13 });
        let busy = Fees { max: 5_000, tip: 40 };
        assert_eq!(fees.raised(busy, 9_000).unwrap(), Fees { max: 5_000, tip: 40 });
        assert_eq!(fees.raised(busy, 2_000).unwrap(), Fees { max: 2_000, tip: 40 });
        assert!(matches!(fees.raised(calm, 1_125), Err(Error::TooDear { fee: 1_126, .. })));
    }

    #[test]
    fn an_estimate_above_the_ceiling_is_cut_or_refused() {
        let fees = Fees { max: 2_010, tip: 10 };
        assert_eq!(fees.below(3_000).unwrap(), fees);
        assert_eq!(fees.below(1_500).unwrap(), Fees { max: 1_500, tip: 10 });
        assert!(matches!(fees.below(999), Err(Error::TooDear { fee: 1_000, ceiling: 999 })));
    }
}
