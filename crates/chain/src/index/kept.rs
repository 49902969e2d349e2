//! What memory has let go, on disk beside the journal.
//!
//! ```text
//! index/rows-*      where each block is, its hash and bloom          (`rows`)
//! index/places-*    hash of a block or a transaction ──▶ number, place
//! index/values-*    accounts and slots as they were before           (`values`)
//! index/changes-*   account or slot ──▶ where its earlier values are
//! index/state-*     the state at the newest of these blocks          (`snapshot`)
//! index/snapshot-*  names all of them
//! ```
//! All of it is a view: made from what the journal has, in steps, and made again where it cannot be
//! read. A step writes everything durably and the snapshot last, so that a crash in between leaves
//! the one before with everything that it names. What is read is checked first.
//!
//! Of a chain that is pruned the blocks before `first` are left out, and the journal loses them
//! once no snapshot on the disk needs them: then the index is no view any more.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use vouch_journal::{Disk, File, Position};
use vouch_runs::{Entry, Runs, prefix};

use super::rows::{self, Row, Rows};
use super::snapshot::{SNAPSHOT, Snapshot};
use super::values::{self, Before, Values, account_key, slot_key};
use crate::state::Account;

/// Where its files are, on the journal's disk.
pub(super) const DIRECTORY: &str = "index";
const PLACES: &str = "index/places";
const CHANGES: &str = "index/changes";
/// A place is a block's number and, in the lower bits, 0 for the block or a transaction's place
/// from 1. No block has so many: each takes 21,000 gas of at most 2^63 in all, and the largest
/// record a block may be has room for some hundred thousand.
const PLACE_BITS: u32 = 24;
/// What is copied at once.
const COPIED_BYTES: u64 = 256 << 10;

/// One state of the index, which never changes: the next is another value. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    disk: Arc<dyn Disk>,
    /// [`Options::prune_blocks`](crate::Options::prune_blocks).
    prune: Option<u64>,
    /// The chain's first block, which is never in it.
    begins: u64,
    /// The oldest block whose state is in it; the chain's first where all are.
    first: u64,
    /// The newest block in it; the chain's first for none.
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

/// By which names an index is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Names {
    rows: u64,
    places: Vec<u32>,
    values: u64,
    values_end: u64,
    changes: Vec<u32>,
}

impl Names {
    /// Its files.
    pub(super) fn files(&self) -> impl Iterator<Item = String> {
        let runs = |prefix, numbers: &[u32]| {
            let name = move |number| format!("{prefix}-{number:08}");
            numbers.iter().map(name).collect::<Vec<_>>()
        };
        let single = [rows::name(self.rows), values::name(self.values)];
        let runs = [runs(PLACES, &self.places), runs(CHANGES, &self.changes)];
        single.into_iter().chain(runs.into_iter().flatten())
    }
}

impl Kept {
    /// An index of nothing, of a chain that begins with this block, of which the newest `prune`
    /// blocks are to be kept; all without.
    pub(crate) fn new(disk: Arc<dyn Disk>, prune: Option<u64>, begins: u64) -> Self {
        Self {
            prune,
            begins,
            first: begins,
            blocks: begins,
            rows: Rows::new(begins + 1),
            places: Runs::new(Arc::clone(&disk), PLACES, true),
            values: Values::default(),
            changes: Runs::new(Arc::clone(&disk), CHANGES, true),
            disk,
        }
    }

