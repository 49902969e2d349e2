//! Prices, usage and charges, in atomic units of the asset (integers, never floats).

use serde::{Deserialize, Serialize};

use crate::Error;

/// Prices are stated for this many tokens.
pub const TOKENS_PER_PRICE: u128 = 1_000_000;

/// What a provider asks, in atomic units of the asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Per million input tokens that were computed.
    #[serde(with = "crate::serde_decimal")]
    pub input: u128,
    /// Per million input tokens that came from a cache.
    #[serde(with = "crate::serde_decimal")]
    pub cached: u128,
    /// Per million output tokens.
    #[serde(with = "crate::serde_decimal")]
    pub output: u128,
    /// Per request.
    #[serde(with = "crate::serde_decimal")]
    pub request: u128,
}

/// What a call used, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Input tokens that were computed (cached ones not counted).
    pub input: u64,
    /// Input tokens that came from a cache.
    pub cached: u64,
    /// Output tokens.
    pub output: u64,
}

impl Prices {
    /// The charge for `usage`: `ceil(sum / 10^6)` plus the price of the request, rounded up
    /// once and with no carry from call to call, so that anyone can recompute it.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the charge does not fit 128 bits.
    pub fn charge(&self, usage: &Usage) -> Result<u128, Error> {
        let part = |count: u64, price: u128| u128::from(count).checked_mul(price);
        let sum = part(usage.input, self.input)
            .and_then(|sum| sum.checked_add(part(usage.cached, self.cached)?))
            .and_then(|sum| sum.checked_add(part(usage.output, self.output)?))
            .ok_or(Error::Overflow)?;
        sum.div_ceil(TOKENS_PER_PRICE).checked_add(self.request).ok_or(Error::Overflow)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounds_up_once() {
        let prices = Prices { input: 1, cached: 1, output: 1, request: 0 };
        assert_eq!(prices.charge(&Usage { input: 1, cached: 1, output: 1 }), Ok(1));
        assert_eq!(prices.charge(&Usage::default()), Ok(0));
    }

    #[test]
    fn refuses_overflow() {
        let prices = Prices { output: u128::MAX, ..Default::default() };
        assert_eq!(prices.charge(&Usage { output: 2, ..Default::default() }), Err(Error::Overflow));
    }

    proptest! {
        #[test]
        fn never_falls_as_usage_grows(input in 0u64..1 << 40, more in 0u64..1 << 20, price in 0u128..1 << 60) {
            let prices = Prices { input: price, request: 3, ..Default::default() };
            let less = prices.charge(&Usage { input, ..Default::default() }).unwrap();
            let more = prices.charge(&Usage { input: input + more, ..Default::default() }).unwrap();
            prop_assert!(less <= more);
        }
    }
}
