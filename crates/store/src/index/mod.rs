//! What memory forgets of the log, on disk beside the journal: entries by their place, and places
//! by what is asked for.
//!
//! ```text
//! index/rows       64 bytes an entry                       index/calls-*     (channel, request)  ─┐
//! index/nodes      one tree hash for each 256 entries      index/receipts-*  digest,              ├─▶ place
//! index/snapshot   channels, streams, and how far          (channel, sequence) or a stream's     ─┘
//!                  the files above go
//! ```
//!
//! All of it is a view: made by replaying the journal, in steps, and made again where it cannot be
//! read. A step writes rows, nodes and runs, makes them durable and replaces the snapshot last, so
//! that a crash in between leaves the snapshot before with everything that it names. Bytes behind
//! what a snapshot names mean nothing and are overwritten.
//!
//! A bit that flips is found by a checksum when it is read, and is an error and never "not there":
//! a call that is missed would be charged twice.

mod rows;
mod snapshot;

use std::io;
use std::sync::Arc;

use alloy_primitives::B256;
use vouch_journal::{Disk, File};
pub(crate) use vouch_runs::Entry;
use vouch_runs::Runs;

pub(crate) use rows::{Row, Rows};
pub(crate) use snapshot::{Mark, Snapshot};

use crate::error::{Error, Result};
use crate::tree::length;

/// Where its files are, on the journal's disk.
const DIRECTORY: &str = "index";
const ROWS: &str = "index/rows";
const NODES: &str = "index/nodes";
const CALLS: &str = "index/calls";
const RECEIPTS: &str = "index/receipts";

/// One state of the index, which never changes: the next is another value. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    disk: Arc<dyn Disk>,
    size: u64,
    rows: Rows,
    calls: Runs,
    receipts: Runs,
    kept_from: u64,
}

/// What an index is to take in: the entries from its size on.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) rows: Vec<Row>,
    /// Hashes over 256 leaves each: those of the tiles that these entries finish.
    pub(crate) nodes: Vec<B256>,
    pub(crate) calls: Vec<Entry>,
    pub(crate) receipts: Vec<Entry>,
}