    /// The index that a snapshot names.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        snapshot: &Snapshot,
        prune: Option<u64>,
    ) -> io::Result<Self> {
        let names = &snapshot.index;
        let open =
            |prefix, numbers: &[u32]| Runs::open(Arc::clone(&disk), prefix, true, numbers, 0);
        Ok(Self {
            prune,
            begins: snapshot.begins,
            first: snapshot.first,
            blocks: snapshot.blocks,
            rows: Rows::open(disk.as_ref(), names.rows, snapshot.blocks)?,
            places: open(PLACES, &names.places)?,
            values: Values::open(disk.as_ref(), names.values, names.values_end)?,
            changes: open(CHANGES, &names.changes)?,
            disk,
        })
    }

    /// The newest block in it; the chain's first for none.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(super) fn names(&self) -> Names {
        Names {
            rows: self.rows.first,
            places: self.places.numbers(),
            values: self.values.start,
            values_end: self.values.end,
            changes: self.changes.numbers(),
        }
    }

    /// The oldest block whose state is in it; the chain's first where all are.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The oldest block that is told of, with its state, where `newest` is the newest there is.
    pub(crate) fn oldest(&self, newest: u64) -> u64 {
        self.prune.map_or(0, |blocks| newest.saturating_sub(blocks)).max(self.first)
    }

    /// How many blocks before the newest are to be kept; all where it is not told.
    pub(crate) fn prune_blocks(&self) -> Option<u64> {
        self.prune
    }

    /// Where the oldest block is, if it has any.
    pub(super) fn needs(&self) -> io::Result<Option<Position>> {
        Ok(self.row(self.oldest_row())?.map(|row| row.position))
    }

    /// The chain's first block.
    pub(super) fn begins(&self) -> u64 {
        self.begins
    }

    /// Whether blocks were taken out of it.
    pub(super) fn is_pruned(&self) -> bool {
        self.first > self.begins
    }

    /// The oldest block that has a row, if any has.
    pub(super) fn oldest_row(&self) -> u64 {
        self.first.max(self.begins + 1)
    }

    /// The row of a block, if it is in the index.
    pub(crate) fn row(&self, number: u64) -> io::Result<Option<Row>> {
        let is_kept = (self.oldest_row()..=self.blocks).contains(&number);
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

    /// Reads all values that can be asked for, and finds each of them.
    pub(super) fn check_values(&self) -> io::Result<()> {
        let mut places = Vec::new();
        let from = match self.is_pruned() {
            true => self.values_after(self.first)?.unwrap_or(self.values.end),
            false => 0,
        };
        self.values.scan(from, self.values.end, |at, value| places.push((at, value.key())))?;
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
            disk: Arc::clone(&self.disk),
            prune: self.prune,
            begins: self.begins,
            first: self.first,
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

    /// The index where nobody asks for blocks and states before block `first` any more; what is
    /// written of it is durable but for its names.
    pub(crate) fn without_before(&self, first: u64) -> io::Result<Self> {
        if first <= self.first {
            return Ok(self.clone());
        }
        let disk = self.disk.as_ref();
        let from = self.values_after(first)?.unwrap_or(self.values.end);
        Ok(Self {
            first,
            rows: self.rows.without_before(disk, first, self.blocks)?,
            places: self.places.clone().above(first << PLACE_BITS),
            values: self.values.without_before(disk, from)?,
            changes: self.changes.clone().above(from),
            ..self.clone()
        })
    }
}

/// A part of a file in one of its own, where the rest is as much: so what is copied in all is no
/// more than what was written.
pub(super) fn copied(
    file: Option<&dyn File>,
    part: Range<u64>,
    disk: &dyn Disk,
    name: &str,
) -> io::Result<Option<Arc<dyn File>>> {
    let Some(file) = file.filter(|_| part.start > 0 && part.start >= part.end - part.start) else {
        return Ok(None);
    };
    let copy = disk.open(name, true)?;
    copy.set_size(0)?;
    let mut bytes = Vec::new();
    for at in part.clone().step_by(COPIED_BYTES as usize) {
        bytes.resize((part.end - at).min(COPIED_BYTES) as usize, 0);
        if file.read_at(&mut bytes, at)? < bytes.len() {
            return Err(damaged(name, "the file before it is too short"));
        }
        copy.write_all_at(&bytes, at - part.start)?;
    }
    copy.sync()?;
    Ok(Some(copy.into()))
}

/// Removes the index on a disk, first what names the rest: the next start makes it again.
///
/// # Errors
/// Those of the device.
pub fn remove_index(disk: &dyn Disk) -> io::Result<()> {
    let mut names = disk.list(DIRECTORY)?;
    names.sort_unstable_by_key(|name| !format!("{DIRECTORY}/{name}").starts_with(SNAPSHOT));
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
