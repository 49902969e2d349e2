//! The store of one machine: a journal, a committer, a publisher.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use alloy_primitives::B256;
use parking_lot::{Mutex, RwLock};
use vouch_core::receipt::Receipt;
use vouch_journal::{Directory, Disk, Journal, Reader, Recovery};

use crate::api::{Acknowledged, Child, Published};
use crate::batch::{Commit, Operation};
use crate::committer::Committer;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hold::Hold;
use crate::index::{self, Index, Snapshot};
use crate::log::Log;
use crate::pending::Pending;
use crate::publish::{Publisher, Request};
use crate::record::{Item, Writer};
use crate::replay::{Indexed, Replay, Replayed};
use crate::state::State;
use crate::tiles::{FileTiles, TileStore};

/// Operations that may wait; more are refused.
const MAX_WAITING: usize = 65_536;
/// The largest answer that is kept.
pub(crate) const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// Locked for moments, never while the disk is waited for.
    pub(crate) state: Mutex<State>,
    /// Only what is durable.
    pub(crate) log: RwLock<Log>,
    /// Hash of the newest block that was seen, and when.
    pub(crate) recent_block: Mutex<(B256, u64)>,
    pub(crate) published: RwLock<Option<Published>>,
    pub(crate) tiles: Arc<dyn TileStore>,
    pub(crate) stopped: OnceLock<Arc<str>>,
    /// Operations in the queue.
    pub(crate) waiting: AtomicUsize,
    pub(crate) reader: Reader,
    /// The journal's, which the index is beside.
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) journal: [u8; 16],
    /// The records before it are in `state` and `log`.
    pub(crate) applied: AtomicU64,
    /// How far the index goes.
    pub(crate) indexed: Mutex<Indexed>,
}

/// The way to the committer.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    sender: Sender<Operation>,
    shared: Arc<Shared>,
}

impl Queue {
    /// Sends an operation, or answers it with why not.
    pub(crate) fn send(&self, operation: Operation) {
        let waiting = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        if waiting >= MAX_WAITING {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            return operation.refuse(Error::Overloaded(waiting));
        }
        if let Err(mpsc::SendError(operation)) = self.sender.send(operation) {
            operation.refuse(Error::stopped(&Arc::from("the committer has ended")));
        }
    }
}

/// What opening found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// What the journal's recovery did.
    pub journal: Recovery,
    /// Entries in the log.
    pub size: u64,
}

/// A [`Store`] on one machine's disk.
#[derive(Debug)]
pub struct EmbeddedStore {
    pub(crate) shared: Arc<Shared>,
    /// Both are taken at the drop: the threads end when their queues do.
    queue: Option<Queue>,
    publisher: Option<Sender<Request>>,
    threads: Vec<JoinHandle<()>>,
}

impl EmbeddedStore {
    /// Opens the store in `dir` (`journal/` and the public `log/`), creating it if needed.
    ///
    /// # Errors
    /// Those of the journal; [`Error::OtherLog`], [`Error::Record`], [`Error::Newer`];
    /// [`Error::Behind`] or [`Error::Forked`] if a released checkpoint has more or other entries.
    pub fn open(dir: &Path, config: Config) -> Result<(Self, Opened)> {
        let log = dir.join("log");
        let disk = Directory::open(&dir.join("journal"))?;
        let tiles = FileTiles::open(&log).map_err(|source| Error::Tiles {
            action: "create",
            path: log,
            source,
        })?;
        Self::open_on(Box::new(disk), Arc::new(tiles), config)
    }

