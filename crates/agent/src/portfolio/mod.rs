//! What an agent keeps, where it trades, and within which limits: `portfolio.toml`, typed.
//!
//! Names in it are the owner's. What a token calls itself on the chain is never read.

mod file;

use std::{collections::BTreeSet, path::PathBuf};

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::Serialize;

use crate::market::Watch;

/// Why a portfolio cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Not TOML, or with other fields.
    #[error("the portfolio is not valid TOML for a portfolio: {0}")]
    Toml(#[from] toml::de::Error),
    /// It contradicts itself, or names what it does not define.
    #[error("portfolio: {0}")]
    Invalid(String),
}

/// A token that the portfolio may hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asset {
    /// The owner's name for it.
    pub name: String,
    /// Where it stands.
    pub address: Address,
    /// Decimals to print it with.
    pub decimals: u8,
    /// Its part of the portfolio, basis points.
    pub weight_bps: u64,
}

/// Where orders go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Venues {
    /// Uniswap v2's Router02.
    pub v2_router: Option<Address>,
    /// Uniswap v3's SwapRouter02.
    pub v3_router: Option<Address>,
    /// Uniswap v3's NonfungiblePositionManager.
    pub v3_positions: Option<Address>,
}

/// What holds for every order, whatever the strategy wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// How much less than quoted an order accepts, basis points.
    pub slippage_bps: u64,
    /// How far an order may move a pool's price; larger ones are cut.
    pub max_impact_bps: u32,
    /// Smallest trade, in the quote token's atomic units.
    pub min_trade: U256,
    /// Seconds after an order, done or failed, without another.
    pub cool_down_s: u64,
    /// Seconds after which an order that was not mined must fail.
    pub deadline_s: u64,
    /// Sell everything when the value is this far below its highest, basis points; 0 is never.
    pub stop_loss_bps: u64,
    /// Decide nothing in a block that moved a pool's price by more, basis points; 0 is always decide.
    pub max_move_bps: u32,
}

/// Which strategy, and how it is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum StrategyConfig {
    /// Keep the weights.
    Rebalance {
        /// How far a weight may drift, basis points of the whole.
        band_bps: u64,
    },
    /// Provide liquidity around the price.
    Range {
        /// In which pool.
        pool: Address,
        /// Ticks at each side of the price; v2 has none and uses the whole range.
        half_width: i32,
        /// The part of what is held that is provided, basis points.
        share_bps: u64,
    },
    /// Ask a model to choose among what the rules allow.
    Advised {
        /// The model's name at the endpoint.
        model: String,
        /// Seconds between questions.
        every_s: u64,
        /// Seconds after which an unanswered question counts as answered by the default.
        patience_s: u64,
        /// The size of one step, basis points of the whole.
        step_bps: u64,
        /// How far a step may take a weight from its target, basis points of the whole.
        drift_bps: u64,
    },
}

/// A checked portfolio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Portfolio {
    /// The owner's name for it.
    pub name: String,
    /// The network, by EIP-155.
    pub chain_id: u64,
    /// What values are counted in; one of the assets.
    pub quote: Address,
    /// What may be held.
    pub assets: Vec<Asset>,
    /// v2 pairs.
    pub pairs: Vec<Address>,
    /// v3 pools.
    pub pools: Vec<Address>,
    /// Where orders go.
    pub venues: Venues,
    /// The asset that wraps the chain's coin, to count gas in; none leaves gas in wei.
    pub gas_asset: Option<Address>,
    /// The limits.
    pub limits: Limits,
    /// The strategy.
    pub strategy: StrategyConfig,
}

