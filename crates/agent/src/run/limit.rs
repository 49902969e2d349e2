//! From what a strategy wants to an order that the limits allow.

use alloy_primitives::{Address, U256};

use super::{Action, Venue};
use crate::{
    market::{
        Pool, Position, Quote, Snapshot,
        math::{BPS, share},
        v3,
    },
    strategy::{View, Want},
};

/// How often an amount is halved to keep its impact within the limit.
const HALVINGS: u32 = 24;

/// The action, or why there is none.
pub(super) fn action(view: &View<'_>, want: &Want) -> Result<Action, String> {
    match *want {
        Want::Swap { sell, buy, amount_in } => swap(view, sell, buy, amount_in),
        Want::Provide { pool, lower, upper, amount0, amount1 } => {
            provide(view, pool, (lower, upper), (amount0, amount1))
        }
        Want::Withdraw { pool, id } => withdraw(view, pool, id),
        Want::Collect { pool, id } => {
            position(view.snapshot, pool, id)?;
            let at = view.snapshot.pool(pool).ok_or("the pool is not of the portfolio")?;
            Ok(Action::Collect { venue: venue(at), pool, tokens: at.tokens(), id })
        }
    }
}

fn venue(pool: &Pool) -> Venue {
    match pool {
        Pool::V2(_) => Venue::V2,
        Pool::V3(pool) => Venue::V3 { fee: pool.fee },
    }
}

/// What is left of an amount that may slip.
fn less_slippage(view: &View<'_>, amount: U256) -> U256 {
    share(amount, BPS.saturating_sub(view.portfolio.limits.slippage_bps))
}

fn swap(view: &View<'_>, sell: Address, buy: Address, amount: U256) -> Result<Action, String> {
    let known = |token| view.portfolio.asset(token).is_some();
    if sell == buy || !known(sell) || !known(buy) {
        return Err("the swap is not between two assets of the portfolio".into());
    }
    let mut amount = amount.min(view.snapshot.balance(sell));
    for _ in 0..HALVINGS {
        let value = view.value(sell, amount).ok_or("no pool gives a price for what is sold")?;
        if value < view.portfolio.limits.min_trade {
            return Err("what the limits leave is below limits.min_trade".into());
        }
        if let Some((pool, quote)) = best(view, sell, buy, amount) {
            let min_out = less_slippage(view, quote.amount_out);
            if min_out.is_zero() {
                return Err("the swap would give nothing".into());
            }
            let (venue, pool) = (venue(pool), pool.address());
            return Ok(Action::Swap { venue, pool, sell, buy, amount_in: amount, min_out });
        }
        amount /= U256::from(2);
    }
    Err("no pool takes it within limits.max_impact_bps".into())
}

/// The pool that gives most, among those whose price moves within the limit.
fn best<'a>(
    view: &View<'a>,
    sell: Address,
    buy: Address,
    amount: U256,
) -> Option<(&'a Pool, Quote)> {
    let pools = view.snapshot.pools.iter().filter(|pool| pool.trades(sell, buy));
    let quotes = pools.filter_map(|pool| Some((pool, pool.quote(sell, amount).ok()?)));
    quotes
        .filter(|(_, quote)| quote.impact_bps <= view.portfolio.limits.max_impact_bps)
        .max_by_key(|(_, quote)| quote.amount_out)
}

fn provide(
    view: &View<'_>,
    address: Address,
    range: (i32, i32),
    wanted: (U256, U256),
) -> Result<Action, String> {
    let pool = view.snapshot.pool(address).ok_or("the pool is not of the portfolio")?;
    let tokens = pool.tokens();
    let amounts = (
        wanted.0.min(view.snapshot.balance(tokens.0)),
        wanted.1.min(view.snapshot.balance(tokens.1)),
    );
    let taken = match pool {
        Pool::V2(pair) => pair.deposit(amounts.0, amounts.1).map(|(a, b, _)| (a, b)),
        Pool::V3(pool) => {
            v3::liquidity_for(pool.sqrt_price, range.0, range.1, amounts.0, amounts.1)
                .filter(|liquidity| *liquidity > 0)
                .and_then(|all| v3::amounts(pool.sqrt_price, range.0, range.1, all, true))
        }
    };
    let taken = taken.ok_or("the amounts make no liquidity in this range")?;
    let minima = (less_slippage(view, taken.0), less_slippage(view, taken.1));
    Ok(Action::AddLiquidity { venue: venue(pool), pool: address, tokens, range, amounts, minima })
}

fn position(snapshot: &Snapshot, pool: Address, id: U256) -> Result<&Position, String> {
    let found =
        snapshot.positions.iter().find(|position| position.pool == pool && position.id == id);
    found.ok_or_else(|| "the account has no such position".into())
}

fn withdraw(view: &View<'_>, address: Address, id: U256) -> Result<Action, String> {
    let position = position(view.snapshot, address, id)?;
    let pool = view.snapshot.pool(address).ok_or("the pool is not of the portfolio")?;
    let amounts = position.amounts(pool).ok_or("the position's amounts overflow")?;
    Ok(Action::RemoveLiquidity {
        venue: venue(pool),
        pool: address,
        tokens: pool.tokens(),
        id,
        liquidity: position.liquidity,
        minima: (less_slippage(view, amounts.0), less_slippage(view, amounts.1)),
    })
}
