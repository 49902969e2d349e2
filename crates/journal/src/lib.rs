//! Append records to a log that loses nothing it has acknowledged.
//!
//! ```text
//! append ─▶ buffer ─▶ journal-00000000.log  journal-00000001.log  ...      (one data directory,
//!   sync ─▶ write + fdatasync ─▶ everything appended before is durable      one process)
//!   open ─▶ lock, check every record, cut a torn tail, refuse damage
//! ```
//!
//! ```
//! use vouch_journal::{Journal, Options};
//! # let dir = tempfile::tempdir()?;
//! let (mut journal, recovery) = Journal::open(dir.path(), Options::default())?;
//! assert_eq!(recovery.records, 0);
//! let position = journal.append(b"a payment")?;
//! journal.sync()?; // only now may anyone be told
//! assert_eq!(journal.read(position)?, b"a payment");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//! - What was synced is there after any crash, whole and in order; what was not may be there too,
//!   as a prefix of what was appended, never with a gap.
//! - Bytes are cut only behind the last durable record. A break with a later synced record behind
//!   it is damage: opening is refused and nothing is changed.
//! - After a failed write or sync the journal is poisoned: what the kernel then calls clean may
//!   never have reached the disk, so nothing more is acknowledged until it is opened again.
//! - One process a directory, held by a lock file that names it.
//! - What [`Journal::remove_before`] took is gone on purpose, and the first segment says so; any
//!   other segment that is missing is damage.
//!
//! # What it does not do
//! It does not interpret records, compact, compress, encrypt or replicate. It cannot tell a bit
//! flip in the *last* batch from a torn write of it: such a batch is cut and reported in
//! [`Recovery::truncated_bytes`]; who needs to know has a witness elsewhere (a checkpoint, a chain).
//! Nor can it see that whole files at its end were removed, or an older copy put in its place.

#![deny(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]

mod error;
mod file;
mod format;
mod journal;
mod read;
mod readonly;
mod recover;
mod salvage;
mod scan;
pub mod testing;

pub use error::{Error, Result};
pub use file::{Directory, Disk, File, Within, read, replace, write};
pub use journal::{Journal, Known, Options};
pub use read::{Iter, Reader};
pub use readonly::ReadOnly;
pub use recover::Recovery;
pub use salvage::{Lost, salvage};

/// Where a record starts: the segment's number in the upper half, the byte in it in the lower.
/// Positions grow with every append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Of the first record.
    pub const FIRST: Self = Self(format::HEADER_BYTES);

    pub(crate) fn new(segment: u32, offset: u64) -> Self {
        Self(u64::from(segment) << 32 | offset)
    }

    /// Byte `offset` of the payload of the record that starts here, for [`Reader::read_part`].
    #[must_use]
    pub fn part(self, offset: u32) -> Part {
        Part(self.0.saturating_add(16).saturating_add(u64::from(offset)))
    }

    pub(crate) fn segment(self) -> usize {
        usize::try_from(self.0 >> 32).unwrap_or(usize::MAX)
    }

    /// How far into its segment it is, in bytes.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }
}

/// A byte inside a record's payload: eight bytes find one item of a large record again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part(pub u64);
