//! What stops a run.

use crate::market;

/// Result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a run cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The market cannot be read.
    #[error(transparent)]
    Market(#[from] market::Error),
    /// The journal cannot be read or written.
    #[error("the run's journal: {0}")]
    Journal(#[from] vouch_journal::Error),
    /// A record of the journal is none of ours.
    #[error("record {at} of the run's journal is not an entry of this version: {source}")]
    Record {
        /// Counted from 0.
        at: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The journal belongs to another portfolio, account or chain.
    #[error("this journal belongs to {what}: give another one to a changed portfolio")]
    Other {
        /// Such as `another portfolio`.
        what: &'static str,
    },
    /// The journal's events lead to other effects than it holds.
    #[error(
        "entry {at} of the journal is not what this version of the strategy decides: \
         begin a new journal"
    )]
    Diverged {
        /// Which entry.
        at: usize,
    },
    /// A history for a simulation cannot be used.
    #[error("the history, line {line}: {why}")]
    History {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}