    /// As [`Self::open`], on any disk and tile store.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(
        disk: Box<dyn Disk>,
        tiles: Arc<dyn TileStore>,
        config: Config,
    ) -> Result<(Self, Opened)> {
        let (mut store, committer, publisher, opened) = Self::open_idle(disk, tiles, config)?;
        store.threads = vec![
            spawn("vouch-commit", move || committer.run())?,
            spawn("vouch-publish", move || publisher.run())?,
        ];
        Ok((store, opened))
    }

    /// Opens a store with nobody who works for it yet.
    pub(crate) fn open_idle(
        disk: Box<dyn Disk>,
        tiles: Arc<dyn TileStore>,
        config: Config,
    ) -> Result<(Self, Committer, Publisher, Opened)> {
        let disk: Arc<dyn Disk> = disk.into();
        let Restored { mut journal, recovery, replayed, indexed } = restore(&disk, &config)?;
        let Replayed { state, log, checkpoint, identified } = replayed;
        if !identified {
            identify(&mut journal, &config)?;
        }
        let opened = Opened { journal: recovery, size: log.size() };
        let checkpointed = checkpoint.as_ref().map_or(0, |stored| stored.size);
        let shared = Arc::new(Shared {
            config,
            state: Mutex::new(state),
            log: RwLock::new(log),
            recent_block: Mutex::new((B256::ZERO, 0)),
            published: RwLock::new(None),
            tiles,
            stopped: OnceLock::new(),
            waiting: AtomicUsize::new(0),
            reader: journal.reader(),
            disk,
            journal: journal.id(),
            applied: AtomicU64::new(journal.durable().0),
            indexed: Mutex::new(indexed),
        });
        shared.restore_public(checkpoint)?;
        let (sender, operations) = mpsc::channel();
        let (publisher, requests) = mpsc::channel();
        let queue = Queue { sender, shared: Arc::clone(&shared) };
        let committer =
            Committer { journal, shared: Arc::clone(&shared), queue: operations, checkpointed };
        let stored = shared.published.read().clone();
        let publishing =
            Publisher { shared: Arc::clone(&shared), requests, queue: queue.clone(), stored };
        let threads = Vec::new();
        let store = Self { shared, queue: Some(queue), publisher: Some(publisher), threads };
        Ok((store, committer, publishing, opened))
    }

    pub(crate) fn send(&self, operation: Operation) {
        if let Some(queue) = &self.queue {
            queue.send(operation);
        }
    }

    fn max_answer_bytes(&self) -> usize {
        let limit = MAX_ANSWER_BYTES.min(self.shared.config.journal.segment_bytes / 4);
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    pub(crate) fn enqueue(
        &self,
        hold: Option<Hold>,
        receipt: Receipt,
        answer: Vec<u8>,
        children: Vec<Child>,
    ) -> Pending<Acknowledged> {
        let openings = children.iter().map(|child| child.opening.len());
        let size_bytes = openings.fold(answer.len(), usize::saturating_add);
        let max_bytes = self.max_answer_bytes();
        if size_bytes > max_bytes {
            return Pending::ready(Err(Error::TooLarge { size_bytes, max_bytes }));
        }
        let (reply, pending) = Pending::new();
        self.send(Operation::Commit(Box::new(Commit { hold, receipt, answer, children, reply })));
        pending
    }

    pub(crate) fn ask_publisher(&self, request: Request) {
        if let Some(publisher) = &self.publisher {
            // A publisher that is gone drops the reply, and its waiter is told.
            drop(publisher.send(request));
        }
    }
}

impl Drop for EmbeddedStore {
    /// Commits what is queued, then ends both threads.
    fn drop(&mut self) {
        self.publisher = None;
        self.queue = None;
        for thread in self.threads.drain(..).rev() {
            if thread.join().is_err() {
                tracing::error!("a thread of the store has panicked");
            }
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| Error::Stopped { cause: format!("cannot start a thread: {error}").into() })
}

/// What a start finds.
struct Restored {
    journal: Journal,
    recovery: Recovery,
    replayed: Replayed,
    indexed: Indexed,
}

/// Opens the journal and reads what its index does not have. An index that cannot be used is made
/// again.
fn restore(disk: &Arc<dyn Disk>, config: &Config) -> Result<Restored> {
    let mut snapshot = usable(disk, Snapshot::read(disk))?.flatten();
    let known = snapshot.as_ref().map(|snapshot| snapshot.known);
    let (journal, recovery) =
        Journal::open_known(Box::new(Arc::clone(disk)), config.journal, known)?;
    if known.is_some_and(|known| known.journal != journal.id()) {
        index::remove(disk)?;
        snapshot = None;
    }
    let after = snapshot.map(|snapshot| {
        let index = Index::open(Arc::clone(disk), &snapshot)?;
        Replay::after(Arc::new(index), &snapshot, config)
    });
    let mut replay = match usable(disk, after.transpose())?.flatten() {
        Some(replay) => replay,
        None => Replay::new(Arc::clone(disk), config)?,
    };
    replay.read(&journal.reader(), journal.durable(), disk, journal.id())?;
    let indexed = replay.indexed();
    Ok(Restored { journal, recovery, replayed: replay.finish()?, indexed })
}

/// What was read of an index; `None` if that cannot be used, and is gone now.
fn usable<T>(disk: &Arc<dyn Disk>, read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(error @ Error::OtherLog { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "the log's index is made again from the journal");
            index::remove(disk)?;
            Ok(None)
        }
        Ok(read) => Ok(Some(read)),
    }
}

/// The first record: whose journal this is.
fn identify(journal: &mut Journal, config: &Config) -> Result<()> {
    let mut record = Writer::new();
    record.put(&Item::Identity {
        chain: config.domain.chain,
        settlement: config.domain.settlement,
        origin: &config.origin,
    });
    journal.append(record.bytes())?;
    Ok(journal.sync()?)
}
