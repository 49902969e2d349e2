//! The report for a terminal.

use std::fmt::Write;

use super::{Report, date::date};

pub(super) fn percent(part: f64) -> String {
    format!("{:+.2}%", part * 100.0)
}

pub(super) fn optional(value: Option<f64>, shown: impl FnOnce(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), shown)
}

/// Label and value of every number, shared by text and page.
pub(super) fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let quote = &report.quote;
    let ratio = |value: Option<f64>| optional(value, |value| format!("{value:.2}"));
    let ratios = report.ratios;
    let basis = ratios.map_or_else(
        || "too few returns".to_owned(),
        |ratios| {
            let period = format!("{:?}", ratios.period).to_lowercase();
            format!("annualised from {} returns of a {period}", ratios.returns)
        },
    );
    let mut facts = vec![
        ("from", date(report.from)),
        ("to", format!("{}, {} blocks", date(report.to), report.blocks)),
        ("value", format!("{:.2} to {:.2} {quote}", report.first, report.last)),
        ("return", percent(report.total_return)),
        ("buy and hold", percent(report.hold_return)),
        ("return a year (CAGR)", optional(report.cagr, percent)),
        ("Sharpe", format!("{} ({basis})", ratio(ratios.and_then(|r| r.sharpe)))),
        ("Sortino", ratio(ratios.and_then(|r| r.sortino))),
        ("maximum drawdown", drawdown(report)),
        ("under water", format!("{:.1}% of the time", report.under_water * 100.0)),
        (
            "orders",
            format!(
                "{} settled, {} failed, {} refused by the limits; {} questions",
                report.trades.settled,
                report.trades.failed,
                report.trades.refused,
                report.trades.questions
            ),
        ),
        ("turnover", format!("{:.2} {quote}", report.trades.turnover)),
        ("fees to pools", format!("{:.4} {quote}", report.trades.fees)),
        (
            "gas",
            format!(
                "{} wei{}",
                report.trades.gas_wei,
                report.trades.gas.map_or_else(String::new, |gas| format!(", {gas:.4} {quote}"))
            ),
        ),
    ];
    if let Some(liquidity) = &report.liquidity {
        facts.extend([
            ("positions", liquidity.positions.to_string()),
            ("in range", format!("{:.1}% of the blocks", liquidity.in_range * 100.0)),
            ("impermanent loss", percent(liquidity.impermanent_loss)),
            ("fees earned", format!("{:.4} {quote}", liquidity.fees)),
            ("liquidity against holding", percent(liquidity.against_holding)),
        ]);
    }
    facts
}

fn drawdown(report: &Report) -> String {
    let Some(fall) = report.max_drawdown else { return "none".into() };
    let recovered = fall
        .recovered
        .map_or_else(|| "not recovered".to_owned(), |at| format!("recovered {}", date(at)));
    format!("{:.2}%, {} to {}, {recovered}", fall.depth * 100.0, date(fall.peak), date(fall.trough))
}

pub(super) fn text(report: &Report) -> String {
    let mut text = format!("{}\n", report.name.replace(char::is_control, " "));
    for (label, value) in facts(report) {
        let _infallible = writeln!(text, "  {label:<26}{value}");
    }
    text
}
