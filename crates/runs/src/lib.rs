//! From keys to places in a file or log, on disk: sorted immutable runs that are merged in tiers.
//!
//! ```text
//!  with(entries) ─▶ a new run of tier 0, or, where that makes four of a tier, one of the next
//!  get(key)      ─▶ each run: filter (memory) ─▶ fences (memory) ─▶ one page (disk, checked)
//! ```
//! A key is eight bytes of a hash: uniform, and not always one entry's alone. Who looks a key up
//! checks the candidates.
//!
//! ```
//! # use std::sync::Arc;
//! use vouch_runs::{Entry, Runs, prefix};
//! # let disk = Arc::new(vouch_journal::testing::MemoryDisk::default());
//! let runs = Runs::new(disk, "index/names", true);
//! let entry = |name: [u8; 32], index| Entry { key: prefix(&name), index };
//! let runs = runs.with(vec![entry([7; 32], 1), entry([7; 32], 9), entry([8; 32], 4)], 0)?;
//! assert_eq!(runs.get(prefix(&[7; 32]), 0)?, [1, 9]);
//! assert_eq!(runs.first(prefix(&[7; 32]), 2)?, Some(9));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Invariants
//! - A run never changes, and its number is used once: whoever has a [`Runs`] can read it while
//!   others write, merge and sweep.
//! - A tier has at most three runs, so an entry is written once a tier and a lookup asks few runs.
//! - Damage is an error, never an answer: what is read is checked first.
//!
//! # What it does not do
//! It keeps no list of the runs that count: the caller stores [`Runs::numbers`], and sweeps only
//! once that is durable. One writer at a time: neither [`Runs::with`] nor [`Runs::sweep`] looks out
//! for another. An entry is never removed alone: [`Runs::above`] leaves out runs, and what is merged
//! from then on. A view that is damaged is built again from the journal,
//! with [`Runs::new`]; the old list has to go before, lest it name new files.

#![deny(missing_docs, clippy::missing_errors_doc)]

mod filter;
mod format;
mod run;
mod write;

use std::io;
use std::sync::Arc;

use vouch_journal::Disk;

use format::Header;
use run::Run;

/// As many runs of a tier become one of the next.
const FANOUT: usize = 4;

/// A key, and the place that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Uniform, as the [`prefix`] of a hash is.
    pub key: u64,
    /// The place.
    pub index: u64,
}

