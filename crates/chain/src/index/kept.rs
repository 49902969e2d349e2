//! What memory has let go, on disk beside the journal.
//!
//! ```text
//! index/rows       where each block is, its hash and bloom          (`rows`)
//! index/places-*   hash of a block or a transaction ──▶ number, place
//! index/values     accounts and slots as they were before           (`values`)
//! index/changes-*  account or slot ──▶ where its earlier values are
//! index/state-*    the state at the newest of these blocks          (`snapshot`)
//! index/snapshot   names all of them
//! ```
//! All of it is a view: made from what the journal has, in steps, and made again where it cannot be
//! read. A step writes everything durably and replaces the snapshot last, so that a crash in
//! between leaves the one before with everything that it names. What is read is checked first.

use std::io;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use vouch_journal::Disk;
use vouch_runs::{Entry, Runs, prefix};

use super::rows::{Row, Rows};
use super::snapshot::{SNAPSHOT, Snapshot};
use super::values::{Before, Values, account_key, slot_key};
use crate::state::Account;

/// Where its files are, on the journal's disk.
pub(super) const DIRECTORY: &str = "index";
const PLACES: &str = "index/places";
const CHANGES: &str = "index/changes";
/// A place is a block's number and, in the lower bits, 0 for the block or a transaction's place
/// from 1. No block has so many: each takes 21,000 gas of at most 2^63 in all, and the largest
/// record a block may be has room for some hundred thousand.
const PLACE_BITS: u32 = 24;

/// One state of the index, which never changes: the next is another value. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    disk: Arc<dyn Disk>,
    /// The chain's first block, which is not in it.
    first: u64,
    /// The newest block in it; the first for none.
    blocks: u64,
    rows: Rows,
    places: Runs,
    values: Values,
    changes: Runs,
}

/// What an index is to take in.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// Of the blocks after those in the index; where their values begin is yet to be filled in.
    pub(crate) rows: Vec<Row>,
    /// Hashes of blocks and transactions, with their places.
    pub(crate) places: Vec<Entry>,
    /// The values before what was changed by hand since the newest block of the index.
    pub(crate) amended: Vec<Before>,
    /// The values before each of the rows' blocks, and before what was changed by hand after it.
    pub(crate) values: Vec<Vec<Before>>,
}

impl Kept {
    /// An index of nothing, of a chain with this first block.
    pub(crate) fn new(disk: Arc<dyn Disk>, first: u64) -> Self {
        Self {
            first,
            blocks: first,
            rows: Rows::new(first),
            places: Runs::new(Arc::clone(&disk), PLACES, true),
            values: Values::default(),
            changes: Runs::new(Arc::clone(&disk), CHANGES, true),
            disk,
        }
    }

    /// The index that a snapshot names.
    pub(crate) fn open(disk: Arc<dyn Disk>, snapshot: &Snapshot) -> io::Result<Self> {
        let open =
            |prefix, numbers: &[u32]| Runs::open(Arc::clone(&disk), prefix, true, numbers, 0);
        Ok(Self {
            first: snapshot.first,
            blocks: snapshot.blocks,
            rows: Rows::open(disk.as_ref(), snapshot.first, snapshot.blocks)?,
            places: open(PLACES, &snapshot.places)?,
            values: Values::open(disk.as_ref(), snapshot.values_end)?,
            changes: open(CHANGES, &snapshot.changes)?,
            disk,
        })
    }

    /// The chain's first block, which is not in it.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The newest block in it; the first for none.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Numbers of the runs of places and of changes, and where the values end.
    pub(super) fn names(&self) -> (Vec<u32>, Vec<u32>, u64) {
        (self.places.numbers(), self.changes.numbers(), self.values.end)
    }

    /// The row of a block, if it is in the index.
    pub(crate) fn row(&self, number: u64) -> io::Result<Option<Row>> {
        let is_kept = (self.first + 1..=self.blocks).contains(&number);
        is_kept.then(|| self.rows.read(number)).transpose()
    }

