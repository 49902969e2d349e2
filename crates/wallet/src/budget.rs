//! What may be spent. Pure: no clock, no disk.

use serde::{Deserialize, Serialize};

/// A cap on what is signed for, in atomic units of one asset.
///
/// Counted is not what was deposited (the rest of a deposit comes back) nor what was charged (a
/// provider may claim every voucher in full), but what was **signed for**: `spent` is charged and
/// receipted, `ahead` is signed and not yet charged. Invariant: `spent + ahead <= total`, except
/// where a caller lowers the total below what is already signed; then nothing more is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    total: u128,
    per_call: u128,
    spent: u128,
    ahead: u128,
}

/// Why nothing more is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// The total does not allow it.
    #[error(
        "the budget allows {left} more and {asked} is asked for ({spent} spent and {ahead} \
         signed ahead of {total} in all): raise the budget, or close channels to free what is ahead"
    )]
    Total {
        /// What is asked for.
        asked: u128,
        /// What may still be signed.
        left: u128,
        /// Charged so far.
        spent: u128,
        /// Signed for, not charged.
        ahead: u128,
        /// The cap.
        total: u128,
    },
    /// One call would cost more than a call may.
    #[error(
        "the call may cost up to {asked} and a call may cost {per_call}: lower max_tokens or raise \
         the budget per call"
    )]
    PerCall {
        /// What the call may cost.
        asked: u128,
        /// The cap.
        per_call: u128,
    },
    /// More was charged or freed than had been signed for.
    #[error("{amount} is charged or freed, but only {ahead} was signed for and not yet charged")]
    NotSigned {
        /// What was charged or freed.
        amount: u128,
        /// Signed for, not charged.
        ahead: u128,
    },
}

impl Budget {
    /// A budget with nothing spent: at most `total` in all and `per_call` for one call.
    #[must_use]
    pub fn new(total: u128, per_call: u128) -> Self {
        Self { total, per_call, spent: 0, ahead: 0 }
    }

    /// The same history under other caps.
    #[must_use]
    pub fn with_caps(self, total: u128, per_call: u128) -> Self {
        Self { total, per_call, ..self }
    }

    /// The cap on all.
    #[must_use]
    pub fn total(&self) -> u128 {
        self.total
    }

    /// The cap on one call.
    #[must_use]
    pub fn per_call(&self) -> u128 {
        self.per_call
    }

    /// Charged and receipted.
    #[must_use]
    pub fn spent(&self) -> u128 {
        self.spent
    }

    /// Signed for and not yet charged: what a provider could take without a receipt.
    #[must_use]
    pub fn ahead(&self) -> u128 {
        self.ahead
    }

    /// What may still be signed.
    #[must_use]
    pub fn left(&self) -> u128 {
        self.total.saturating_sub(self.spent).saturating_sub(self.ahead)
    }

    /// Checks that one call may cost `max_charge`. Changes nothing.
    ///
    /// # Errors
    /// [`BudgetError::PerCall`].
    pub fn admit(&self, max_charge: u128) -> Result<(), BudgetError> {
        if max_charge <= self.per_call {
            Ok(())
        } else {
            Err(BudgetError::PerCall { asked: max_charge, per_call: self.per_call })
        }
    }

    /// Takes `increase` for a voucher that is about to be signed.
    ///
    /// # Errors
    /// [`BudgetError::Total`]; nothing has changed.
    pub fn sign(&mut self, increase: u128) -> Result<(), BudgetError> {
        match self.ahead.checked_add(increase) {
            Some(ahead) if increase <= self.left() => {
                self.ahead = ahead;
                Ok(())
            }
            _ => Err(BudgetError::Total {
                asked: increase,
                left: self.left(),
                spent: self.spent,
                ahead: self.ahead,
                total: self.total,
            }),
        }
    }

    /// Counts a charge against what was signed.
    ///
    /// # Errors
    /// [`BudgetError::NotSigned`]; nothing has changed.
    pub fn charge(&mut self, amount: u128) -> Result<(), BudgetError> {
        self.lower_ahead(amount)?;
        // No overflow: `amount` was part of `ahead`, and their sum was below 2^128 when signed.
        self.spent = self.spent.saturating_add(amount);
        Ok(())
    }

    /// Frees what was signed and can no longer be claimed, because its channel is closed.
    ///
    /// # Errors
    /// [`BudgetError::NotSigned`]; nothing has changed.
    pub fn free(&mut self, amount: u128) -> Result<(), BudgetError> {
        self.lower_ahead(amount)
    }

    fn lower_ahead(&mut self, amount: u128) -> Result<(), BudgetError> {
        self.ahead = self
            .ahead
            .checked_sub(amount)
            .ok_or(BudgetError::NotSigned { amount, ahead: self.ahead })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Sign(u128),
        Charge(u128),
        Free(u128),
        Caps(u128),
    }

    fn amount() -> impl Strategy<Value = u128> {
        prop_oneof![0..200u128, Just(u128::MAX), Just(u128::MAX - 50)]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            amount().prop_map(Step::Sign),
            amount().prop_map(Step::Charge),
            amount().prop_map(Step::Free),
            amount().prop_map(Step::Caps),
        ]
    }

    proptest! {
        /// Over any history: never above the cap, refusals change nothing, nothing is lost.
        #[test]
        fn spent_and_ahead_stay_within_the_total(total in amount(), steps in prop::collection::vec(step(), 0..60)) {
            let mut budget = Budget::new(total, total);
            let (mut spent, mut ahead) = (0u128, 0u128);
            for step in steps {
                let before = budget;
                let done = match step {
                    Step::Sign(amount) => budget.sign(amount).map(|()| ahead += amount),
                    Step::Charge(amount) => {
                        budget.charge(amount).map(|()| (ahead, spent) = (ahead - amount, spent + amount))
                    }
                    Step::Free(amount) => budget.free(amount).map(|()| ahead -= amount),
                    Step::Caps(total) => {
                        budget = budget.with_caps(total, total);
                        continue;
                    }
                };
                if done.is_err() {
                    prop_assert_eq!(budget, before);
                } else if matches!(step, Step::Sign(amount) if amount > 0) {
                    prop_assert!(budget.spent().checked_add(budget.ahead()).unwrap() <= budget.total());
                }
                prop_assert_eq!((budget.spent(), budget.ahead()), (spent, ahead));
            }
        }
    }

    #[test]
    fn one_call_has_its_own_cap() {
        let budget = Budget::new(100, 10);
        assert_eq!(budget.admit(10), Ok(()));
        assert_eq!(budget.admit(11), Err(BudgetError::PerCall { asked: 11, per_call: 10 }));
    }
}
