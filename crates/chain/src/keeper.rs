//! Moves what memory holds of the chain to the index on disk, beside the thread that makes blocks.
//!
//! A chain that is pruned cannot be made again from its first block. So two snapshots of it are on
//! disk: the newest, and the newest before it from which a start can go on whatever is taken back
//! (`evm_revert`), or cannot be read of the other. What is kept is reckoned from the older one, so
//! that after going back there is as much.

use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use vouch_journal::{Journal, Position};

use crate::builder::Command;
use crate::index::{At, Frozen, Kept, Snapshot, Step};
use crate::node::View;
use crate::state::Tries;
use crate::{Error, Result};

/// Where the journal's last record is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Last {
    pub(crate) record: u64,
    pub(crate) position: Position,
}

/// What a step has come to: the index, and the snapshots on disk, the newest last.
type Stepped = (Kept, Vec<Snapshot>);

/// At most one step at a time; see the module.
#[derive(Debug)]
pub(crate) struct Keeper {
    journal: [u8; 16],
    /// [`Options::prune_blocks`](crate::Options::prune_blocks).
    prune: Option<u64>,
    /// Whether the chain is pruned, or was.
    keeps_two: bool,
    /// Those on disk, the newest last.
    snapshots: Vec<Snapshot>,
    /// The step under way.
    running: Option<JoinHandle<Result<Stepped>>>,
}

/// The records from which on all may still be taken back, where none may.
pub(crate) const NONE: u64 = u64::MAX;

impl Keeper {
    /// Of a journal with these snapshots, the newest last, of which `prune` blocks are to be kept.
    pub(crate) fn new(journal: &Journal, prune: Option<u64>, snapshots: Vec<Snapshot>) -> Self {
        let is_pruned = snapshots.iter().any(Snapshot::is_pruned);
        let keeps_two = prune.is_some() || is_pruned || journal.resumes().is_some();
        Self { journal: journal.id(), prune, keeps_two, snapshots, running: None }
    }

    /// The last record that the newest snapshot on disk has; 0 of none.
    pub(crate) fn kept(&self) -> u64 {
        self.snapshots.last().map_or(0, |snapshot| snapshot.record)
    }

    /// Whether a start would have to begin with the first block.
    pub(crate) fn is_empty(&self) -> bool {
        self.snapshots.is_empty()
    }

    /// From where on the journal is needed, where what is before can go and all from record
    /// `back_to` on may still be taken back: there has to be a snapshot that stays, and another
    /// unless it is of the first block.
    pub(crate) fn needs(&self, back_to: u64) -> Option<Position> {
        let oldest = self.snapshots.first().filter(|oldest| oldest.record < back_to)?;
        let is_safe = self.snapshots.len() > 1 || oldest.is_of_first();
        (self.prune.is_some() && is_safe).then(|| oldest.needs())
    }

    /// What is on disk of the records from `to` on counts for nothing any more.
    pub(crate) fn take_back(&mut self, to: u64) {
        self.snapshots.retain(|snapshot| snapshot.record < to);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn at(&self, last: Last) -> At {
        At { journal: self.journal, record: last.record, position: last.position }
    }

    /// The snapshot that is to stay beside the next one, where all from record `back_to` on may
    /// still be taken back.
    fn before(&self, back_to: u64) -> Option<Snapshot> {
        let mut usable = self.snapshots.iter().rev().filter(|one| one.record < back_to);
        usable.next().filter(|_| self.keeps_two).cloned()
    }

    /// Begins a step, which tells the builder when it is done. All from record `back_to` on may
    /// still be taken back.
    pub(crate) fn begin(
        &mut self,
        parts: Parts,
        last: Last,
        back_to: u64,
        done: Sender<Command>,
    ) -> Result<()> {
        let (at, before, prune) = (self.at(last), self.before(back_to), self.prune);
        let done = Done(done);
        let step = move || {
            let _done = done;
            parts.write(at, before, prune)
        };
        let spawned = thread::Builder::new().name("chain index".to_owned()).spawn(step);
        let failed = |e: std::io::Error| Error::System { what: "a thread", reason: e.to_string() };
        self.running = Some(spawned.map_err(failed)?);
        Ok(())
    }

    /// Waits for the step under way; gives what it has come to.
    pub(crate) fn finish(&mut self) -> Result<Option<Kept>> {
        let Some(running) = self.running.take() else { return Ok(None) };
        let panicked = || Err(Error::Stopped("the thread of its index panicked".to_owned()));
        let (kept, snapshots) = running.join().unwrap_or_else(|_| panicked())?;
        self.snapshots = snapshots;
        Ok(Some(kept))
    }

    /// A whole step at once, as [`Self::begin`] does it.
    pub(crate) fn keep_now(&mut self, parts: Parts, last: Last, back_to: u64) -> Result<Kept> {
        let (kept, snapshots) = parts.write(self.at(last), self.before(back_to), self.prune)?;
        self.snapshots = snapshots;
        Ok(kept)
    }
}

/// Tells the builder of the end of a step, however it ends.
#[derive(Debug)]
struct Done(Sender<Command>);

impl Drop for Done {
    fn drop(&mut self) {
        // Who no longer listens will join.
        drop(self.0.send(Command::Kept));
    }
}

/// What a step writes.
#[derive(Debug)]
pub(crate) struct Parts {
    kept: Kept,
    step: Step,
    frozen: Frozen,
}

impl Parts {
    /// Of what is to be kept on the disk of `kept`.
    pub(crate) fn of(view: &View, tries: &Tries, kept: Kept, step: Step) -> Self {
        let frozen = Frozen::new(&view.state, tries.root(), view.total_difficulty, view.next);
        Self { kept, step, frozen }
    }

    fn write(self, at: At, before: Option<Snapshot>, prune: Option<u64>) -> Result<Stepped> {
        let Self { kept, step, frozen } = self;
        let first =
            prune.zip(before.as_ref()).map(|(blocks, before)| before.blocks.saturating_sub(blocks));
        let kept = kept.without_before(first.unwrap_or_default())?.with(step)?;
        let snapshot = Snapshot::write(&kept, at, &frozen, before.as_ref())?;
        Ok((kept, before.into_iter().chain([snapshot]).collect()))
    }
}