/// The first eight bytes of a hash, as a key.
pub fn prefix(hash: &[u8; 32]) -> u64 {
    hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// An immutable set of runs. In memory 0.03 bytes an entry, and 1.25 more where filters are kept;
/// one open file a run.
#[derive(Debug, Clone)]
pub struct Runs {
    disk: Arc<dyn Disk>,
    prefix: &'static str,
    filtered: bool,
    /// Entries below it are of no more use.
    least: u64,
    runs: Vec<Run>,
}

impl Runs {
    /// No entries. Files will be `{prefix}-{number:08}`; the prefix may lead through a directory.
    pub fn new(disk: Arc<dyn Disk>, prefix: &'static str, filtered: bool) -> Self {
        Self { disk, prefix, filtered, least: 0, runs: Vec::new() }
    }

    /// The runs that [`Runs::numbers`] gave. Filters of runs with nothing at or above `keep_from`
    /// are not read.
    ///
    /// # Errors
    /// `NotFound` if one is missing; `InvalidData` if a header, fence or filter is damaged or a
    /// file is not as long as it should be; those of the device.
    pub fn open(
        disk: Arc<dyn Disk>,
        prefix: &'static str,
        filtered: bool,
        numbers: &[u32],
        keep_from: u64,
    ) -> io::Result<Self> {
        let open = |number: &u32| Run::open(&*disk, prefix, *number, filtered, keep_from);
        let runs = numbers.iter().map(open).collect::<io::Result<_>>()?;
        Ok(Self { disk, prefix, filtered, least: 0, runs })
    }

    /// These runs where nobody asks for places below `least` any more: those that have no others are
    /// left out, and what is merged from now on is without them. So what there is comes to at most
    /// twice what is at or above `least`, where that moves on as entries are added.
    #[must_use]
    pub fn above(mut self, least: u64) -> Self {
        self.runs.retain(|run| run.header.newest >= least);
        Self { least, ..self }
    }

    /// What to store: they name these runs.
    pub fn numbers(&self) -> Vec<u32> {
        self.runs.iter().map(|run| run.number).collect()
    }

    /// All places at or above `from` that have this key, ascending.
    ///
    /// # Errors
    /// `InvalidData` if a page that may have the key is damaged; those of the device.
    pub fn get(&self, key: u64, from: u64) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        self.runs.iter().try_for_each(|run| run.get(key, from, &mut found))?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The first place at or above `from` that has this key; cheap also where very many have it.
    ///
    /// # Errors
    /// `InvalidData` if a page that may have the key is damaged; those of the device.
    pub fn first(&self, key: u64, from: u64) -> io::Result<Option<u64>> {
        self.runs.iter().try_fold(None, |least: Option<u64>, run| {
            Ok(least.into_iter().chain(run.first(key, from)?).min())
        })
    }

    /// These runs and one more of these entries, in any order; merged where a tier is full. What it
    /// names is durable on return. Files that it no longer needs stay until [`Runs::sweep`], as do
    /// those that an error left. Filters of runs with nothing at or above `keep_from` are not kept.
    ///
    /// # Errors
    /// `InvalidData` if a run to be merged is damaged; those of the device.
    pub fn with(&self, mut entries: Vec<Entry>, keep_from: u64) -> io::Result<Self> {
        let mut next = self.clone();
        if let Some(newest) = entries.iter().map(|entry| entry.index).max() {
            entries.sort_unstable();
            let (tier, merged) = take_full_tiers(&mut next.runs);
            let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
            let mut header = Header { tier, filtered: self.filtered, count, newest };
            for run in &merged {
                header.count = header.count.saturating_add(run.count_above(self.least)?);
                header.newest = header.newest.max(run.header.newest);
            }
            let mut sources: Vec<Box<dyn Iterator<Item = _>>> = Vec::new();
            sources.push(Box::new(entries.into_iter().map(Ok)));
            merged.iter().for_each(|run| sources.push(Box::new(run.entries_above(self.least))));
            let merge = write::Merge::new(sources)?;
            let number = self.next_number()?;
            next.runs.push(write::write(&*self.disk, self.prefix, number, header, merge)?);
            self.disk.sync()?;
        }
        for run in &mut next.runs {
            run.filter.take_if(|_| run.header.newest < keep_from);
        }
        Ok(next)
    }

    /// Removes the files of this prefix that are not of these runs: merged ones, and what a crash
    /// left.
    ///
    /// # Errors
    /// Those of the device.
    pub fn sweep(&self) -> io::Result<()> {
        for number in self.numbers_on_disk()? {
            if self.runs.iter().all(|run| run.number != number) {
                self.disk.remove(&run::name(self.prefix, number))?;
            }
        }
        Ok(())
    }

    /// Above those of all files: an older list may name one that is not of these runs, or someone
    /// may read it.
    fn next_number(&self) -> io::Result<u32> {
        let highest = self.numbers_on_disk()?.into_iter().chain(self.numbers()).max();
        let next = highest.map_or(Some(0), |highest| highest.checked_add(1));
        next.ok_or_else(|| io::Error::other(format!("{}: out of numbers", self.prefix)))
    }

    fn numbers_on_disk(&self) -> io::Result<Vec<u32>> {
        let (directory, stem) = self.prefix.rsplit_once('/').unwrap_or(("", self.prefix));
        let number = |name: &String| {
            let number = name.strip_prefix(stem)?.strip_prefix('-')?.parse().ok()?;
            (*name == run::name(stem, number)).then_some(number)
        };
        Ok(self.disk.list(directory)?.iter().filter_map(number).collect())
    }
}

/// Takes out the runs that become one with a new one, and tells of which tier that is. Several
/// tiers that fill up in turn are merged at once.
fn take_full_tiers(runs: &mut Vec<Run>) -> (u32, Vec<Run>) {
    let (mut tier, mut taken) = (0_u32, Vec::new());
    loop {
        let full = runs.iter().filter(|run| run.header.tier == tier).count();
        if full.saturating_add(1) < FANOUT {
            return (tier, taken);
        }
        taken.extend(runs.extract_if(.., |run| run.header.tier == tier));
        tier = tier.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
