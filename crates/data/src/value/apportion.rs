//! Integers out of values, by the method of the largest remainder: nothing is lost, nothing added.

use alloy_primitives::U256;

use crate::{Error, Result};

/// What weights sum to: 10^18.
pub use vouch_core::training::PARTS;

/// Splits `total` in proportion to `shares`: the parts sum to `total` exactly. Each gets its quota
/// rounded down; what remains goes to the largest remainders, the earlier of equal ones first. All
/// zero if every share is.
///
/// # Errors
/// [`Error::Amount`] if the shares' sum does not fit 128 bits.
pub fn apportion(total: u128, shares: &[u128]) -> Result<Vec<u128>> {
    let sum = shares.iter().try_fold(0u128, |sum, share| sum.checked_add(*share));
    let sum = sum.ok_or_else(|| Error::Amount("the shares' sum does not fit 128 bits".into()))?;
    if sum == 0 {
        return Ok(vec![0; shares.len()]);
    }
    let mut parts = Vec::with_capacity(shares.len());
    let mut remainders = Vec::with_capacity(shares.len());
    let mut left = total;
    for (index, share) in shares.iter().enumerate() {
        let (part, remainder) = (U256::from(total) * U256::from(*share)).div_rem(U256::from(sum));
        // At most `total`, because a share is at most the sum.
        let part: u128 = part.to();
        left -= part;
        parts.push(part);
        remainders.push((remainder, index));
    }
    remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, index) in remainders.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        parts[*index] += 1;
    }
    Ok(parts)
}

/// Weights in parts of 10^18 from values: negatives are zero, and the sum is exact. All zero if no
/// value is above zero.
///
/// # Errors
/// [`Error::Amount`] if a value is no number, or there are more than can be summed.
pub fn weights(values: &[f64]) -> Result<Vec<u128>> {
    /// Values are read in steps of 2^-60: a fixed point, so that what follows is exact.
    const STEP: f64 = (1u64 << 60) as f64;
    let fixed = values.iter().map(|value| {
        if !value.is_finite() || *value > 1e6 {
            return Err(Error::Amount(format!("a value is {value}")));
        }
        Ok((value.max(0.0) * STEP) as u128)
    });
    apportion(PARTS, &fixed.collect::<Result<Vec<_>>>()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_lost(total: u128, shares in proptest::collection::vec(0..u128::MAX >> 8, 1..100)) {
            let parts = apportion(total, &shares).unwrap();
            let sum = parts.iter().fold(U256::ZERO, |sum, part| sum + U256::from(*part));
            let expected = if shares.iter().all(|s| *s == 0) { 0 } else { total };
            prop_assert_eq!(sum, U256::from(expected));
            let all = shares.iter().fold(U256::ZERO, |sum, share| sum + U256::from(*share));
            for (part, share) in parts.iter().zip(&shares) {
                let quota = U256::from(total) * U256::from(*share) / all.max(U256::from(1));
                prop_assert!(U256::from(*part) - quota <= U256::from(1), "within one of the quota");
            }
        }

        #[test]
        fn weights_sum_to_one(values in proptest::collection::vec(-1f64..1.0, 1..50)) {
            let weights = weights(&values).unwrap();
            let paid = values.iter().any(|value| *value * (1u64 << 60) as f64 >= 1.0);
            prop_assert_eq!(weights.iter().sum::<u128>(), if paid { PARTS } else { 0 });
            for (weight, value) in weights.iter().zip(&values) {
                prop_assert!(*value > 0.0 || *weight == 0);
            }
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(weights(&[f64::NAN]).is_err());
        assert!(weights(&[f64::INFINITY]).is_err());
        assert!(apportion(1, &[u128::MAX, 1]).is_err());
    }
}