impl Index {
    /// An index of nothing.
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            size: 0,
            rows: Rows::default(),
            calls: Runs::new(Arc::clone(&disk), CALLS, true),
            receipts: Runs::new(Arc::clone(&disk), RECEIPTS, false),
            kept_from: 0,
            disk,
        }
    }

    /// The index that a snapshot names.
    pub(crate) fn open(disk: Arc<dyn Disk>, snapshot: &Snapshot) -> Result<Self> {
        let kept_from = snapshot.kept_from();
        let open = |prefix, filtered, numbers: &[u32]| {
            Runs::open(Arc::clone(&disk), prefix, filtered, numbers, kept_from)
                .map_err(Error::Index)
        };
        Ok(Self {
            size: snapshot.size,
            rows: Rows::open(disk.as_ref(), snapshot.size).map_err(Error::Index)?,
            calls: open(CALLS, true, &snapshot.calls)?,
            receipts: open(RECEIPTS, false, &snapshot.receipts)?,
            kept_from,
            disk,
        })
    }

    /// Entries in it.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Numbers of the runs of calls and of receipts.
    pub(crate) fn numbers(&self) -> (Vec<u32>, Vec<u32>) {
        (self.calls.numbers(), self.receipts.numbers())
    }

    /// The rows, for whoever reads no further than [`Self::size`].
    pub(crate) fn old_rows(&self) -> Rows {
        self.rows.clone()
    }

    /// The rows from `first` on, as many as asked for: all below [`Self::size`].
    pub(crate) fn rows(&self, first: u64, count: u64) -> Result<Vec<Row>> {
        let end = first.checked_add(count).filter(|end| *end <= self.size);
        let range = Error::Range { asked: first, size: self.size };
        end.ok_or(range)?;
        self.rows.read(first, count).map_err(Error::Index)
    }

    /// All hashes over 256 leaves.
    pub(crate) fn nodes(&self) -> Result<Vec<B256>> {
        let count = usize::try_from(self.size / 256).unwrap_or(usize::MAX);
        let mut bytes = vec![0; count.saturating_mul(32)];
        if count > 0 {
            let read = self.disk.open(NODES, false).and_then(|file| file.read_at(&mut bytes, 0));
            let whole = read.map_err(Error::Index)? == bytes.len();
            whole.then_some(()).ok_or_else(|| damaged("nodes", "it is too short"))?;
        }
        Ok(bytes.chunks_exact(32).map(B256::from_slice).collect())
    }

    /// Entries that may be the receipt of this call, unless answers of their age are forgotten.
    pub(crate) fn calls(&self, channel: &B256, request: &B256) -> Result<Vec<u64>> {
        self.calls.get(call_key(channel, request), self.kept_from).map_err(Error::Index)
    }

    /// Entries that may have this digest.
    pub(crate) fn digests(&self, digest: &B256) -> Result<Vec<u64>> {
        self.receipts.get(prefix(digest), 0).map_err(Error::Index)
    }

    /// Entries that may be number `sequence` of a channel or stream.
    pub(crate) fn sequences(&self, stream: &B256, sequence: u64) -> Result<Vec<u64>> {
        self.receipts.get(sequence_key(stream, sequence), 0).map_err(Error::Index)
    }

    /// Whether all these keys are found, of calls those that are not too old.
    pub(crate) fn has(&self, keys: &Step, kept_from: u64) -> Result<bool> {
        let calls = keys.calls.iter().filter(|entry| entry.index >= kept_from);
        for (runs, entry) in calls
            .map(|entry| (&self.calls, entry))
            .chain(keys.receipts.iter().map(|entry| (&self.receipts, entry)))
        {
            let found = runs.get(entry.key, entry.index).map_err(Error::Index)?;
            if !found.contains(&entry.index) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The index with more entries; all durable but for the snapshot that names them. Answers to
    /// calls before `kept_from` are forgotten.
    pub(crate) fn with(&self, step: Step, kept_from: u64) -> Result<Self> {
        let size = self.size.saturating_add(length(&step.rows));
        let written = || {
            let rows = self.rows.write(self.disk.as_ref(), self.size, &step.rows)?;
            let nodes = self.disk.open(NODES, true)?;
            nodes.write_all_at(&step.nodes.concat(), (self.size / 256).saturating_mul(32))?;
            nodes.sync()?;
            let calls = self.calls.with(step.calls, kept_from)?;
            let receipts = self.receipts.with(step.receipts, 0)?;
            self.disk.sync()?;
            Ok(Self { disk: Arc::clone(&self.disk), size, rows, calls, receipts, kept_from })
        };
        written().map_err(Error::Index)
    }

    /// Removes what a crash or a merge has left, once a snapshot names this index.
    pub(crate) fn sweep(&self) -> Result<()> {
        self.calls.sweep().and_then(|()| self.receipts.sweep()).map_err(Error::Index)
    }
}

/// Removes the whole index: first what names the rest.
pub(crate) fn remove(disk: &dyn Disk) -> Result<()> {
    let removed = || {
        let mut names = disk.list(DIRECTORY)?;
        names.sort_unstable_by_key(|name| format!("{DIRECTORY}/{name}") != snapshot::SNAPSHOT);
        for name in names {
            disk.remove(&format!("{DIRECTORY}/{name}"))?;
            disk.sync()?;
        }
        Ok(())
    };
    removed().map_err(Error::Index)
}

pub(crate) fn damaged(name: &str, why: &str) -> Error {
    Error::Index(invalid(name, why))
}

fn invalid(name: &str, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("index/{name}: {why}"))
}

fn open_created(disk: &dyn Disk, name: &str) -> io::Result<Arc<dyn File>> {
    Ok(disk.open(name, true)?.into())
}

/// The first eight bytes of a hash: what the index is searched by.
pub(crate) fn prefix(hash: &B256) -> u64 {
    vouch_runs::prefix(&hash.0)
}

pub(crate) fn call_key(channel: &B256, request: &B256) -> u64 {
    prefix(channel) ^ prefix(request)
}

pub(crate) fn sequence_key(stream: &B256, sequence: u64) -> u64 {
    // Odd, so that no two sequences of a stream have one key (2^64 divided by the golden ratio).
    prefix(stream) ^ sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_sequences_of_a_stream_have_one_key() {
        let stream = alloy_primitives::keccak256("stream");
        let mut keys: Vec<u64> = (0..10_000).map(|n| sequence_key(&stream, n)).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 10_000);
    }
}
