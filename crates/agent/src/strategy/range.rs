//! Provide liquidity around the price, and follow it.

use alloy_primitives::{Address, U256};

use super::{Choice, Strategy, View, Want, view::part};
use crate::market::{
    Pool,
    math::BPS,
    tick::{MAX_TICK, MIN_TICK},
};

/// Keeps one position: withdrawn when the price has left it, opened anew around the price.
#[derive(Debug, Clone)]
pub struct Range {
    pool: Address,
    half_width: i32,
    share_bps: u64,
}

/// What may lie idle of what was to be provided, before a swap evens the two sides out.
const UNEVEN_BPS: u64 = 500;

impl Range {
    /// Provides `share_bps` of what is held in `pool`, `half_width` ticks at each side of the price
    /// (v3), or in the whole range (v2).
    #[must_use]
    pub fn new(pool: Address, half_width: i32, share_bps: u64) -> Self {
        Self { pool, half_width, share_bps }
    }

    /// Ticks around the price, multiples of the spacing, within the range that there is.
    fn ticks(&self, pool: &Pool) -> (i32, i32) {
        let Pool::V3(pool) = pool else { return (0, 0) };
        let spacing = pool.spacing.max(1);
        let (least, most) = (
            MIN_TICK.div_euclid(spacing).saturating_add(1).saturating_mul(spacing),
            MAX_TICK.div_euclid(spacing).saturating_mul(spacing),
        );
        let near = |tick: i32| tick.div_euclid(spacing).saturating_mul(spacing);
        let lower = near(pool.tick.saturating_sub(self.half_width)).clamp(least, most - spacing);
        let upper = near(pool.tick.saturating_add(self.half_width)).clamp(lower + spacing, most);
        (lower, upper)
    }

    fn open(&self, view: &View<'_>, pool: &Pool) -> Option<Choice> {
        let (token0, token1) = pool.tokens();
        let amount0 = part(view.snapshot.balance(token0), self.share_bps);
        let amount1 = part(view.snapshot.balance(token1), self.share_bps);
        let (value0, value1) = (view.value(token0, amount0)?, view.value(token1, amount1)?);
        let total = value0.checked_add(value1)?;
        let min_trade = view.portfolio.limits.min_trade;
        if total < min_trade.saturating_mul(U256::from(2)) {
            return None;
        }
        // Around the price both sides are worth the same, to a good approximation.
        let surplus = value0.abs_diff(value1) / U256::from(2);
        if surplus > part(total, UNEVEN_BPS) && surplus >= min_trade {
            let (sell, buy) = if value0 > value1 { (token0, token1) } else { (token1, token0) };
            let amount_in = view.worth(sell, surplus)?;
            return Some(act(
                Want::Swap { sell, buy, amount_in },
                "the two sides of the liquidity are uneven",
            ));
        }
        let (lower, upper) = self.ticks(pool);
        let want = Want::Provide { pool: self.pool, lower, upper, amount0, amount1 };
        Some(act(want, "there is no liquidity around the price"))
    }
}

impl Strategy for Range {
    fn decide(&mut self, view: &View<'_>) -> Vec<Choice> {
        debug_assert!(self.share_bps <= BPS);
        let Some(pool) = view.snapshot.pool(self.pool) else { return Vec::new() };
        let mut open = view.snapshot.positions.iter().filter(|position| position.pool == self.pool);
        match open.next() {
            Some(position) if position.in_range(pool) && position.liquidity > 0 => Vec::new(),
            Some(position) => {
                let want = Want::Withdraw { pool: self.pool, id: position.id };
                vec![act(want, "the price has left the range")]
            }
            None => self.open(view, pool).into_iter().collect(),
        }
    }
}

fn act(want: Want, reason: &str) -> Choice {
    Choice::Act { want, reason: reason.to_owned(), relied_on: Vec::new() }
}
