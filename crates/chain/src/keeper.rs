//! Moves what memory holds of the chain to the index on disk, beside the thread that makes blocks.

use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use vouch_journal::Position;

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

/// At most one step at a time; see the module.
#[derive(Debug)]
pub(crate) struct Keeper {
    journal: [u8; 16],
    /// The last record that the snapshot on disk has; 0 of none.
    kept: u64,
    /// The step under way, and the last record that it has.
    running: Option<(JoinHandle<Result<Kept>>, u64)>,
}

impl Keeper {
    /// Of the journal with this id, whose snapshot on disk has all up to record `kept`.
    pub(crate) fn new(journal: [u8; 16], kept: u64) -> Self {
        Self { journal, kept, running: None }
    }

    /// The last record that the snapshot on disk has; 0 of none.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn at(&self, last: Last) -> At {
        At { journal: self.journal, record: last.record, position: last.position }
    }

    /// Begins a step, which tells the builder when it is done.
    pub(crate) fn begin(&mut self, parts: Parts, last: Last, done: Sender<Command>) -> Result<()> {
        let at = self.at(last);
        let done = Done(done);
        let step = move || {
            let _done = done;
            parts.write(at)
        };
        let spawned = thread::Builder::new().name("chain index".to_owned()).spawn(step);
        let failed = |e: std::io::Error| Error::System { what: "a thread", reason: e.to_string() };
        self.running = Some((spawned.map_err(failed)?, last.record));
        Ok(())
    }

    /// Waits for the step under way; gives what it has come to.
    pub(crate) fn finish(&mut self) -> Result<Option<Kept>> {
        let Some((running, record)) = self.running.take() else { return Ok(None) };
        let panicked = || Err(Error::Stopped("the thread of its index panicked".to_owned()));
        let kept = running.join().unwrap_or_else(|_| panicked())?;
        self.kept = record;
        Ok(Some(kept))
    }

    /// A whole step at once.
    pub(crate) fn keep_now(&mut self, parts: Parts, last: Last) -> Result<Kept> {
        let kept = parts.write(self.at(last))?;
        self.kept = last.record;
        Ok(kept)
    }

    /// What is on disk counts for nothing any more.
    pub(crate) fn forget(&mut self) {
        self.kept = 0;
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

    fn write(self, at: At) -> Result<Kept> {
        let Self { kept, step, frozen } = self;
        let kept = kept.with(step)?;
        Snapshot::write(&kept, at, &frozen)?;
        Ok(kept)
    }
}
