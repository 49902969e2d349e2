//! A pool of either kind: quotes, price impact, mid-prices.

use alloy_primitives::{Address, U256, U512};
use serde::{Deserialize, Serialize};

use super::{
    Error, Result,
    math::{bps_up, mul_div, narrow, wide},
    v2, v3,
};

/// A pool as it stood at a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// Constant product.
    V2(v2::Pair),
    /// Concentrated liquidity.
    V3(v3::Pool),
}

/// What a swap would give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// What is sold, atomic units.
    pub amount_in: U256,
    /// What is bought.
    pub amount_out: U256,
    /// The pool's fee, in what is sold.
    pub fee: U256,
    /// How much worse than the mid-price, the fee left out, in basis points, rounded up.
    pub impact_bps: u32,
}

impl Pool {
    /// Where it stands.
    #[must_use]
    pub fn address(&self) -> Address {
        match self {
            Self::V2(pair) => pair.address,
            Self::V3(pool) => pool.address,
        }
    }

    /// Its tokens, by address.
    #[must_use]
    pub fn tokens(&self) -> (Address, Address) {
        match self {
            Self::V2(pair) => (pair.token0, pair.token1),
            Self::V3(pool) => (pool.token0, pool.token1),
        }
    }

    /// Whether it trades both.
    #[must_use]
    pub fn trades(&self, a: Address, b: Address) -> bool {
        let tokens = self.tokens();
        tokens == (a, b) || tokens == (b, a)
    }

    /// Its fee, in millionths of what is sold.
    #[must_use]
    pub fn fee_pips(&self) -> u32 {
        match self {
            Self::V2(_) => v2::FEE_PIPS,
            Self::V3(pool) => pool.fee,
        }
    }

    /// What selling `amount_in` of `sell` would give now.
    ///
    /// # Errors
    /// [`Error::OtherToken`], [`Error::Liquidity`], [`Error::Beyond`], [`Error::Overflow`].
    pub fn quote(&self, sell: Address, amount_in: U256) -> Result<Quote> {
        let pool = self.address();
        let other = Error::OtherToken { pool, token: sell };
        let amount_out = match self {
            Self::V2(pair) => {
                let (reserve_in, reserve_out) = pair.reserves(sell).ok_or(other)?;
                v2::amount_out(amount_in, reserve_in, reserve_out)
                    .ok_or(Error::Liquidity { pool })?
            }
            Self::V3(state) => {
                let zero_for_one = match sell {
                    sell if sell == state.token0 => true,
                    sell if sell == state.token1 => false,
                    _ => return Err(other),
                };
                let swapped = state.swap(zero_for_one, amount_in).map_err(|why| match why {
                    v3::Stopped::Beyond => Error::Beyond { pool },
                    v3::Stopped::Exhausted => Error::Liquidity { pool },
                    v3::Stopped::Overflow => Error::Overflow { pool },
                })?;
                swapped.amount_out
            }
        };
        let pips = U256::from(v3::PIPS);
        let fee = mul_div(amount_in, U256::from(self.fee_pips()), pips).unwrap_or_default();
        let mid = self.value(sell, amount_in.saturating_sub(fee))?;
        let impact_bps = bps_up(mid.saturating_sub(amount_out), mid.max(U256::ONE));
        Ok(Quote { amount_in, amount_out, fee, impact_bps })
    }

    /// What `amount` of `token` is worth in the other token at the mid-price.
    ///
    /// # Errors
    /// [`Error::OtherToken`], [`Error::Liquidity`] of an empty pool, [`Error::Overflow`].
    pub fn value(&self, token: Address, amount: U256) -> Result<U256> {
        let pool = self.address();
        let (numerator, denominator) = self.price(token)?;
        if denominator.is_zero() {
            return Err(Error::Liquidity { pool });
        }
        let product = wide(amount).checked_mul(numerator);
        product.and_then(|product| narrow(product / denominator)).ok_or(Error::Overflow { pool })
    }

    /// The other token per `token`, as a fraction.
    fn price(&self, token: Address) -> Result<(U512, U512)> {
        let other = Error::OtherToken { pool: self.address(), token };
        match self {
            Self::V2(pair) => {
                let (own, opposite) = pair.reserves(token).ok_or(other)?;
                Ok((wide(opposite), wide(own)))
            }
            Self::V3(pool) => {
                let square = wide(pool.sqrt_price) * wide(pool.sqrt_price);
                let one = U512::from(1) << 192;
                match token {
                    token if token == pool.token0 => Ok((square, one)),
                    token if token == pool.token1 => Ok((one, square)),
                    _ => Err(other),
                }
            }
        }
    }

    /// How far the mid-price has moved since `earlier`, in basis points of the lower one.
    #[must_use]
    pub fn moved_bps(&self, earlier: &Self) -> u32 {
        /// Fine enough for basis points of any price that a pool can hold.
        const PROBE: U256 = U256::from_limbs([0, 1, 0, 0]);
        let token = self.tokens().0;
        let price = |pool: &Self| {
            let up = pool.value(token, PROBE).unwrap_or_default();
            // A price that leaves no digits here leaves them the other way round.
            if up < U256::from(1u64 << 32) {
                (true, pool.value(pool.tokens().1, PROBE).unwrap_or_default())
            } else {
                (false, up)
            }
        };
        let ((_, now), (_, then)) = match (price(self), price(earlier)) {
            (now, then) if now.0 == then.0 => (now, then),
            _ => return u32::MAX,
        };
        bps_up(now.abs_diff(then), now.min(then).max(U256::ONE))
    }
}
