//! `vouch wallet`: the buyer's address and money, and the provider's beside it.

use std::path::Path;

use alloy::providers::{Provider, ProviderBuilder};
use alloy_primitives::Address;
use anyhow::Context;
use serde_json::json;
use vouch_contracts::bindings::TestDollar::TestDollarInstance;
use vouch_wallet::Wallet;
use vouch_wire::vouch::ProviderDocument;

use crate::{
    arguments, buyer::DEFAULT_PROVIDER, config::Config, http::get_json, money::Dollars,
    output::Output,
};

pub(crate) async fn run(
    arguments: arguments::Wallet,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let wallet = Wallet::open_or_create(&data_dir.join("buyer"), &crate::passphrase())?;
    let named = arguments.provider.provider.or_else(|| config.buyer.provider.clone());
    let url = named.unwrap_or_else(|| DEFAULT_PROVIDER.to_owned());
    let document = format!("{}/.well-known/vouch.json", url.trim_end_matches('/'));
    let document: ProviderDocument = get_json(&reqwest::Client::new(), &document).await?;
    let address = wallet.address();
    let Some(rpc) = &document.rpc else {
        // A public network: whoever funds the wallet has a view of it, and needs to know these.
        let (network, asset) = (&document.network, &document.asset);
        let value = json!({ "address": address, "network": network, "asset": asset.address });
        return output.answer(&value, || {
            format!(
                "buyer     {address}\npays in   {} {} on {network}",
                asset.symbol, asset.address
            )
        });
    };
    let chain = ProviderBuilder::new().connect_http(rpc.parse()?).erased();
    let token = TestDollarInstance::new(document.asset.address, chain);
    let balance = async |of: Address| -> anyhow::Result<Dollars> {
        Ok(Dollars(token.balanceOf(of).call().await.context("the chain does not answer")?.to()))
    };
    let (buyers, providers) = (balance(address).await?, balance(document.provider).await?);
    let value = json!({
        "address": address,
        "balances": { "buyer": buyers.0.to_string(), "provider": providers.0.to_string() },
    });
    output.answer(&value, || {
        format!("buyer     {address}  {buyers}\nprovider  {}  {providers}", document.provider)
    })
}
