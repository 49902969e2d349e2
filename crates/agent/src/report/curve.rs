//! Value over time, beside that of holding.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use serde::Serialize;

use crate::{
    market::Snapshot,
    portfolio::Portfolio,
    run::{Entry, Event, Outcome},
    strategy::{total, value},
};

/// One block.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Unix seconds.
    pub time: u64,
    /// What the account is worth, in whole quote tokens, net of gas.
    pub value: f64,
    /// What it would be worth with what it had at the beginning.
    pub hold: f64,
}

/// Atomic units to whole tokens.
pub(super) fn whole(portfolio: &Portfolio, token: Address, amount: U256) -> f64 {
    let decimals = portfolio.asset(token).map_or(0, |asset| i32::from(asset.decimals));
    f64::from(amount) / 10f64.powi(decimals)
}

/// Wei of gas in atomic quote units, where the portfolio names the asset that it is.
pub(super) fn gas_value(portfolio: &Portfolio, snapshot: &Snapshot, wei: u128) -> Option<U256> {
    value(snapshot, portfolio.quote, portfolio.gas_asset?, U256::from(wei))
}

pub(super) fn gas_cost(outcome: &Outcome) -> u128 {
    match outcome {
        Outcome::Settled(fill) => fill.gas_cost,
        Outcome::Failed { gas_cost, .. } => *gas_cost,
        Outcome::Unknown => 0,
    }
}

/// All tokens of an account, those in liquidity included.
fn holdings(portfolio: &Portfolio, snapshot: &Snapshot) -> BTreeMap<Address, U256> {
    let assets = portfolio.assets.iter();
    let mut held: BTreeMap<_, _> =
        assets.map(|asset| (asset.address, snapshot.balance(asset.address))).collect();
    for position in &snapshot.positions {
        let pool = snapshot.pool(position.pool);
        let Some((pool, amounts)) = pool.and_then(|pool| Some((pool, position.amounts(pool)?)))
        else {
            continue;
        };
        let tokens = pool.tokens();
        for (token, amount, owed) in
            [(tokens.0, amounts.0, position.owed0), (tokens.1, amounts.1, position.owed1)]
        {
            let all = held.entry(token).or_default();
            *all = all.saturating_add(amount).saturating_add(owed);
        }
    }
    held
}

pub(super) fn curve(portfolio: &Portfolio, entries: &[Entry]) -> Vec<Point> {
    let quote = portfolio.quote;
    let mut points = Vec::new();
    let mut held = None;
    let mut gas = U256::ZERO;
    let mut due = 0u128;
    for entry in entries {
        match entry {
            Entry::Event(Event::Outcome { outcome, .. }) => {
                due = due.saturating_add(gas_cost(outcome));
            }
            Entry::Event(Event::Block(snapshot)) => {
                let Some(now) = total(snapshot, portfolio) else { continue };
                let held = held.get_or_insert_with(|| holdings(portfolio, snapshot));
                let spent = gas_value(portfolio, snapshot, std::mem::take(&mut due));
                gas = gas.saturating_add(spent.unwrap_or_default());
                let hold = held
                    .iter()
                    .filter_map(|(token, amount)| value(snapshot, quote, *token, *amount));
                let hold = hold.fold(U256::ZERO, U256::saturating_add);
                points.push(Point {
                    time: snapshot.time,
                    value: whole(portfolio, quote, now) - whole(portfolio, quote, gas),
                    hold: whole(portfolio, quote, hold),
                });
            }
            _ => {}
        }
    }
    points
}
