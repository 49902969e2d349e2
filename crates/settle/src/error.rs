use alloy_primitives::{Address, B256};

/// Why something was not settled, or cannot be known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The chain could not be read. Nothing was sent.
    #[error("the chain did not answer {what}: {source}; check its endpoint")]
    Rpc {
        /// What was asked.
        what: &'static str,
        /// The transport's or the node's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The chain refused a transaction before it was sent. Nothing has changed.
    #[error("the chain would not take {what}: {why}")]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// The node's words.
        why: String,
    },
    /// The transaction was mined and failed. Nothing has changed but the fee.
    #[error("{what} failed on the chain in transaction {transaction}")]
    Reverted {
        /// What was to be done.
        what: &'static str,
        /// The transaction.
        transaction: B256,
    },
    /// The transaction may or may not be mined: ask again later, do not repeat it.
    #[error(
        "{what} was sent in transaction {transaction} but is not seen on the chain yet: \
         look for it before anything is repeated"
    )]
    Unknown {
        /// What was to be done.
        what: &'static str,
        /// The transaction.
        transaction: B256,
    },
    /// The wallet's key cannot sign transactions.
    #[error("the wallet's key cannot sign transactions: {0}")]
    Key(#[from] vouch_wallet::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] vouch_store::Error),
    /// A deposit that does not fit its channel.
    #[error("the deposit cannot be taken: {0}")]
    Deposit(&'static str),
    /// Calls are in flight on a channel that was to be closed.
    #[error("the channel has {0} set aside for calls in flight: close it when they have ended")]
    InFlight(u128),
    /// A demand for a receipt that this store does not have.
    #[error(
        "the receipt for the {claimed} claimed of channel {channel} is demanded, and is not here: \
         restore the newest copy of the store before the demand's time is over (`vouch faults show`)"
    )]
    NoReceipt {
        /// The channel.
        channel: B256,
        /// What was claimed, in atomic units.
        claimed: u128,
    },
    /// There is no such channel.
    #[error("channel {0} is not known here")]
    UnknownChannel(B256),
    /// The log's anchor holds another root for a size that the log has signed.
    #[error(
        "the anchor contract holds another root for size {size}: the log was forked, stop and compare"
    )]
    Forked {
        /// The size.
        size: u64,
    },
    /// A checkpoint without the provider's secp256k1 signature.
    #[error("the checkpoint carries no secp256k1 signature of {0}")]
    Unsigned(Address),
    /// The faucet's key may not mint.
    #[error("this chain has no faucet: {0} may not mint its token")]
    NoFaucet(Address),
}

impl Error {
    /// Wraps an error of a read with what was asked.
    pub(crate) fn rpc<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Rpc { what, source: Box::new(source) }
    }
}
