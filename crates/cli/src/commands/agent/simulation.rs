//! `vouch agent run --history`: the same strategy on what was.

use std::collections::BTreeMap;

use alloy::primitives::{U256, utils::parse_units};
use anyhow::{Context, ensure};
use vouch_agent::{
    portfolio::{Asset, Portfolio},
    report::report,
    run::{Costs, History, Journal, Machine, simulate},
};

use super::report::show;
use crate::arguments::agent::AgentRun;
use crate::output::Output;

pub(super) fn run(arguments: &AgentRun, output: Output) -> anyhow::Result<()> {
    let portfolio = Portfolio::read(&arguments.portfolio)?;
    let past = &arguments.history;
    let quote = portfolio.asset(portfolio.quote).context("the quote token is no asset")?;
    let mut holdings = BTreeMap::new();
    for text in &past.holdings {
        let wrong = || format!("--hold {text}: write it like {}=1000", quote.name);
        let (name, value) = text.split_once('=').with_context(wrong)?;
        let asset = portfolio.assets.iter().find(|asset| asset.name == name);
        let asset = asset.with_context(|| format!("--hold {text}: {name} is no asset"))?;
        holdings.insert(asset.address, amount(asset, value).with_context(wrong)?);
    }
    ensure!(!holdings.is_empty(), "say with --hold what the account begins with");
    let costs = Costs {
        holdings,
        ether: U256::from(10u64.pow(18)),
        gas_price: past.gas_price,
        depth: amount(quote, &past.depth).context("--depth is no amount")?,
        fee_pips: past.fee,
    };
    let path = past.history.as_ref().context("--history names nothing")?;
    let history = if path.is_dir() {
        History::recorded(Journal::open(path)?.entries())
    } else {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        History::csv(&text, &portfolio, &costs)?
    };
    ensure!(!history.is_empty(), "{} has no prices", path.display());
    let entries = simulate(Machine::new(portfolio.clone()), &history, &costs);
    let report =
        report(&portfolio, &entries).context("the history has no price for every asset")?;
    show(&report, past.html.as_deref(), output)
}

fn amount(asset: &Asset, text: &str) -> Option<U256> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let parsed = parse_units(text, asset.decimals).ok().filter(|_| plain)?;
    Some(parsed.get_absolute())
}
