use std::{io, path::PathBuf};

/// Why a key could not be had.
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
    /// The passphrase is not the one that the file was made with.
    #[error("the passphrase does not open {path}: give the one that the key was made with")]
    Passphrase {
        /// The key file.
        path: PathBuf,
    },
    /// The file is not a keystore of version 3, or asks for more work than is reasonable.
    #[error(
        "{path} is not a usable version 3 keystore ({why}): restore it from a copy, \
         or move it away to start with a new key"
    )]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file is there already.
    #[error("{path} exists and is not written over: move it away first if you mean to replace it")]
    Exists {
        /// The key file.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes to make a key from: {0}")]
    Random(String),
    /// Bytes that are no secp256k1 key.
    #[error("the bytes are not a secp256k1 secret key: expected 1 to the order of the curve - 1")]
    Key,
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
