//! Simulations over price histories, and what the report says of them.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use vouch_agent::{
    portfolio::Portfolio,
    report::{Status, report},
    run::{Costs, Entry, History, Machine, replay, simulate},
};

const USD: Address = Address::repeat_byte(0x11);
const GOLD: Address = Address::repeat_byte(0x22);
const DAY: u64 = 86_400;

fn portfolio(kind: &str, strategy: &str) -> Portfolio {
    let pool = Address::repeat_byte(0x33);
    let text = format!(
        "name = \"a <b>name</b>\"\nchain_id = 1\nquote = \"USD\"\ngas_asset = \"GOLD\"\n\
         [[asset]]\nname = \"USD\"\naddress = \"{USD}\"\ndecimals = 6\nweight_bps = 5000\n\
         [[asset]]\nname = \"GOLD\"\naddress = \"{GOLD}\"\ndecimals = 18\nweight_bps = 5000\n\
         [[pool]]\nkind = \"{kind}\"\naddress = \"{pool}\"\n\
         [venues]\nv2_router = \"{pool}\"\nv3_router = \"{pool}\"\nv3_positions = \"{pool}\"\n\
         [limits]\nmin_trade = \"1\"\ncool_down_s = 0\nslippage_bps = 500\nmax_impact_bps = 200\n\
         deadline_s = 3600\n[strategy]\n{strategy}\n"
    );
    Portfolio::parse(&text).unwrap()
}

fn costs(usd: u64, gold: u64) -> Costs {
    let gold = U256::from(gold) * U256::from(10u64.pow(15));
    Costs {
        holdings: BTreeMap::from([(USD, U256::from(usd * 1_000_000)), (GOLD, gold)]),
        ether: U256::from(10u64.pow(18)),
        gas_price: 0,
        depth: U256::from(10_000_000u64 * 1_000_000),
        fee_pips: 3_000,
    }
}

/// Prices of gold, hourly.
fn hourly(prices: impl Iterator<Item = f64>, volume: u64) -> String {
    let start = 1_700_000_000u64;
    let line =
        |(at, price): (usize, f64)| format!("{},{price:.6},{volume}\n", start + at as u64 * 3_600);
    "time,price,volume\n".to_owned() + &prices.enumerate().map(line).collect::<String>()
}

#[test]
fn rebalancing_a_price_that_comes_back_beats_holding() {
    // 90 days around 2,000: what is sold high is bought back low.
    let prices = (0..90 * 24).map(|hour| 2_000.0 * (1.0 + 0.2 * (f64::from(hour) / 60.0).sin()));
    let portfolio = portfolio("v2", "kind = \"rebalance\"\nband_bps = 300");
    let costs = costs(10_000, 5_000);
    let history = History::csv(&hourly(prices, 0), &portfolio, &costs).unwrap();
    assert_eq!(history.len(), 90 * 24);
    let entries = simulate(Machine::new(portfolio.clone()), &history, &costs);
    let report = report(&portfolio, &entries).unwrap();
    assert!(report.trades.settled >= 20, "{:?}", report.trades);
    assert_eq!(report.trades.failed, 0);
    assert!(
        report.total_return > report.hold_return + 0.01,
        "{} {}",
        report.total_return,
        report.hold_return
    );
    assert!(report.trades.fees > 0.0 && report.cagr.is_some());
    let ratios = report.ratios.unwrap();
    assert!(ratios.sharpe.is_some() && ratios.sortino.is_some());
    let worst = report.max_drawdown.unwrap();
    assert!(worst.depth > 0.1 && worst.depth < 0.3 && worst.peak < worst.trough, "{worst:?}");
    assert_eq!(report.to - report.from, 90 * DAY - 3_600);

    // The simulation is a run like any other: it replays.
    assert!(replay(Machine::new(portfolio.clone()), &entries).unwrap().missing.is_empty());
    // And a simulation on its own recorded blocks decides the same.
    let again = simulate(Machine::new(portfolio), &History::recorded(&entries), &costs);
    assert_eq!(effects(&again), effects(&entries));
}

fn effects(entries: &[Entry]) -> Vec<String> {
    let effect = |entry: &Entry| match entry {
        Entry::Effect(effect) => Some(serde_json::to_string(effect).unwrap()),
        _ => None,
    };
    entries.iter().filter_map(effect).collect()
}

