//! Concentrated liquidity (Uniswap v3 `SwapMath`, `SqrtPriceMath`, `TickBitmap`; whitepaper 6.2).

use alloy_primitives::{Address, U256};
use serde::{Deserialize, Serialize};

use super::{
    math::{Q96, decimal, div_up, mul_div, mul_div_up},
    tick::{MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK, sqrt_price_at, tick_at},
};

/// Fees are in millionths of what is sold.
pub(crate) const PIPS: u32 = 1_000_000;
/// Most steps of one swap: one a bitmap word or tick that was read.
const MAX_STEPS: usize = 4096;

/// Where liquidity begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// A multiple of the pool's spacing.
    pub index: i32,
    /// Liquidity added when the price crosses upwards.
    #[serde(with = "decimal")]
    pub net: i128,
}

/// A pool as it stood at a block, with the ticks near its price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Where it stands.
    pub address: Address,
    /// The token of the lower address.
    pub token0: Address,
    /// The other.
    pub token1: Address,
    /// Millionths of what is sold.
    pub fee: u32,
    /// Ticks that may hold liquidity are multiples of this.
    pub spacing: i32,
    /// Square root of token1 per token0, Q64.96.
    pub sqrt_price: U256,
    /// The tick of the price, as the contract keeps it.
    pub tick: i32,
    /// Liquidity in range.
    #[serde(with = "decimal")]
    pub liquidity: u128,
    /// The bitmap words that were read, first and last: every initialised tick in them is in `ticks`.
    pub words: (i32, i32),
    /// Initialised ticks, rising.
    pub ticks: Vec<Tick>,
}

/// Why a swap has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The price would leave the words that were read.
    Beyond,
    /// The price reached the end of the range before the amount was sold.
    Exhausted,
    /// The contract would revert.
    Overflow,
}

/// A pool after a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swapped {
    /// What is bought.
    pub amount_out: U256,
    /// The price behind it.
    pub sqrt_price: U256,
    /// Its tick.
    pub tick: i32,
    /// The liquidity there.
    pub liquidity: u128,
}

/// The bitmap word of a tick.
pub(crate) fn word_of(tick: i32, spacing: i32) -> i32 {
    tick.div_euclid(spacing) >> 8
}

impl Pool {
    /// Sells exactly `amount_in`, step by step as the contract does, with its rounding.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn swap(&self, zero_for_one: bool, amount_in: U256) -> Result<Swapped, Stopped> {
        let limit = match zero_for_one {
            true => MIN_SQRT_PRICE + U256::ONE,
            false => MAX_SQRT_PRICE - U256::ONE,
        };
        let mut remaining = amount_in;
        let mut now = Swapped {
            amount_out: U256::ZERO,
            sqrt_price: self.sqrt_price,
            tick: self.tick,
            liquidity: self.liquidity,
        };
        for _ in 0..MAX_STEPS {
            if remaining.is_zero() {
                return Ok(now);
            }
            if now.sqrt_price == limit {
                return Err(Stopped::Exhausted);
            }
            let (next, initialised) =
                self.next_tick(now.tick, zero_for_one).ok_or(Stopped::Beyond)?;
            let next = next.clamp(MIN_TICK, MAX_TICK);
            let next_price = sqrt_price_at(next).ok_or(Stopped::Overflow)?;
            let target = if zero_for_one { next_price.max(limit) } else { next_price.min(limit) };
            let step = Step::compute(now.sqrt_price, target, now.liquidity, remaining, self.fee)
                .ok_or(Stopped::Overflow)?;
            let taken = step.amount_in.checked_add(step.fee).ok_or(Stopped::Overflow)?;
            remaining = remaining.checked_sub(taken).ok_or(Stopped::Overflow)?;
            now.amount_out =
                now.amount_out.checked_add(step.amount_out).ok_or(Stopped::Overflow)?;
            let start = std::mem::replace(&mut now.sqrt_price, step.sqrt_price);
            if step.sqrt_price == next_price {
                if initialised {
                    now.liquidity =
                        self.cross(next, zero_for_one, now.liquidity).ok_or(Stopped::Overflow)?;
                }
                now.tick = if zero_for_one { next - 1 } else { next };
            } else if step.sqrt_price != start {
                now.tick = tick_at(step.sqrt_price).ok_or(Stopped::Overflow)?;
            }
        }
        Err(Stopped::Beyond)
    }

    /// `nextInitializedTickWithinOneWord`: a swap also stops at a word's edge, and rounds there.
    fn next_tick(&self, tick: i32, down: bool) -> Option<(i32, bool)> {
        let compressed = tick.div_euclid(self.spacing);
        let from = if down { compressed } else { compressed + 1 };
        let word = from >> 8;
        if word < self.words.0 || word > self.words.1 {
            return None;
        }
        let edge = if down { word << 8 } else { (word << 8) + 255 };
        let (edge, from) = (edge * self.spacing, from * self.spacing);
        let found = if down {
            let below = self.ticks.partition_point(|tick| tick.index <= from);
            self.ticks.get(..below)?.last().filter(|tick| tick.index >= edge)
        } else {
            let above = self.ticks.partition_point(|tick| tick.index < from);
            self.ticks.get(above).filter(|tick| tick.index <= edge)
        };
        Some(found.map_or((edge, false), |tick| (tick.index, true)))
    }

    fn cross(&self, index: i32, down: bool, liquidity: u128) -> Option<u128> {
        let at = self.ticks.binary_search_by_key(&index, |tick| tick.index).ok()?;
        let net = self.ticks.get(at)?.net;
        liquidity.checked_add_signed(if down { net.checked_neg()? } else { net })
    }
}

