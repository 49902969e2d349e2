//! What was ordered, and what it cost.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use serde::Serialize;

use super::curve::{gas_cost, gas_value, whole};
use crate::{
    market::{Snapshot, math::mul_div, v3},
    portfolio::Portfolio,
    run::{Action, Effect, Entry, Event, Order, Outcome},
    strategy::value,
};

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Done.
    Settled,
    /// Not done.
    Failed,
    /// Not known yet.
    Open,
}

/// One order, in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its number.
    pub id: u64,
    /// Unix seconds of the block that it was decided on.
    pub time: u64,
    /// What.
    pub action: String,
    /// Why.
    pub reason: String,
    /// How it ended.
    pub status: Status,
    /// Why it failed, or what came of it.
    pub outcome: String,
    /// Its transaction.
    pub transaction: Option<B256>,
    /// Receipts of the answers that it rests on.
    pub relied_on: Vec<B256>,
}

/// Orders in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trades {
    /// Done.
    pub settled: usize,
    /// Failed.
    pub failed: usize,
    /// Wanted by the strategy and not allowed by the limits.
    pub refused: usize,
    /// Questions to a model.
    pub questions: usize,
    /// What was sold, in quote tokens.
    pub turnover: f64,
    /// Fees paid to pools, in quote tokens.
    pub fees: f64,
    /// Gas in wei, as decimal text.
    #[serde(with = "crate::market::math::decimal")]
    pub gas_wei: u128,
    /// Gas in quote tokens, where the portfolio names its asset.
    pub gas: Option<f64>,
}

pub(super) fn orders(portfolio: &Portfolio, entries: &[Entry]) -> (Trades, Vec<Row>) {
    let mut trades = Trades::default();
    let mut rows: Vec<Row> = Vec::new();
    let mut open: BTreeMap<u64, &Order> = BTreeMap::new();
    let mut now: Option<&Snapshot> = None;
    for entry in entries {
        match entry {
            Entry::Event(Event::Block(snapshot)) => now = Some(snapshot),
            Entry::Effect(Effect::Order(order)) => {
                open.insert(order.id, order);
                rows.push(row(portfolio, order, now.map_or(0, |snapshot| snapshot.time)));
            }
            Entry::Effect(Effect::Ask(_)) => trades.questions += 1,
            Entry::Effect(Effect::Refused(_)) => trades.refused += 1,
            Entry::Event(Event::Outcome { order, outcome }) => {
                if let (Some(ordered), Some(snapshot)) = (open.get(order), now) {
                    trades.count(portfolio, snapshot, ordered, outcome);
                }
                if let Some(row) = rows.iter_mut().rev().find(|row| row.id == *order) {
                    row.end(portfolio, outcome);
                }
            }
            _ => {}
        }
    }
    (trades, rows)
}

impl Trades {
    fn count(&mut self, portfolio: &Portfolio, at: &Snapshot, order: &Order, outcome: &Outcome) {
        let wei = gas_cost(outcome);
        self.gas_wei = self.gas_wei.saturating_add(wei);
        if let Some(gas) = gas_value(portfolio, at, wei) {
            *self.gas.get_or_insert_default() += whole(portfolio, portfolio.quote, gas);
        }
        match outcome {
            Outcome::Settled(_) => self.settled += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Unknown => {}
        }
        if let (Outcome::Settled(_), Action::Swap { pool, sell, amount_in, .. }) =
            (outcome, &order.action)
        {
            let worth = |amount| {
                let value = value(at, portfolio.quote, *sell, amount).unwrap_or_default();
                whole(portfolio, portfolio.quote, value)
            };
            let pips = at.pool(*pool).map_or(0, crate::market::Pool::fee_pips);
            let fee = mul_div(*amount_in, U256::from(pips), U256::from(v3::PIPS));
            self.turnover += worth(*amount_in);
            self.fees += worth(fee.unwrap_or_default());
        }
    }
}

fn row(portfolio: &Portfolio, order: &Order, time: u64) -> Row {
    let some =
        |token, amount| format!("{} {}", portfolio.amount(token, amount), portfolio.label(token));
    let action = match &order.action {
        Action::Swap { sell, buy, amount_in, min_out, .. } => {
            format!("sell {} for at least {}", some(*sell, *amount_in), some(*buy, *min_out))
        }
        Action::AddLiquidity { tokens, amounts, range, .. } => format!(
            "provide up to {} and {}, ticks {} to {}",
            some(tokens.0, amounts.0),
            some(tokens.1, amounts.1),
            range.0,
            range.1
        ),
        Action::RemoveLiquidity { id, .. } => format!("withdraw position {id}"),
        Action::Collect { id, .. } => format!("collect what position {id} earned"),
        Action::Vote { proposal, support, .. } => format!("vote {support} on {proposal}"),
    };
    Row {
        id: order.id,
        time,
        action,
        reason: order.reason.clone(),
        status: Status::Open,
        outcome: String::new(),
        transaction: None,
        relied_on: order.relied_on.clone(),
    }
}

impl Row {
    fn end(&mut self, portfolio: &Portfolio, outcome: &Outcome) {
        match outcome {
            Outcome::Settled(fill) => {
                let received =
                    fill.received.iter().filter(|(token, _)| portfolio.asset(*token).is_some());
                let received = received.map(|(token, amount)| {
                    format!("{} {}", portfolio.amount(*token, *amount), portfolio.label(*token))
                });
                let received: Vec<String> = received.collect();
                self.status = Status::Settled;
                self.transaction = (!fill.transaction.is_zero()).then_some(fill.transaction);
                self.outcome = match received.is_empty() {
                    true => "done".into(),
                    false => format!("received {}", received.join(" and ")),
                };
            }
            Outcome::Failed { reason, transaction, .. } => {
                self.status = Status::Failed;
                self.transaction = *transaction;
                self.outcome.clone_from(reason);
            }
            Outcome::Unknown => {}
        }
    }
}
