//! Why the store refused, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::B256;
use vouch_core::channel::ChannelError;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such channel is known here.
    #[error("channel {0} is not known here: open it with its configuration and deposit first")]
    UnknownChannel(B256),
    /// The channel's machine refused; the channel is as it was.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The same request is still running.
    #[error("the same request is still running on this channel: wait for its answer, then repeat")]
    InFlight,
    /// A receipt that does not belong to its channel or call.
    #[error("the receipt cannot be committed: its {0} is not that of the call")]
    Draft(&'static str),
    /// An answer larger than the store keeps.
    #[error("the answer has {size_bytes} bytes, the store keeps at most {max_bytes}")]
    TooLarge {
        /// The answer's size.
        size_bytes: usize,
        /// The largest size.
        max_bytes: usize,
    },
    /// More operations wait than the disk can take.
    #[error("the store is overloaded: {0} operations wait; try again in a moment")]
    Overloaded(usize),
    /// What is known of the chain is too old to take on new work.
    #[error("the settlement chain was last seen {0} s ago: new work waits until it is seen again")]
    StaleChain(u64),
    /// The store has stopped after an error of the disk or of a signer. Nothing acknowledged is
    /// lost; the outcome of what was under way is unknown until it is opened again.
    #[error("the store has stopped ({cause}): start again; everything acknowledged is kept")]
    Stopped {
        /// The first error.
        cause: Arc<str>,
    },
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] vouch_journal::Error),
    /// A signer refused.
    #[error("cannot sign the {what}: {why}")]
    Signer {
        /// What was to be signed.
        what: &'static str,
        /// The signer's words.
        why: String,
    },
    /// The tile store refused.
    #[error("cannot {action} {path} of the log: {source}")]
    Tiles {
        /// What was being done.
        action: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Somebody has seen more of this log than is here.
    #[error(
        "the log has {have} entries but a checkpoint of {seen} entries was already released: \
         this is an older copy of the data; restore the newest one, going on would fork the log"
    )]
    Behind {
        /// Entries here.
        have: u64,
        /// Entries somebody has seen.
        seen: u64,
    },
    /// Somebody has seen another log of that size.
    #[error(
        "the log's root at {size} entries is {have}, but {seen} was already released: \
         this is another history; restore the right data, going on would fork the log"
    )]
    Forked {
        /// The size compared.
        size: u64,
        /// The root here.
        have: B256,
        /// The root seen.
        seen: B256,
    },
    /// The data belongs to another chain, contract or log.
    #[error("the data directory belongs to {found}, not to {expected}: choose another directory")]
    OtherLog {
        /// What the data says.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// The index beside the journal cannot be written or read.
    #[error("the log's index cannot be used ({0}): `vouch fsck --rebuild` makes it again")]
    Index(io::Error),
    /// Records that contradict each other, or that this program cannot read.
    #[error("the journal's record at position {position} cannot be used: {why}; restore a copy")]
    Record {
        /// The record.
        position: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The data was written by a newer program.
    #[error("the data has record format {0}, this program reads up to 2: use a newer version")]
    Newer(u8),
    /// The database did not do it.
    #[cfg(feature = "postgres")]
    #[error("the database did not do it, nothing was changed: {0}; try again in a moment")]
    Database(String),
    /// The database was laid out by a newer program.
    #[cfg(feature = "postgres")]
    #[error(
        "the database has schema {found}, this program knows up to {known}: use a newer version"
    )]
    Schema {
        /// What the database says.
        found: i32,
        /// The newest that is known here.
        known: i32,
    },
    /// A row that this program cannot read, or that contradicts itself.
    #[cfg(feature = "postgres")]
    #[error("the database cannot be used: {0}; restore a copy")]
    Row(&'static str),
    /// The call was given up for this gateway.
    #[cfg(feature = "postgres")]
    #[error(
        "this gateway was away from the database for longer than its lease: the call's money was \
         given back and it is not charged; make the call again"
    )]
    LeaseLost,
    /// A range outside of the log.
    #[error("the log has {size} entries: {asked} is outside of it")]
    Range {
        /// What was asked for.
        asked: u64,
        /// The log's size for this question.
        size: u64,
    },
    /// A cosignature that does not fit the current checkpoint.
    #[error("the cosignature cannot be added: {0}")]
    Cosignature(&'static str),
}

impl Error {
    pub(crate) fn stopped(cause: &Arc<str>) -> Self {
        Self::Stopped { cause: Arc::clone(cause) }
    }

    pub(crate) fn tiles(action: &'static str, path: &str, source: io::Error) -> Self {
        Self::Tiles { action, path: PathBuf::from(path), source }
    }

    /// A short stable name, for logs and protocols.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownChannel(_) => "unknown_channel",
            Self::Channel(_) => "channel",
            Self::InFlight => "in_flight",
            Self::Draft(_) => "draft",
            Self::TooLarge { .. } => "too_large",
            Self::Overloaded(_) => "overloaded",
            Self::StaleChain(_) => "stale_chain",
            Self::Stopped { .. } => "stopped",
            #[cfg(feature = "postgres")]
            Self::LeaseLost => "lease_lost",
            Self::Range { .. } => "out_of_range",
            Self::Cosignature(_) => "cosignature",
            _ => "storage",
        }
    }
}

/// The store's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
