//! What can go wrong between Rust and the contracts.

use alloy::primitives::{Address, TxHash};

/// Why contracts could not be used or deployed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The Solidity sources were not compiled before this program was.
    #[error("The contracts were not compiled when this program was built; run `cargo xtask setup`")]
    NotBuilt,
    /// A transaction that creates a contract was mined and failed.
    #[error(
        "The transaction {transaction} that deploys {contract} was mined but failed; \
         check that the sender has enough gas and that the network supports the Cancun rules"
    )]
    Reverted {
        /// The contract's name.
        contract: &'static str,
        /// The failed transaction.
        transaction: TxHash,
    },
    /// There is code at x402's settlement address, but its collector is missing or another's.
    #[error(
        "The x402 settlement contract is on this network but the collector at {collector} does not serve it; \
         name the contracts to use in the configuration"
    )]
    ForeignCollector {
        /// Where the collector was looked for.
        collector: Address,
    },
    /// The network could not be asked, or answered with an error.
    #[error(
        "The network did not take {what}: {source}; check the endpoint and the sender's balance"
    )]
    Rpc {
        /// What was asked of it.
        what: &'static str,
        /// The transport's or the node's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Wraps an error of the provider with what was being done.
    pub(crate) fn rpc<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Rpc { what, source: Box::new(source) }
    }
}
