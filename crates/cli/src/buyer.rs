//! A buyer put together: wallet, budget, providers.

use std::{path::Path, sync::Arc};

use vouch_buyer::{Buyer, Policy};
use vouch_wallet::Wallet;

use crate::{arguments::Purchase, config::Config, money::Dollars, time::unix_milliseconds};

/// The provider, where nothing is said: the one of `vouch up`.
pub(crate) const DEFAULT_PROVIDER: &str = "http://127.0.0.1:4020";
/// Dollars that may be spent in all, and on one call.
const BUDGET: Dollars = Dollars(1_000_000);
const PER_CALL: Dollars = Dollars(100_000);

/// Whom a purchase pays: as named, as configured, or the provider of `vouch up`.
pub(crate) fn provider(purchase: &Purchase, config: &Config) -> String {
    let named = purchase.provider.as_ref().or(config.buyer.provider.as_ref());
    named.map_or(DEFAULT_PROVIDER, String::as_str).trim_end_matches('/').to_owned()
}

/// Opens the buyer in `data_dir/buyer`.
pub(crate) fn open(
    mut purchase: Purchase,
    config: &Config,
    data_dir: &Path,
) -> anyhow::Result<Buyer> {
    let provider = provider(&purchase, config);
    config.fill_purchase(&mut purchase);
    let directory = data_dir.join("buyer");
    let wallet = Wallet::open_or_create(&directory, &crate::passphrase())?;
    let budget = purchase.budget.unwrap_or(BUDGET).0;
    let per_call = purchase.max_per_call.unwrap_or(PER_CALL).0.min(budget);
    let policy = Policy::new(budget, per_call);
    Ok(Buyer::open(&directory, wallet, policy, Arc::new(unix_milliseconds), &[provider])?)
}

/// As [`open`], for commands that ask for nothing to be bought.
pub(crate) fn open_idle(
    provider: Option<String>,
    config: &Config,
    data_dir: &Path,
) -> anyhow::Result<Buyer> {
    open(Purchase { provider, budget: None, max_per_call: None }, config, data_dir)
}
