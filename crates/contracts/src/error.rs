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
    /// A transaction that creates a contract was sent and not seen.
    #[error(
        "Whether the transaction {transaction} that deploys {contract} went through is not known; \
         look for it on the network before deploying again"
    )]
    Unknown {
        /// The contract's name.
        contract: &'static str,
        /// The transaction.
        transaction: TxHash,
    },
    /// The network has no deterministic deployment proxy.
    #[error(
        "This network has no deterministic deployment proxy at {proxy}; send its well-known \
         deployment transaction first, or use another network"
    )]
    NoProxy {
        /// Where it was looked for.
        proxy: Address,
    },
    /// A deployment succeeded and left no code where it had to.
    #[error(
        "Nothing stands at {address} after {contract} was deployed; the network is not an EVM of Cancun or later"
    )]
    NoCode {
        /// The contract's name.
        contract: &'static str,
        /// Where it had to be.
        address: Address,
    },
    /// A third party's artefact cannot be used.
    #[error("{path} cannot be used: {reason}; run `cargo xtask setup`")]
    Artefact {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A price outside what a pool can hold.
    #[error(
        "The price {numerator}/{denominator} is outside what a v3 pool can hold; use one above 2^-128 and below 2^128"
    )]
    Price {
        /// Atomic units of token 1.
        numerator: u128,
        /// Atomic units of token 0.
        denominator: u128,
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
