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
    /// Another transaction was mined with its nonce, so that this one never will be.
    #[error(
        "{what} will not be mined: another transaction has taken the nonce of {transaction}; \
         does another program send with this key?"
    )]
    Replaced {
        /// What was to be done.
        what: &'static str,
        /// The transaction, in its last version.
        transaction: B256,
    },
    /// An earlier transaction is still not mined. Nothing was sent.
    #[error("{what} is not mined yet (transaction {transaction}): nothing else is sent before it")]
    Behind {
        /// What is under way.
        what: &'static str,
        /// Its transaction.
        transaction: B256,
    },
    /// The network asks for more than may be paid. Nothing was sent.
    #[error("gas costs {fee} wei, and at most {ceiling} may be paid: wait, or raise the limit")]
    TooDear {
        /// What it costs.
        fee: u128,
        /// What may be paid.
        ceiling: u128,
    },
    /// A deposit is on the chain and does not count yet. Nothing needs to be repeated but the call.
    #[error("the deposit counts when its block is final: repeat the call in a while")]
    NotFinal,
    /// No endpoint of the chain can be believed.
    #[error("no endpoint of the chain is well ({why}): check them")]
    NoEndpoint {
        /// Each endpoint, without keys, and what is wrong with it.
        why: String,
    },
    /// Two endpoints have different blocks where both call them final.
    #[error(
        "{first} and {second} have different blocks at height {height}, which is final: \
         one of them is not on the chain; find out which, and remove it"
    )]
    Disagree {
        /// The height.
        height: u64,
        /// One endpoint.
        first: String,
        /// The other.
        second: String,
    },
    /// The chain has made no block for too long.
    #[error(
        "the newest block of the chain is {age_s} s old: its endpoints are cut off, or it stands"
    )]
    OldHead {
        /// The block's age.
        age_s: u64,
    },
    /// The node is behind what it showed before.
    #[error("the endpoint shows block {number} again, after newer ones: it lags")]
    Lags {
        /// The block.
        number: u64,
    },
    /// What was sent cannot be noted.
    #[error("what is sent cannot be noted: {0}")]
    Outbox(#[from] vouch_journal::Error),
    /// The note of what was sent is not one of this program's.
    #[error("the record of what was sent is not understood: use the newest version")]
    OutboxFormat,
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
