//! What providing liquidity gave, against holding the same tokens.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use serde::Serialize;

use super::curve::whole;
use crate::{
    market::{Pool, Snapshot},
    portfolio::Portfolio,
    run::{Action, Effect, Entry, Event, Outcome},
    strategy::value,
};

/// All positions of a run together; amounts in quote tokens, each at the end of its position.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Liquidity {
    /// How many positions there were.
    pub positions: usize,
    /// What the deposited tokens would be worth.
    pub hold: f64,
    /// What the liquidity itself is worth.
    pub principal: f64,
    /// What it earned in fees.
    pub fees: f64,
    /// `principal / hold - 1`.
    pub impermanent_loss: f64,
    /// `(principal + fees) / hold - 1`.
    pub against_holding: f64,
    /// The part of the blocks in which it earned.
    pub in_range: f64,
}

/// One position as it goes.
#[derive(Debug, Clone, Copy, Default)]
struct Leg {
    deposited: (U256, U256),
    hold: f64,
    principal: f64,
    fees: f64,
    seen: u64,
    in_range: u64,
}

pub(super) fn liquidity(portfolio: &Portfolio, entries: &[Entry]) -> Option<Liquidity> {
    let mut actions = BTreeMap::new();
    let mut open: BTreeMap<Address, Leg> = BTreeMap::new();
    let mut closed = Vec::new();
    for entry in entries {
        match entry {
            Entry::Effect(Effect::Order(order)) => {
                actions.insert(order.id, &order.action);
            }
            Entry::Event(Event::Outcome { order, outcome: Outcome::Settled(fill) }) => {
                match actions.get(order) {
                    Some(Action::AddLiquidity { pool, tokens, .. }) => {
                        let spent = |token| {
                            let of = fill.spent.iter().filter(|(spent, _)| *spent == token);
                            of.fold(U256::ZERO, |sum, (_, amount)| sum.saturating_add(*amount))
                        };
                        let deposited = (spent(tokens.0), spent(tokens.1));
                        open.insert(*pool, Leg { deposited, ..Leg::default() });
                    }
                    Some(Action::RemoveLiquidity { pool, .. }) => {
                        closed.extend(open.remove(pool));
                    }
                    _ => {}
                }
            }
            Entry::Event(Event::Block(snapshot)) => {
                for (address, leg) in &mut open {
                    leg.look(portfolio, snapshot, *address);
                }
            }
            _ => {}
        }
    }
    closed.extend(open.into_values());
    closed.retain(|leg| leg.seen > 0);
    summed(&closed)
}

fn summed(legs: &[Leg]) -> Option<Liquidity> {
    let sum = |of: fn(&Leg) -> f64| legs.iter().map(of).sum::<f64>();
    let (hold, principal, fees) =
        (sum(|leg| leg.hold), sum(|leg| leg.principal), sum(|leg| leg.fees));
    let seen: u64 = legs.iter().map(|leg| leg.seen).sum();
    let in_range: u64 = legs.iter().map(|leg| leg.in_range).sum();
    (hold > 0.0 && seen > 0).then(|| Liquidity {
        positions: legs.len(),
        hold,
        principal,
        fees,
        impermanent_loss: principal / hold - 1.0,
        against_holding: (principal + fees) / hold - 1.0,
        in_range: in_range as f64 / seen as f64,
    })
}

impl Leg {
    fn look(&mut self, portfolio: &Portfolio, snapshot: &Snapshot, address: Address) {
        let Some(pool) = snapshot.pool(address) else { return };
        let Some(position) = snapshot.positions.iter().find(|position| position.pool == address)
        else {
            return;
        };
        let tokens = pool.tokens();
        let worth = |amounts: (U256, U256)| -> f64 {
            let of = |token, amount| {
                let value = value(snapshot, portfolio.quote, token, amount).unwrap_or_default();
                whole(portfolio, portfolio.quote, value)
            };
            of(tokens.0, amounts.0) + of(tokens.1, amounts.1)
        };
        let all = worth(position.amounts(pool).unwrap_or_default());
        let owed = worth((position.owed0, position.owed1));
        self.seen += 1;
        self.in_range += u64::from(position.in_range(pool));
        self.hold = worth(self.deposited);
        (self.principal, self.fees) = match pool {
            Pool::V3(_) => (all, owed),
            Pool::V2(pair) => {
                // Fees grow the reserves: what the deposit alone would be is on its own x*y = k.
                let (a, b) = (f64::from(self.deposited.0), f64::from(self.deposited.1));
                let (x, y) = (f64::from(pair.reserve0), f64::from(pair.reserve1));
                let k = (a * b).sqrt();
                let side = |units: f64| U256::try_from(units).unwrap_or_default();
                let alone = worth((side(k * (x / y).sqrt()), side(k * (y / x).sqrt())));
                (alone, all - alone + owed)
            }
        };
    }
}
