//! A hand on a chain: to read it, and to send with one of this machine's keys.

use std::{sync::Arc, time::Duration};

use alloy::{
    network::{Ethereum, EthereumWallet},
    providers::{DynProvider, PendingTransactionBuilder, Provider as _, ProviderBuilder},
    rpc::types::TransactionReceipt,
};
use alloy_primitives::Address;
use anyhow::{Context, ensure};
use vouch_data::consent::Consents;
use vouch_settle::{Endpoints, without_keys};
use vouch_wallet::Wallet;

use crate::time::unix_milliseconds;

/// The chain of `vouch up` on the same machine.
pub(crate) const DEFAULT_CHAIN: &str = "http://127.0.0.1:8545";

/// Answers about consent are given for this long after the chain was last seen.
const MAX_AGE: Duration = Duration::from_secs(30);

/// Reads the chain at a JSON-RPC address, or at several that are parted by commas, of which the next
/// is asked where one does not answer.
pub(crate) fn reader(urls: &str) -> anyhow::Result<DynProvider> {
    Ok(endpoints(urls.split(','))?.provider())
}

/// A chain at several JSON-RPC addresses, named without the keys that may be in them.
pub(crate) fn endpoints<'a>(urls: impl Iterator<Item = &'a str>) -> anyhow::Result<Endpoints> {
    let named = urls.map(str::trim).map(|url| {
        let name = without_keys(url);
        let endpoint = url.parse().with_context(|| format!("--chain {name:?} is no URL"))?;
        Ok((name, ProviderBuilder::default().connect_http(endpoint).erased()))
    });
    Ok(Endpoints::new(named.collect::<anyhow::Result<Vec<_>>>()?))
}

/// The same, signing what `wallet` sends.
pub(crate) fn signer(reader: &DynProvider, wallet: &Wallet) -> anyhow::Result<DynProvider> {
    Ok(vouch_contracts::signing(reader, EthereumWallet::from(wallet.signer()?)))
}

/// Waits for a transaction that was sent, which must succeed; `what` names it in an error.
pub(crate) async fn mined<E>(
    what: &str,
    sent: Result<PendingTransactionBuilder<Ethereum>, E>,
) -> anyhow::Result<TransactionReceipt>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let sent = sent.with_context(|| format!("{what} was refused"))?;
    let transaction = *sent.tx_hash();
    let receipt = vouch_contracts::receipt(sent.provider(), transaction).await;
    let receipt = receipt.with_context(|| {
        format!(
            "whether {what} went through is not known: look for transaction {transaction} before \
             doing it again"
        )
    })?;
    ensure!(receipt.status(), "{what} was mined and failed: transaction {transaction}");
    Ok(receipt)
}

/// The grants of a consent registry, as the chain has them now.
pub(crate) async fn consents(chain: DynProvider, registry: Address) -> anyhow::Result<Consents> {
    let consents = Consents::new(chain, registry, Arc::new(unix_milliseconds), MAX_AGE);
    consents.catch_up().await.context("the consent registry cannot be read")?;
    Ok(consents)
}
