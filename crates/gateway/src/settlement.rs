use alloy_primitives::{Address, B256};
use futures_util::future::BoxFuture;
use vouch_core::channel::{ChannelConfig, OnChain};
use vouch_wire::x402::Deposit;

/// The chain, as the gateway needs it.
///
/// - **Durability**: what is `Ok` is settled at the configured finality.
/// - **Consistency**: [`Self::observe`] may be behind the chain by what [`Self::health`] allows.
/// - **Concurrency**: any number of tasks; the gateway sends at most one deposit a channel at once.
/// - **Retries**: the implementation's. The gateway repeats nothing; a buyer may repeat a call, so
///   a deposit whose authorization was used for this channel already is `Ok`, not a failure.
pub trait Settlement: Send + Sync + std::fmt::Debug {
    /// Reads a channel; all zero where the chain knows none.
    fn observe<'a>(
        &'a self,
        channel: &'a ChannelConfig,
    ) -> BoxFuture<'a, Result<OnChain, SettlementError>>;

    /// Moves a payer's deposit into its channel. The deposit has an EIP-3009 authorization.
    fn deposit<'a>(
        &'a self,
        channel: &'a ChannelConfig,
        deposit: &'a Deposit,
    ) -> BoxFuture<'a, Result<Deposited, SettlementError>>;

    /// Claims what was charged and refunds the rest, in one transaction; gives its hash.
    fn close(&self, channel: B256) -> BoxFuture<'_, Result<B256, SettlementError>>;

    /// Sends test money; gives the transaction's hash. Called only where the configuration allows.
    fn faucet(&self, address: Address) -> BoxFuture<'_, Result<B256, SettlementError>>;

    /// Whether the view of the chain is fresh enough to take on new work.
    ///
    /// # Errors
    /// Why not, for people.
    fn health(&self) -> Result<(), String>;
}

/// A deposit that has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deposited {
    /// The transaction.
    pub transaction: B256,
    /// The channel after it.
    pub on_chain: OnChain,
}

/// Why the chain did not do what was asked, as a clause that strangers may read: no addresses of
/// nodes, no keys. Success is the third outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    /// It is certain that nothing happened.
    #[error("{0}")]
    Failed(String),
    /// Nobody knows yet; it is to be reconciled, never repeated with a fresh authorization.
    #[error("{0}")]
    Unknown(String),
}