/// One stretch of constant liquidity (`SwapMath.computeSwapStep`, exact input).
struct Step {
    sqrt_price: U256,
    amount_in: U256,
    amount_out: U256,
    fee: U256,
}

impl Step {
    fn compute(
        current: U256,
        target: U256,
        liquidity: u128,
        remaining: U256,
        fee: u32,
    ) -> Option<Self> {
        let down = current >= target;
        let keep = U256::from(PIPS.checked_sub(fee)?);
        let less_fee = mul_div(remaining, keep, U256::from(PIPS))?;
        let whole = if down {
            amount0(target, current, liquidity, true)?
        } else {
            amount1(current, target, liquidity, true)?
        };
        let sqrt_price = match less_fee >= whole {
            true => target,
            false => next_price(current, liquidity, less_fee, down)?,
        };
        let reached = sqrt_price == target;
        let amount_in = match (reached, down) {
            (true, _) => whole,
            (false, true) => amount0(sqrt_price, current, liquidity, true)?,
            (false, false) => amount1(current, sqrt_price, liquidity, true)?,
        };
        let amount_out = if down {
            amount1(sqrt_price, current, liquidity, false)?
        } else {
            amount0(current, sqrt_price, liquidity, false)?
        };
        let fee = match reached {
            false => remaining.checked_sub(amount_in)?,
            true => mul_div_up(amount_in, U256::from(fee), keep)?,
        };
        Some(Self { sqrt_price, amount_in, amount_out, fee })
    }
}

/// The price after selling `amount` within constant liquidity.
fn next_price(price: U256, liquidity: u128, amount: U256, down: bool) -> Option<U256> {
    if price.is_zero() || liquidity == 0 {
        return None;
    }
    let liquidity = U256::from(liquidity);
    if !down {
        return price.checked_add(mul_div(amount, Q96, liquidity)?);
    }
    if amount.is_zero() {
        return Some(price);
    }
    let numerator: U256 = liquidity << 96;
    let exact = amount.checked_mul(price).and_then(|product| numerator.checked_add(product));
    match exact {
        Some(denominator) => mul_div_up(numerator, price, denominator),
        None => div_up(numerator, (numerator / price).checked_add(amount)?),
    }
}

/// token0 between two prices: `liquidity * (upper - lower) / (upper * lower)`.
pub(crate) fn amount0(lower: U256, upper: U256, liquidity: u128, up: bool) -> Option<U256> {
    let liquidity = U256::from(liquidity) << 96;
    let width = upper.checked_sub(lower)?;
    match up {
        true => div_up(mul_div_up(liquidity, width, upper)?, lower),
        false => mul_div(liquidity, width, upper)?.checked_div(lower),
    }
}

/// token1 between two prices: `liquidity * (upper - lower)`.
pub(crate) fn amount1(lower: U256, upper: U256, liquidity: u128, up: bool) -> Option<U256> {
    let (liquidity, width) = (U256::from(liquidity), upper.checked_sub(lower)?);
    if up { mul_div_up(liquidity, width, Q96) } else { mul_div(liquidity, width, Q96) }
}

/// What `liquidity` between two ticks holds at a price, in token0 and token1, rounded down.
#[must_use]
pub fn amounts_of(
    sqrt_price: U256,
    lower: i32,
    upper: i32,
    liquidity: u128,
) -> Option<(U256, U256)> {
    amounts(sqrt_price, lower, upper, liquidity, false)
}

/// As [`amounts_of`]; up is what a deposit takes.
pub(crate) fn amounts(
    sqrt_price: U256,
    lower: i32,
    upper: i32,
    liquidity: u128,
    up: bool,
) -> Option<(U256, U256)> {
    let (low, high) = (sqrt_price_at(lower)?, sqrt_price_at(upper)?);
    let price = sqrt_price.clamp(low, high);
    Some((amount0(price, high, liquidity, up)?, amount1(low, price, liquidity, up)?))
}

/// The most liquidity between two ticks that amounts allow at a price
/// (`LiquidityAmounts.getLiquidityForAmounts`).
#[must_use]
pub fn liquidity_for(
    sqrt_price: U256,
    lower: i32,
    upper: i32,
    amount0: U256,
    amount1: U256,
) -> Option<u128> {
    let (low, high) = (sqrt_price_at(lower)?, sqrt_price_at(upper)?);
    let price = sqrt_price.clamp(low, high);
    let of0 = || {
        let product = mul_div(price, high, Q96)?;
        mul_div(amount0, product, high.checked_sub(price)?)
    };
    let of1 = || mul_div(amount1, Q96, price.checked_sub(low)?);
    let liquidity = match (price == low, price == high) {
        (true, _) => of0()?,
        (_, true) => of1()?,
        _ => of0()?.min(of1()?),
    };
    u128::try_from(liquidity).ok()
}
