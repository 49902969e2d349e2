use std::{io, path::PathBuf};

use alloy_primitives::B256;

use crate::consent::Denial;

/// What an [`crate::Embed`] fails with.
pub type EmbedError = Box<dyn std::error::Error + Send + Sync>;

/// Why data could not be published, used, valued or paid for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Something that does not follow its format.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// The thing that was read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// More than is taken in one piece.
    #[error("{what} is more than the limit of {limit}: publish it in parts")]
    TooMuch {
        /// The thing that is too large.
        what: &'static str,
        /// The limit that it passes.
        limit: u64,
    },
    /// A directory without one usable document.
    #[error(
        "{path} holds no document that can be published: .txt, .md, .html, .json and .jsonl are \
         read ({skipped} files were passed over)"
    )]
    NoDocuments {
        /// The directory.
        path: PathBuf,
        /// How many files were passed over.
        skipped: usize,
    },
    /// Bytes that another key sealed, or that were changed since.
    #[error(
        "{0} does not open: it was sealed with another key or for another place, or is damaged"
    )]
    Sealed(&'static str),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(String),
    /// Something that is not here.
    #[error("there is no {what} {id}")]
    NotFound {
        /// Such as "dataset".
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// No grant allows the use.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// Signatures, proofs and encodings.
    #[error(transparent)]
    Core(#[from] vouch_core::Error),
    /// The owner's keys.
    #[error(transparent)]
    Wallet(#[from] vouch_wallet::Error),
    /// The contracts.
    #[error(transparent)]
    Contracts(#[from] vouch_contracts::Error),
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
    /// Texts could not be turned into vectors.
    #[error("the texts could not be embedded: {0}")]
    Embed(#[source] EmbedError),
    /// Money that does not add up or does not fit.
    #[error("the amounts do not add up: {0}")]
    Amount(String),
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn malformed(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Malformed { what, why: why.to_string() }
    }

    pub(crate) fn rpc<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Rpc { what, source: Box::new(source) }
    }
}