impl Portfolio {
    /// What identifies the strategy with its settings: keccak-256 of the portfolio as JSON.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(serde_json::to_vec(self).unwrap_or_default())
    }

    /// The asset at an address.
    #[must_use]
    pub fn asset(&self, address: Address) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.address == address)
    }

    /// The owner's name for a token; its address where there is none.
    #[must_use]
    pub fn label(&self, token: Address) -> String {
        self.asset(token).map_or_else(|| token.to_string(), |asset| asset.name.clone())
    }

    /// An amount with its decimals, such as `1.25`.
    #[must_use]
    pub fn amount(&self, token: Address, amount: U256) -> String {
        let decimals = self.asset(token).map_or(0, |asset| asset.decimals);
        let text = alloy_primitives::utils::format_units(amount, decimals);
        let text = text.unwrap_or_else(|_| amount.to_string());
        match text.split_once('.') {
            Some((whole, part)) if part.trim_end_matches('0').is_empty() => whole.to_owned(),
            Some((whole, part)) => format!("{whole}.{}", part.trim_end_matches('0')),
            None => text,
        }
    }

    /// What to read of the chain for `account`.
    #[must_use]
    pub fn watch(&self, account: Address) -> Watch {
        Watch {
            account,
            tokens: self.assets.iter().map(|asset| asset.address).collect(),
            pairs: self.pairs.clone(),
            pools: self.pools.clone(),
            positions: self.venues.v3_positions,
        }
    }

    fn check(self) -> Result<Self, Error> {
        let invalid = |why: String| Err(Error::Invalid(why));
        let mut seen = BTreeSet::new();
        for asset in &self.assets {
            if !seen.insert(asset.address) {
                return invalid(format!("asset {} is listed twice", asset.address));
            }
            if self.assets.iter().filter(|other| other.name == asset.name).count() > 1 {
                return invalid(format!("two assets are named {:?}", asset.name));
            }
        }
        if !(2..=16).contains(&self.assets.len()) {
            return invalid(format!("{} assets: list 2 to 16", self.assets.len()));
        }
        let weights: u64 = self.assets.iter().map(|asset| asset.weight_bps).sum();
        if weights != 10_000 {
            return invalid(format!("the weights are {weights} basis points in all, not 10000"));
        }
        if self.pairs.is_empty() && self.pools.is_empty() {
            return invalid("no pool: list at least one [[pool]]".into());
        }
        let pools = self.pairs.len().saturating_add(self.pools.len());
        let distinct: BTreeSet<_> = self.pairs.iter().chain(&self.pools).collect();
        if distinct.len() != pools || pools > 32 {
            return invalid("list each pool once, and 32 at most".into());
        }
        if !self.pairs.is_empty() && self.venues.v2_router.is_none() {
            return invalid("a v2 pool needs venues.v2_router".into());
        }
        if !self.pools.is_empty() && self.venues.v3_router.is_none() {
            return invalid("a v3 pool needs venues.v3_router".into());
        }
        match self.check_limits().or_else(|| self.check_strategy()) {
            Some(why) => invalid(why),
            None => Ok(self),
        }
    }

    fn check_limits(&self) -> Option<String> {
        let limits = &self.limits;
        for (name, value, most) in [
            ("slippage_bps", limits.slippage_bps, 5_000),
            ("max_impact_bps", u64::from(limits.max_impact_bps), 5_000),
            ("stop_loss_bps", limits.stop_loss_bps, 9_999),
        ] {
            if value > most {
                return Some(format!("limits.{name} is {value}: {most} is the most"));
            }
        }
        if limits.deadline_s == 0 || limits.deadline_s > 3600 {
            return Some(format!("limits.deadline_s is {}: 1 to 3600", limits.deadline_s));
        }
        limits.min_trade.is_zero().then(|| "limits.min_trade is 0: say the smallest trade".into())
    }

    fn check_strategy(&self) -> Option<String> {
        match &self.strategy {
            StrategyConfig::Rebalance { band_bps } if !(1..=5_000).contains(band_bps) => {
                Some(format!("strategy.band_bps is {band_bps}: 1 to 5000"))
            }
            StrategyConfig::Range { pool, half_width, share_bps } => {
                let v3 = self.pools.contains(pool);
                if !v3 && !self.pairs.contains(pool) {
                    return Some(format!("strategy.pool {pool} is not among the pools"));
                }
                if v3 && self.venues.v3_positions.is_none() {
                    return Some("liquidity in v3 needs venues.v3_positions".into());
                }
                if v3 && !(1..=400_000).contains(half_width) {
                    return Some(format!("strategy.half_width is {half_width}: 1 to 400000 ticks"));
                }
                (!(1..=10_000).contains(share_bps))
                    .then(|| format!("strategy.share_bps is {share_bps}: 1 to 10000"))
            }
            StrategyConfig::Advised { every_s, patience_s, step_bps, .. } => {
                if *every_s == 0 || *patience_s == 0 {
                    return Some("strategy.every_s and patience_s must be above 0".into());
                }
                (!(1..=5_000).contains(step_bps))
                    .then(|| format!("strategy.step_bps is {step_bps}: 1 to 5000"))
            }
            StrategyConfig::Rebalance { .. } => None,
        }
    }
}
