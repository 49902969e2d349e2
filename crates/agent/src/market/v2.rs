//! Constant-product pairs (Uniswap v2; `UniswapV2Library`).

use alloy_primitives::{Address, U256};
use serde::{Deserialize, Serialize};

use super::math::mul_div;

/// What a swap pays the pair, in millionths: fixed at 0.3 % by the contract.
pub const FEE_PIPS: u32 = 3_000;

/// A pair as it stood at a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Where it stands.
    pub address: Address,
    /// The token of the lower address.
    pub token0: Address,
    /// The other.
    pub token1: Address,
    /// Reserves, atomic units.
    pub reserve0: U256,
    /// See `reserve0`.
    pub reserve1: U256,
    /// Shares of liquidity in all.
    pub supply: U256,
}

/// `getAmountOut`: what a swap of `amount_in` gives, after the fee; none if nothing or too much.
#[must_use]
pub fn amount_out(amount_in: U256, reserve_in: U256, reserve_out: U256) -> Option<U256> {
    if amount_in.is_zero() || reserve_in.is_zero() || reserve_out.is_zero() {
        return None;
    }
    let with_fee = amount_in.checked_mul(U256::from(997))?;
    let denominator = reserve_in.checked_mul(U256::from(1000))?.checked_add(with_fee)?;
    // The contract multiplies in 256 bits and reverts above: reserves are 112 bits wide.
    with_fee.checked_mul(reserve_out)?.checked_div(denominator)
}

impl Pair {
    /// Reserves of (what is sold, what is bought); none if `sell` is not of the pair.
    pub(crate) fn reserves(&self, sell: Address) -> Option<(U256, U256)> {
        match sell {
            sell if sell == self.token0 => Some((self.reserve0, self.reserve1)),
            sell if sell == self.token1 => Some((self.reserve1, self.reserve0)),
            _ => None,
        }
    }

    /// What `shares` of the liquidity are worth now, in token0 and token1.
    #[must_use]
    pub fn amounts_of(&self, shares: U256) -> Option<(U256, U256)> {
        if self.supply.is_zero() {
            return Some((U256::ZERO, U256::ZERO));
        }
        Some((
            mul_div(shares, self.reserve0, self.supply)?,
            mul_div(shares, self.reserve1, self.supply)?,
        ))
    }

    /// What the router takes of the amounts offered, and the shares that it gives
    /// (`UniswapV2Router02._addLiquidity`, `UniswapV2Pair.mint`; protocol fee off).
    #[must_use]
    pub fn deposit(&self, amount0: U256, amount1: U256) -> Option<(U256, U256, U256)> {
        let optimal1 = mul_div(amount0, self.reserve1, self.reserve0)?;
        let (taken0, taken1) = if optimal1 <= amount1 {
            (amount0, optimal1)
        } else {
            (mul_div(amount1, self.reserve0, self.reserve1)?, amount1)
        };
        let shares0 = mul_div(taken0, self.supply, self.reserve0)?;
        let shares1 = mul_div(taken1, self.supply, self.reserve1)?;
        Some((taken0, taken1, shares0.min(shares1)))
    }
}
