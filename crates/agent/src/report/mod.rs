//! Say what a run earned, against what doing nothing would have.
//!
//! ```text
//! entries of a run ──▶ curve (value, and that of holding) ──▶ statistics ──▶ text, JSON, HTML
//!                  └─▶ orders, fees, gas          └─▶ liquidity against holding
//! ```
//!
//! Amounts are exact integers up to here; returns and ratios are floating point, and decide nothing.
//! Values are at mid-prices, net of gas where the portfolio names an asset to count it in. Money that
//! the owner adds or takes during a run counts as gain or loss: begin a new run then.
//!
//! # Formulas
//! - return: last value / first value - 1; hold: the first block's tokens at the last block's prices.
//! - CAGR: (1 + return)^(year / span) - 1, a year of 365 days, if the span is at least 30 days.
//! - Sharpe: mean of the returns a period / their sample standard deviation, times the root of the
//!   periods in a year; riskless return 0 (W. F. Sharpe, "The Sharpe Ratio", 1994).
//! - Sortino: the same mean / the root of the mean square of the negative returns (F. Sortino and
//!   L. Price, "Performance Measurement in a Downside Risk Framework", 1994), target 0.
//! - Drawdown: 1 - value / highest value before; the maximum with the days of peak, trough and
//!   recovery. Under water: the part of the time below the highest value.
//! - Impermanent loss: what the liquidity alone is worth / what the deposited tokens would be worth
//!   - 1. In v2, the liquidity alone is the deposit moved along x*y = k (Uniswap v2 whitepaper, 2.1).

mod curve;
mod date;
mod html;
mod liquidity;
mod orders;
mod statistics;
mod svg;
mod text;

use serde::Serialize;

pub use curve::Point;
pub use liquidity::Liquidity;
pub use orders::{Row, Status, Trades};
pub use statistics::{Drawdown, Period, Ratios};

use crate::{portfolio::Portfolio, run::Entry};

/// What a run earned.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The portfolio's name.
    pub name: String,
    /// The name of the token that values are in.
    pub quote: String,
    /// Unix seconds of the first and last block.
    pub from: u64,
    /// See `from`.
    pub to: u64,
    /// Blocks seen.
    pub blocks: usize,
    /// Value at the beginning, quote token.
    pub first: f64,
    /// Value at the end, net of gas where it can be counted.
    pub last: f64,
    /// Total return, 0.01 is one percent.
    pub total_return: f64,
    /// Return of holding what was there at the beginning.
    pub hold_return: f64,
    /// Return a year, of spans of at least 30 days.
    pub cagr: Option<f64>,
    /// Sharpe and Sortino, if there are enough returns.
    pub ratios: Option<Ratios>,
    /// The deepest fall; none if there was none.
    pub max_drawdown: Option<Drawdown>,
    /// The part of the time below the highest value.
    pub under_water: f64,
    /// Orders, fees, gas.
    pub trades: Trades,
    /// Liquidity against holding, if any was provided.
    pub liquidity: Option<Liquidity>,
    /// Value over time.
    pub curve: Vec<Point>,
    /// Each order.
    pub orders: Vec<Row>,
}

/// The report of a run; none of a run that saw no block with a price.
#[must_use]
pub fn report(portfolio: &Portfolio, entries: &[Entry]) -> Option<Report> {
    let curve = curve::curve(portfolio, entries);
    let (first, last) = (*curve.first()?, *curve.last()?);
    let (trades, orders) = orders::orders(portfolio, entries);
    let span = last.time.saturating_sub(first.time);
    let total_return = statistics::change(first.value, last.value);
    Some(Report {
        name: portfolio.name.clone(),
        quote: portfolio.label(portfolio.quote),
        from: first.time,
        to: last.time,
        blocks: curve.len(),
        first: first.value,
        last: last.value,
        total_return,
        hold_return: statistics::change(first.hold, last.hold),
        cagr: statistics::cagr(total_return, span),
        ratios: statistics::ratios(&curve),
        max_drawdown: statistics::max_drawdown(&curve),
        under_water: statistics::under_water(&curve),
        trades,
        liquidity: liquidity::liquidity(portfolio, entries),
        curve,
        orders,
    })
}

impl Report {
    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// One page that needs nothing beside it: no scripts, no fonts, no images from elsewhere.
    #[must_use]
    pub fn html(&self) -> String {
        html::html(self)
    }
}
