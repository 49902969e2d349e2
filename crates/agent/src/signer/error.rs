//! Why a signer does not start, or does not listen.

use alloy_primitives::{Address, B256};

use crate::mandate::MandateError;

/// Why a signer cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The mandate is not usable.
    #[error(transparent)]
    Mandate(#[from] MandateError),
    /// The journal is not.
    #[error(transparent)]
    Journal(#[from] vouch_journal::Error),
    /// The journal holds something else.
    #[error("the signer's journal holds a record that is none of its own: {0}")]
    Record(String),
    /// The directory is another mandate's.
    #[error("the directory belongs to the mandate {theirs}: use one directory for each mandate")]
    OtherMandate {
        /// Its hash.
        theirs: B256,
    },
    /// The key is not the one that the mandate names.
    #[error("the key is {key} and the mandate is for {agent}: start with the agent's own key")]
    OtherKey {
        /// The key's address.
        key: Address,
        /// The mandate's agent.
        agent: Address,
    },
    /// The socket or the streams.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// Where.
        path: std::path::PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}
