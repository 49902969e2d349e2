//! What a strategy sees.

use alloy_primitives::{Address, U256};

use super::Advice;
use crate::{
    market::{
        Pool, Snapshot,
        math::{BPS, mul_div},
    },
    portfolio::Portfolio,
};

/// One block, as the portfolio's owner counts.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The block.
    pub snapshot: &'a Snapshot,
    /// The portfolio.
    pub portfolio: &'a Portfolio,
    /// What came of the question asked last, once.
    pub advice: Option<&'a Advice>,
}

impl View<'_> {
    /// What `amount` of `token` is worth in the quote token, at the mid-price of the first pool that
    /// trades both, or by one token between them.
    #[must_use]
    pub fn value(&self, token: Address, amount: U256) -> Option<U256> {
        value(self.snapshot, self.portfolio.quote, token, amount)
    }

    /// How much of `token` is worth `value` of the quote token.
    #[must_use]
    pub fn worth(&self, token: Address, value: U256) -> Option<U256> {
        /// Large beside any token's unit, small beside 2^256.
        const PROBE: U256 = U256::from_limbs([0, 1, 0, 0]);
        mul_div(value, PROBE, self.value(token, PROBE)?)
    }

    /// What is held of each asset in value, beside liquidity, in the order of the portfolio.
    #[must_use]
    pub fn values(&self) -> Option<Vec<U256>> {
        let assets = self.portfolio.assets.iter();
        assets
            .map(|asset| self.value(asset.address, self.snapshot.balance(asset.address)))
            .collect()
    }

    /// What all is worth, liquidity and what it earned included.
    #[must_use]
    pub fn total(&self) -> Option<U256> {
        total(self.snapshot, self.portfolio)
    }

    /// The pools that trade both tokens.
    pub fn pools(&self, a: Address, b: Address) -> impl Iterator<Item = &Pool> {
        self.snapshot.pools.iter().filter(move |pool| pool.trades(a, b))
    }
}

pub(crate) fn value(
    snapshot: &Snapshot,
    quote: Address,
    token: Address,
    amount: U256,
) -> Option<U256> {
    if token == quote {
        return Some(amount);
    }
    let pools = snapshot.pools.iter();
    if let Some(pool) = pools.clone().find(|pool| pool.trades(token, quote)) {
        return pool.value(token, amount).ok();
    }
    pools.clone().find_map(|pool| {
        let (token0, token1) = pool.tokens();
        let middle = match token {
            token if token == token0 => token1,
            token if token == token1 => token0,
            _ => return None,
        };
        let last = pools.clone().find(|pool| pool.trades(middle, quote))?;
        last.value(middle, pool.value(token, amount).ok()?).ok()
    })
}

pub(crate) fn total(snapshot: &Snapshot, portfolio: &Portfolio) -> Option<U256> {
    let quote = portfolio.quote;
    let mut total = U256::ZERO;
    for asset in &portfolio.assets {
        let held = snapshot.balance(asset.address);
        total = total.checked_add(value(snapshot, quote, asset.address, held)?)?;
    }
    for position in &snapshot.positions {
        let Some(pool) = snapshot.pool(position.pool) else { continue };
        let (token0, token1) = pool.tokens();
        let (amount0, amount1) = position.amounts(pool)?;
        for (token, amount) in [
            (token0, amount0.checked_add(position.owed0)?),
            (token1, amount1.checked_add(position.owed1)?),
        ] {
            total = total.checked_add(value(snapshot, quote, token, amount)?)?;
        }
    }
    Some(total)
}

/// `bps` of `amount`.
pub(crate) fn part(amount: U256, bps: u64) -> U256 {
    mul_div(amount, U256::from(bps), U256::from(BPS)).unwrap_or_default()
}
