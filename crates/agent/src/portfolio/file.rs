//! The file: what may be written in it, and its defaults.

use std::path::Path;

use alloy_primitives::{Address, utils::parse_units};
use serde::Deserialize;

use super::{Asset, Error, Limits, Portfolio, StrategyConfig, Venues};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    chain_id: u64,
    /// The name of the asset that values are counted in.
    quote: String,
    gas_asset: Option<String>,
    #[serde(rename = "asset")]
    assets: Vec<FileAsset>,
    #[serde(rename = "pool", default)]
    pools: Vec<FilePool>,
    #[serde(default)]
    venues: FileVenues,
    limits: FileLimits,
    strategy: FileStrategy,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAsset {
    name: String,
    address: Address,
    decimals: u8,
    weight_bps: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePool {
    kind: PoolKind,
    address: Address,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PoolKind {
    V2,
    V3,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileVenues {
    v2_router: Option<Address>,
    v3_router: Option<Address>,
    v3_positions: Option<Address>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLimits {
    #[serde(default = "slippage")]
    slippage_bps: u64,
    #[serde(default = "impact")]
    max_impact_bps: u32,
    /// In the quote token, such as "5".
    min_trade: String,
    #[serde(default = "cool_down")]
    cool_down_s: u64,
    #[serde(default = "deadline")]
    deadline_s: u64,
    #[serde(default)]
    stop_loss_bps: u64,
    #[serde(default)]
    max_move_bps: u32,
}

fn slippage() -> u64 {
    50
}
fn impact() -> u32 {
    100
}
fn cool_down() -> u64 {
    60
}
fn deadline() -> u64 {
    120
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum FileStrategy {
    Rebalance {
        band_bps: u64,
    },
    Range {
        pool: Address,
        #[serde(default)]
        half_width: i32,
        #[serde(default = "whole")]
        share_bps: u64,
    },
    Advised {
        model: String,
        every_s: u64,
        #[serde(default = "patience")]
        patience_s: u64,
        step_bps: u64,
        drift_bps: u64,
    },
}

fn whole() -> u64 {
    10_000
}
fn patience() -> u64 {
    300
}

impl Portfolio {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads and checks a text.
    ///
    /// # Errors
    /// [`Error::Toml`], [`Error::Invalid`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file: File = toml::from_str(text)?;
        for asset in &file.assets {
            // A name goes into questions to a model, onto terminals and into pages.
            let plain = asset.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            if asset.name.is_empty() || asset.name.len() > 16 || !plain {
                return Err(Error::Invalid(format!(
                    "asset name {:?}: 1 to 16 letters, digits, '-', '_' or '.'",
                    asset.name
                )));
            }
        }
        let named = |field: &str, name: &str| {
            let asset = file.assets.iter().find(|asset| asset.name == name);
            let none = || Error::Invalid(format!("{field} = {name:?} is no asset's name"));
            asset.ok_or_else(none)
        };
        let quote = named("quote", &file.quote)?;
        let gas_asset = file.gas_asset.as_deref().map(|name| named("gas_asset", name));
        let gas_asset = gas_asset.transpose()?.map(|asset| asset.address);
        let min_trade = &file.limits.min_trade;
        let wrong = || {
            Error::Invalid(format!(
                "limits.min_trade = {min_trade:?}: write an amount of {} with at most {} decimals",
                quote.name, quote.decimals
            ))
        };
        let fits = min_trade
            .split_once('.')
            .is_none_or(|(_, part)| part.len() <= usize::from(quote.decimals));
        let plain = min_trade.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let min_trade = match parse_units(min_trade, quote.decimals) {
            Ok(amount) if fits && plain => amount.get_absolute(),
            _ => return Err(wrong()),
        };
        let of = |kind| file.pools.iter().filter(move |pool| pool.kind == kind);
        let quote = quote.address;
        let limits = &file.limits;
        Self {
            pairs: of(PoolKind::V2).map(|pool| pool.address).collect(),
            pools: of(PoolKind::V3).map(|pool| pool.address).collect(),
            name: file.name,
            chain_id: file.chain_id,
            quote,
            gas_asset,
            venues: Venues {
                v2_router: file.venues.v2_router,
                v3_router: file.venues.v3_router,
                v3_positions: file.venues.v3_positions,
            },
            limits: Limits {
                slippage_bps: limits.slippage_bps,
                max_impact_bps: limits.max_impact_bps,
                min_trade,
                cool_down_s: limits.cool_down_s,
                deadline_s: limits.deadline_s,
                stop_loss_bps: limits.stop_loss_bps,
                max_move_bps: limits.max_move_bps,
            },
            strategy: file.strategy.into(),
            assets: file.assets.into_iter().map(Asset::from).collect(),
        }
        .check()
    }
}

impl From<FileAsset> for Asset {
    fn from(file: FileAsset) -> Self {
        let FileAsset { name, address, decimals, weight_bps } = file;
        Self { name, address, decimals, weight_bps }
    }
}

impl From<FileStrategy> for StrategyConfig {
    fn from(file: FileStrategy) -> Self {
        match file {
            FileStrategy::Rebalance { band_bps } => Self::Rebalance { band_bps },
            FileStrategy::Range { pool, half_width, share_bps } => {
                Self::Range { pool, half_width, share_bps }
            }
            FileStrategy::Advised { model, every_s, patience_s, step_bps, drift_bps } => {
                Self::Advised { model, every_s, patience_s, step_bps, drift_bps }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "two tokens"
chain_id = 31337
quote = "USD"

[[asset]]
name = "USD"
address = "0x1111111111111111111111111111111111111111"
decimals = 6
weight_bps = 5000

[[asset]]
name = "GOLD"
address = "0x2222222222222222222222222222222222222222"
decimals = 18
weight_bps = 5000

[[pool]]
kind = "v2"
address = "0x3333333333333333333333333333333333333333"

[venues]
v2_router = "0x4444444444444444444444444444444444444444"

[limits]
min_trade = "2.5"

[strategy]
kind = "rebalance"
band_bps = 300
"#;

    #[test]
    fn a_good_one_is_read() {
        let portfolio = Portfolio::parse(GOOD).unwrap();
        assert_eq!(portfolio.limits.min_trade.to_string(), "2500000");
        assert_eq!(portfolio.amount(portfolio.quote, portfolio.limits.min_trade), "2.5");
        assert_eq!(portfolio.limits.slippage_bps, 50);
    }

    #[test]
    fn a_bad_one_is_refused_with_what_is_wrong() {
        for (from, to, said) in [
            ("weight_bps = 5000", "weight_bps = 4000", "8000 basis points"),
            ("quote = \"USD\"", "quote = \"EUR\"", "no asset's name"),
            ("v2_router", "v3_router", "needs venues.v2_router"),
            ("band_bps = 300", "band_bps = 0", "1 to 5000"),
            ("\"2.5\"", "\"2.0000001\"", "at most 6 decimals"),
            ("\"2.5\"", "\"-2\"", "write an amount"),
            ("\"GOLD\"", "\"A\\u001b[2J\"", "letters, digits"),
            ("band_bps = 300", "bnad_bps = 300", "bnad_bps"),
            (
                "\"0x2222222222222222222222222222222222222222\"",
                "\"0x1111111111111111111111111111111111111111\"",
                "listed twice",
            ),
        ] {
            let error = Portfolio::parse(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(said), "{to}: {error}");
        }
    }
}