    /// The number of the block with this hash.
    pub(crate) fn number(&self, hash: &B256) -> io::Result<Option<u64>> {
        for place in self.places.get(prefix(&hash.0), 0)? {
            let (number, None) = unplace(place) else { continue };
            // What the chain has taken back is still among the places.
            if self.row(number)?.is_some_and(|row| row.hash == *hash) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// Where a transaction with this hash may be: block and place in it. What the chain has taken
    /// back may be among them.
    pub(crate) fn transaction(&self, hash: &B256) -> io::Result<Vec<(u64, usize)>> {
        let places = self.places.get(prefix(&hash.0), 0)?;
        let found = places.into_iter().filter_map(|place| {
            let (number, at) = unplace(place);
            Some((number, at?)).filter(|(number, _)| *number <= self.blocks)
        });
        Ok(found.collect())
    }

    /// The account after block `number`, if it has changed since.
    pub(crate) fn account(
        &self,
        address: Address,
        number: u64,
    ) -> io::Result<Option<Option<Account>>> {
        self.before(account_key(address), number, |value| match value {
            Before::Account(of, account) if of == address => Some(account),
            _ => None,
        })
    }

    /// The slot after block `number`, if it has changed since.
    pub(crate) fn slot(
        &self,
        address: Address,
        key: U256,
        number: u64,
    ) -> io::Result<Option<U256>> {
        self.before(slot_key(address, key), number, |value| match value {
            Before::Slot(of, slot, value) if (of, slot) == (address, key) => Some(value),
            _ => None,
        })
    }

    fn before<V>(
        &self,
        key: u64,
        number: u64,
        meant: impl Fn(Before) -> Option<V>,
    ) -> io::Result<Option<V>> {
        let Some(mut from) = self.values_after(number)? else { return Ok(None) };
        while let Some(place) = self.changes.first(key, from)? {
            if let Some(value) = meant(self.values.read(place)?) {
                return Ok(Some(value));
            }
            from = place + 1;
        }
        Ok(None)
    }

    /// Where the values begin that changed after block `number`; `None` if no later block is in the
    /// index.
    fn values_after(&self, number: u64) -> io::Result<Option<u64>> {
        Ok(self.row(number + 1)?.map(|row| row.values_start))
    }

    /// How many bytes of values have changed after block `number`.
    pub(crate) fn bytes_after(&self, number: u64) -> io::Result<u64> {
        Ok(self.values_after(number)?.map_or(0, |from| self.values.end - from))
    }

    /// All values that have changed after block `number`, in order; what the chain has taken back
    /// may be among them.
    pub(crate) fn changed_after(
        &self,
        number: u64,
        mut found: impl FnMut(Before),
    ) -> io::Result<()> {
        match self.values_after(number)? {
            Some(from) => self.values.scan(from, self.values.end, |_, value| found(value)),
            None => Ok(()),
        }
    }

    /// Reads all values, and finds each of them.
    pub(super) fn check_values(&self) -> io::Result<()> {
        let mut places = Vec::new();
        self.values.scan(0, self.values.end, |at, value| places.push((at, value.key())))?;
        for (at, key) in places {
            if self.changes.first(key, at)? != Some(at) {
                return Err(damaged("changes", &format!("the value at byte {at} is not found")));
            }
        }
        Ok(())
    }

    /// The index with more in it; all durable but for the snapshot that names it.
    pub(crate) fn with(&self, step: Step) -> io::Result<Self> {
        let Step { mut rows, places, amended, values } = step;
        let mut passed = amended.len();
        let all: Vec<Before> =
            amended.into_iter().chain(values.iter().flatten().copied()).collect();
        let (written, starts) = self.values.write(self.disk.as_ref(), &all)?;
        for (row, of) in rows.iter_mut().zip(&values) {
            row.values_start = starts[passed];
            passed += of.len();
        }
        let changes = all.iter().zip(&starts);
        let changes = changes.map(|(value, at)| Entry { key: value.key(), index: *at }).collect();
        let next = Self {
            first: self.first,
            disk: Arc::clone(&self.disk),
            blocks: self.blocks + rows.len() as u64,
            rows: self.rows.write(self.disk.as_ref(), self.blocks + 1, &rows)?,
            places: self.places.with(places, 0)?,
            values: written,
            changes: self.changes.with(changes, 0)?,
        };
        self.disk.sync()?;
        Ok(next)
    }

    /// The index without the blocks after `blocks`, which the chain has taken back. Their values
    /// stay: they are true of what was before.
    pub(crate) fn cut(&self, blocks: u64) -> Self {
        Self { blocks: self.blocks.min(blocks), ..self.clone() }
    }

    /// Removes what a crash or a merge has left, once a snapshot names this index.
    pub(super) fn sweep(&self) -> io::Result<()> {
        self.places.sweep()?;
        self.changes.sweep()
    }
}

/// Removes the index on a disk, first what names the rest: the next start makes it again.
///
/// # Errors
/// Those of the device.
pub fn remove_index(disk: &dyn Disk) -> io::Result<()> {
    let mut names = disk.list(DIRECTORY)?;
    names.sort_unstable_by_key(|name| format!("{DIRECTORY}/{name}") != SNAPSHOT);
    for name in names {
        disk.remove(&format!("{DIRECTORY}/{name}"))?;
        disk.sync()?;
    }
    Ok(())
}

/// The entry of a block's hash, or of a transaction's at a place in it.
pub(super) fn place(hash: &B256, number: u64, at: Option<u32>) -> Entry {
    let at = at.map_or(0, |at| u64::from(at) + 1);
    Entry { key: prefix(&hash.0), index: number << PLACE_BITS | at }
}

fn unplace(place: u64) -> (u64, Option<usize>) {
    let at = usize::try_from(place & ((1 << PLACE_BITS) - 1)).unwrap_or_default();
    (place >> PLACE_BITS, at.checked_sub(1))
}

pub(super) fn damaged(name: &str, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("index/{name}: {why}"))
}