#[test]
fn a_jump_before_the_next_block_fails_the_order() {
    // Weights are right at 2,000; at 2,400 gold is sold, and the next price is 30% below.
    let prices = [2_000.0, 2_400.0, 1_700.0, 1_700.0];
    let portfolio = portfolio("v2", "kind = \"rebalance\"\nband_bps = 300");
    let costs = Costs { gas_price: 1_000_000_000, ..costs(10_000, 5_000) };
    let history = History::csv(&hourly(prices.into_iter(), 0), &portfolio, &costs).unwrap();
    let entries = simulate(Machine::new(portfolio.clone()), &history, &costs);
    let report = report(&portfolio, &entries).unwrap();
    assert_eq!(report.orders[0].status, Status::Failed);
    assert!(report.orders[0].outcome.contains("moved"), "{:?}", report.orders[0]);
    assert_eq!(report.trades.failed, 1);
    assert!(report.trades.gas_wei > 0 && report.trades.gas.unwrap() > 0.0);
}

#[test]
fn liquidity_is_compared_with_holding() {
    // In v2 without volume, a price times four leaves 4/5 of what holding gives: -20%
    // (2*sqrt(4)/(1+4) - 1). There are no fees, and that is what is lost against holding.
    let prices = (0..400).map(|hour| 1_000.0 * 4f64.powf(f64::from(hour.min(300)) / 300.0));
    let v2 =
        portfolio("v2", "kind = \"range\"\npool = \"0x3333333333333333333333333333333333333333\"");
    let costs = costs(10_000, 10_000);
    let history = History::csv(&hourly(prices, 0), &v2, &costs).unwrap();
    let entries = simulate(Machine::new(v2.clone()), &history, &costs);
    let liquidity = report(&v2, &entries).unwrap().liquidity.unwrap();
    assert!((liquidity.impermanent_loss + 0.2).abs() < 0.002, "{liquidity:?}");
    assert!((liquidity.against_holding + 0.2).abs() < 0.002, "{liquidity:?}");
    assert!(liquidity.fees.abs() < 1.0, "{liquidity:?}");

    // In v3 a narrow range on a swinging price earns more than its share, and is re-centred.
    let prices = (0..2_000).map(|hour| 1_000.0 * (1.0 + 0.15 * (f64::from(hour) / 90.0).sin()));
    let v3 = portfolio(
        "v3",
        "kind = \"range\"\npool = \"0x3333333333333333333333333333333333333333\"\nhalf_width = 800",
    );
    let history = History::csv(&hourly(prices, 200_000), &v3, &costs).unwrap();
    let entries = simulate(Machine::new(v3.clone()), &history, &costs);
    let report = report(&v3, &entries).unwrap();
    let liquidity = report.liquidity.unwrap();
    assert!(liquidity.positions > 5 && liquidity.in_range > 0.8, "{liquidity:?}");
    assert!(liquidity.fees > 0.0 && liquidity.impermanent_loss < 0.0, "{liquidity:?}");
}

#[test]
fn the_page_stands_alone_and_escapes_everything() {
    let prices = (0..200).map(|hour| 2_000.0 * (1.0 + 0.2 * (f64::from(hour) / 20.0).sin()));
    let portfolio = portfolio("v2", "kind = \"rebalance\"\nband_bps = 300");
    let costs = costs(10_000, 5_000);
    let history = History::csv(&hourly(prices, 0), &portfolio, &costs).unwrap();
    let entries = simulate(Machine::new(portfolio.clone()), &history, &costs);
    let mut report = report(&portfolio, &entries).unwrap();
    report.orders[0].outcome = "\"><script>alert(1)</script>".into();
    let page = report.html();
    assert!(page.contains("a &lt;b&gt;name&lt;/b&gt;") && page.contains("<svg"));
    assert!(page.contains("&quot;&gt;&lt;script&gt;alert(1)"));
    for forbidden in ["<script", "<b>name", "http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let text = report.text();
    assert!(text.contains("buy and hold") && text.contains("maximum drawdown"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["totalReturn"].is_number() && json["trades"]["gasWei"].is_string());
}

#[test]
fn a_bad_history_is_refused_with_its_line() {
    let portfolio = portfolio("v2", "kind = \"rebalance\"\nband_bps = 300");
    for (text, said) in [
        ("time,price\n1,5\n1,6", "line 3: times must rise"),
        ("1,0", "line 1"),
        ("1,-5", "no price above 0"),
        ("1,5\nx,5", "no Unix time"),
        ("1,5,lots", "no volume"),
    ] {
        let error = History::csv(text, &portfolio, &costs(1, 1)).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}
