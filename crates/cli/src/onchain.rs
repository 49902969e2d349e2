//! A hand on a chain: to read it, and to send with one of this machine's keys.

use alloy::{
    network::EthereumWallet,
    providers::{DynProvider, Provider as _, ProviderBuilder},
};
use anyhow::Context;
use vouch_wallet::Wallet;

/// The chain of `vouch up` on the same machine.
pub(crate) const DEFAULT_CHAIN: &str = "http://127.0.0.1:8545";

/// Reads the chain at a JSON-RPC address.
pub(crate) fn reader(url: &str) -> anyhow::Result<DynProvider> {
    let endpoint = url.parse().with_context(|| format!("--chain {url:?} is no URL"))?;
    Ok(ProviderBuilder::new().connect_http(endpoint).erased())
}

/// The same, signing what `wallet` sends.
pub(crate) fn signer(reader: &DynProvider, wallet: &Wallet) -> anyhow::Result<DynProvider> {
    Ok(vouch_contracts::signing(reader, EthereumWallet::from(wallet.signer()?)))
}
