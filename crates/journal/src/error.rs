//! What can go wrong, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the journal could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process holds the directory.
    #[error(
        "{dir} is in use by another process ({}): stop it, or choose another data directory",
        pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"))
    )]
    Locked {
        /// The directory that is held.
        dir: PathBuf,
        /// The holder, where its lock file could be read.
        pid: Option<u32>,
    },
    /// The disk is full. Nothing that was synced is lost.
    #[error(
        "no space is left to {action} {path}: free some space and start again; \
         everything acknowledged so far is kept"
    )]
    Full {
        /// What was being done.
        action: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
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
    /// The file was written by a newer program.
    #[error(
        "{path} has journal format {found}, this program reads up to {supported}: use a newer version"
    )]
    Newer {
        /// The file concerned.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },
    /// Bytes that were durable have changed. Nothing was cut or repaired.
    #[error(
        "{path} is damaged at byte {offset}: {reason}; nothing was changed: `vouch fsck` tells what \
         is lost and saves the rest; restore the whole directory from a copy"
    )]
    Damaged {
        /// The file concerned.
        path: PathBuf,
        /// Where the first bad byte may be.
        offset: u64,
        /// What was found there.
        reason: &'static str,
    },
    /// An earlier write or sync failed; what the disk holds since then is unknown.
    #[error("the journal stopped after an error ({cause}): start again to recover what was synced")]
    Poisoned {
        /// The first error.
        cause: Arc<str>,
    },
    /// A record is empty or larger than a segment takes.
    #[error("a record of {size_bytes} bytes cannot be stored: it must have 1 to {max_bytes}")]
    RecordSize {
        /// The size asked for.
        size_bytes: u64,
        /// The largest size.
        max_bytes: u64,
    },
    /// No record starts at this position.
    #[error("no record starts at journal position {0}")]
    NoRecord(u64),
    /// The options contradict each other.
    #[error("journal segments of {segment_bytes} bytes are not possible: choose 4096 to 2^31")]
    Options {
        /// The size asked for.
        segment_bytes: u64,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            // A disk, a quota, or a limit on the size of files.
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full { action, path, source },
            _ => Self::Io { action, path, source },
        }
    }
}

/// The journal's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
