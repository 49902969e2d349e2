//! A provider that signs what it sends.

use alloy::{
    network::EthereumWallet,
    providers::{DynProvider, Provider, ProviderBuilder},
};

/// The same chain, with what is sent from one of the wallet's accounts filled in and signed.
///
/// Nonces are the node's word each time. A nonce that is kept here instead is lost when a gas
/// estimate is refused, and all later transactions wait behind the gap; and another process may
/// send from the same account.
#[must_use]
pub fn signing(provider: &DynProvider, wallet: EthereumWallet) -> DynProvider {
    ProviderBuilder::default()
        .with_simple_nonce_management()
        .with_gas_estimation()
        .fetch_chain_id()
        .wallet(wallet)
        .connect_provider(provider.clone())
        .erased()
}
