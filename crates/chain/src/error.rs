//! What can go wrong when a chain is opened, run or closed.

use alloy_primitives::B256;

use crate::state::StateError;

/// What to do about it is the same wherever it is met.
pub(crate) const INDEX_UNREADABLE: &str = "the chain's index cannot be read: stop the chain and see \
     what `vouch chain fsck` says";

/// Why the chain cannot be opened or go on. Errors of single requests are JSON-RPC errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The journal refused: in use, damaged, newer, or the disk is full.
    #[error(transparent)]
    Journal(#[from] vouch_journal::Error),
    /// A record is not what this program writes.
    #[error(
        "record {record} of the chain's journal cannot be read: {reason}; restore the directory \
         from a copy, or start with an empty one"
    )]
    Record {
        /// Its place in the journal, from 0.
        record: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A record was written by a newer program.
    #[error(
        "the chain's records have version {found}, this program reads up to {supported}: use a \
         newer version"
    )]
    Newer {
        /// The version found.
        found: u8,
        /// The newest this program reads.
        supported: u8,
    },
    /// Executing a stored block again gave another result.
    #[error(
        "block {number} has another {what} than when it was made (stored {stored}, now \
         {computed}): open the directory with the version that wrote it"
    )]
    Replay {
        /// The block's number.
        number: u64,
        /// What differs.
        what: &'static str,
        /// The value in the stored header.
        stored: String,
        /// The value of this execution.
        computed: String,
    },
    /// A stored block does not follow the one before it.
    #[error(
        "block {number} ({hash}) does not follow its predecessor: the journal mixes two chains"
    )]
    Parent {
        /// The block's number.
        number: u64,
        /// The block's hash.
        hash: B256,
    },
    /// The directory holds another chain than the caller expects.
    #[error(
        "the directory holds chain {found}, not {expected}: choose another data directory, or \
         leave the chain id out to go on with the stored one"
    )]
    OtherChain {
        /// The id asked for.
        expected: u64,
        /// The id stored.
        found: u64,
    },
    /// Blocks of a file cannot be taken in, or written to one.
    #[error("{0}")]
    Import(String),
    /// A change by hand cannot be carried out.
    #[error("the change cannot be made: {0}")]
    Edit(String),
    /// The genesis contradicts itself.
    #[error("the genesis is not usable: {0}")]
    Genesis(String),
    /// Executing failed for a reason that is not the transaction's.
    #[error("block {number} cannot be executed: {reason}")]
    Execution {
        /// The block being made.
        number: u64,
        /// What the EVM reported.
        reason: String,
    },
    /// What lies beside the journal to find things in it cannot be read or written.
    #[error("{INDEX_UNREADABLE} ({0})")]
    Index(#[from] std::io::Error),
    /// The chain that this one goes on from cannot be read, or is another.
    #[error("the fork cannot be read: {0}")]
    Fork(String),
    /// A block was pruned.
    #[error(
        "pruned history unavailable: block {number} is no longer kept (the oldest kept is {oldest})"
    )]
    Pruned {
        /// The block asked for.
        number: u64,
        /// The oldest there is, besides the first.
        oldest: u64,
    },
    /// The chain's first blocks are gone, and so is the state from which it could go on.
    #[error(
        "the chain's first blocks were pruned, and no snapshot in the folder `index` beside the \
         journal can be used to go on from ({reason}): restore the whole directory from a copy"
    )]
    NoSnapshot {
        /// What is wrong with the newest.
        reason: String,
    },
    /// Fewer blocks are to be kept than the EVM looks back.
    #[error("at least 256 blocks have to be kept, as BLOCKHASH looks back so far, not {asked}")]
    TooFewBlocks {
        /// [`Options::prune_blocks`](crate::Options::prune_blocks).
        asked: u64,
    },
    /// A copy without what was taken back would be none that can be started from.
    #[error(
        "the chain's first blocks were pruned, so that it cannot be executed anew from a copy: what \
         was taken back goes as blocks are pruned"
    )]
    CompactPruned,
    /// The builder has stopped after an error.
    #[error("the chain stopped: {0}; start again to recover what was synced")]
    Stopped(String),
    /// The operating system has no random numbers or no thread to give.
    #[error("the system cannot give {what}: {reason}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// The system's answer.
        reason: String,
    },
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Fork(why) => Self::Fork(why),
            error => Self::Index(std::io::Error::other(error.to_string())),
        }
    }
}

/// The chain's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
