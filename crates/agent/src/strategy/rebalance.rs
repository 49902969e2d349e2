//! Keep a portfolio at its weights.

use alloy_primitives::U256;

use super::{Choice, Strategy, View, Want, view::part};
use crate::market::math::bps_up;

/// Sells what has grown out of the band for what has fallen out of it.
#[derive(Debug, Clone)]
pub struct Rebalance {
    band_bps: u64,
}

impl Rebalance {
    /// Acts once a weight is more than `band_bps` of the whole away from its target.
    #[must_use]
    pub fn new(band_bps: u64) -> Self {
        Self { band_bps }
    }
}

/// An asset's distance from its target, in value.
struct Drift {
    at: usize,
    by: U256,
}

impl Strategy for Rebalance {
    fn decide(&mut self, view: &View<'_>) -> Vec<Choice> {
        swap(view, self.band_bps).into_iter().collect()
    }
}

/// The one swap that brings the two farthest weights together, if one is out of the band.
fn swap(view: &View<'_>, band_bps: u64) -> Option<Choice> {
    let values = view.values()?;
    let total: U256 = values.iter().copied().fold(U256::ZERO, U256::saturating_add);
    if total.is_zero() {
        return None;
    }
    let assets = &view.portfolio.assets;
    let (mut over, mut under) = (None::<Drift>, None::<Drift>);
    for (at, (asset, value)) in assets.iter().zip(&values).enumerate() {
        let target = part(total, asset.weight_bps);
        let by = value.abs_diff(target);
        let side = if *value > target { &mut over } else { &mut under };
        if side.as_ref().is_none_or(|drift| drift.by < by) {
            *side = Some(Drift { at, by });
        }
    }
    let (over, under) = (over?, under?);
    let drift_bps = bps_up(over.by.max(under.by), total);
    if u64::from(drift_bps) <= band_bps {
        return None;
    }
    let (mut sell, mut buy) = (assets.get(over.at)?, assets.get(under.at)?);
    let mut amount = over.by.min(under.by);
    if view.pools(sell.address, buy.address).next().is_none() {
        // By way of the quote token, one swap now and one at a later block.
        let quote = view.portfolio.asset(view.portfolio.quote)?;
        if sell.address == quote.address || buy.address == quote.address {
            return None;
        }
        if over.by >= under.by {
            buy = quote
        } else {
            sell = quote
        }
        amount = over.by.max(under.by);
    }
    if amount < view.portfolio.limits.min_trade {
        return None;
    }
    let held = view.snapshot.balance(sell.address);
    let amount_in = view.worth(sell.address, amount)?.min(held);
    let reason = format!(
        "{} is {}.{:02}% of the whole from its weight",
        if over.by >= under.by { &sell.name } else { &buy.name },
        drift_bps / 100,
        drift_bps % 100
    );
    let want = Want::Swap { sell: sell.address, buy: buy.address, amount_in };
    Some(Choice::Act { want, reason, relied_on: Vec::new() })
}
