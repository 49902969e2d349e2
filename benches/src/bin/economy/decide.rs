//! What an agent decides without a chain: the event loop over a history, and the signer's checks.

use std::{collections::BTreeMap, time::Instant};

use alloy_primitives::{Address, U256};
use anyhow::ensure;
use vouch_agent::{
    portfolio::Portfolio,
    run::{Costs, Effect, Entry, History, Machine, replay, simulate},
    signer::{Ledger, plan},
};
use vouch_benches::{
    figure::{Figure, median},
    random::Random,
};

use crate::{BENCH, Options, intents, note};

const EVENTS: usize = 50_000;
const INTENTS: usize = 100_000;

const USD: Address = Address::repeat_byte(0x11);
const GOLD: Address = Address::repeat_byte(0x22);

pub(crate) fn figures(options: &Options) -> anyhow::Result<Vec<Figure>> {
    note("decisions: backtests, and intents against a mandate");
    let mut figures = Vec::new();
    for kind in ["v2", "v3"] {
        figures.extend(backtests(kind, options.rounds)?);
    }
    figures.extend(checks(options.rounds)?);
    Ok(figures)
}

/// A rebalancing agent over a random walk of hourly prices; each event is decided on.
fn backtests(kind: &str, rounds: usize) -> anyhow::Result<[Figure; 2]> {
    let portfolio = portfolio(kind)?;
    let costs = costs();
    let history = History::csv(&walk(), &portfolio, &costs)?;
    let (mut per_second, mut orders) = (Vec::new(), 0);
    for _ in 0..rounds {
        let machine = Machine::new(portfolio.clone());
        let start = Instant::now();
        let entries = simulate(machine, &history, &costs);
        let took = start.elapsed().as_secs_f64();
        let events = entries.iter().filter(|entry| matches!(entry, Entry::Event(_))).count();
        let is_order = |entry: &&Entry| matches!(entry, Entry::Effect(Effect::Order(_)));
        orders = entries.iter().filter(is_order).count();
        ensure!(events >= EVENTS && orders > 0, "{events} events and {orders} orders");
        per_second.push(events as f64 / took);
        let again = replay(Machine::new(portfolio.clone()), &entries)?;
        ensure!(again.missing.is_empty(), "a replay of the backtest differs");
    }
    let named = |metric: &str| format!("{metric}, rebalancing on {kind}");
    Ok([
        Figure::alone(BENCH, &named("events decided"), "1/s", median(&per_second)),
        Figure::alone(BENCH, &named("orders in 50,000 blocks"), "", orders as f64),
    ])
}

fn portfolio(kind: &str) -> anyhow::Result<Portfolio> {
    let pool = Address::repeat_byte(0x33);
    Ok(Portfolio::parse(&format!(
        r#"name = "half and half"
chain_id = 1
quote = "USD"
gas_asset = "GOLD"
[[asset]]
name = "USD"
address = "{USD}"
decimals = 6
weight_bps = 5000
[[asset]]
name = "GOLD"
address = "{GOLD}"
decimals = 18
weight_bps = 5000
[[pool]]
kind = "{kind}"
address = "{pool}"
[venues]
v2_router = "{pool}"
v3_router = "{pool}"
v3_positions = "{pool}"
[limits]
min_trade = "1"
cool_down_s = 0
slippage_bps = 500
max_impact_bps = 200
deadline_s = 3600
[strategy]
kind = "rebalance"
band_bps = 100
"#
    ))?)
}

fn costs() -> Costs {
    let (dollars, gold) = (U256::from(10_000_000_000u64), U256::from(5 * 10u128.pow(18)));
    Costs {
        holdings: BTreeMap::from([(USD, dollars), (GOLD, gold)]),
        ether: U256::from(10u128.pow(21)),
        gas_price: 0,
        depth: U256::from(10u128.pow(13)),
        fee_pips: 3_000,
    }
}

/// Half a percent an hour, up or down, and back to 2,000 in the long run.
fn walk() -> String {
    let (mut random, mut price) = (Random(0x6f1d), 2_000f64);
    let mut lines = "time,price\n".to_owned();
    for hour in 0..EVENTS {
        price *= 1.0 + 0.005 * random.normal() - 0.001 * (price / 2_000.0).ln();
        lines += &format!("{},{price:.6}\n", 1_700_000_000 + hour * 3_600);
    }
    lines
}

/// The signer's checks of what anybody may ask for, most of it wrong.
fn checks(rounds: usize) -> anyhow::Result<[Figure; 2]> {
    let grant = intents::grant()?;
    let asked = intents::asked(INTENTS);
    let (mut per_second, mut admitted) = (Vec::new(), 0);
    for _ in 0..rounds {
        let mut ledger = Ledger::default();
        let mut taken = Vec::new();
        let start = Instant::now();
        for (now, intent) in &asked {
            let Ok(plan) = plan(&grant, intent, *now) else { continue };
            let Ok(admitted) = ledger.admit(&grant, &plan, *now) else { continue };
            ledger.take(&admitted);
            taken.push(admitted);
        }
        per_second.push(asked.len() as f64 / start.elapsed().as_secs_f64());
        admitted = taken.len();
        intents::within(&grant, &taken)?;
    }
    let share = admitted as f64 / asked.len() as f64;
    ensure!(share > 0.01 && share < 0.99, "{admitted} of {} were allowed", asked.len());
    Ok([
        Figure::alone(BENCH, "intents checked, off the chain", "1/s", median(&per_second)),
        Figure::alone(BENCH, "intents allowed", "%", share * 100.0),
    ])
}
