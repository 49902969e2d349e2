//! The store of several gateways: one PostgreSQL database, one log, one provider.
//!
//! ```text
//!  gateway 1   reserve, extend, commit, open, ... ─▶ writer ─▶ one transaction a batch
//!  gateway 2   reserve, extend, commit, open, ... ─▶ writer ─▶      │
//!                                                                   ▼
//!   lock the log's row ─ read the rows named ─ decide (core's machine) ─ sign ─ write ─ COMMIT
//! ```
//! Each gateway's writer drains what waits and has it decided by the code of the embedded store
//! ([`crate::batch`]), over the rows that it is about, sorted by id, instead of over all of memory.
//!
//! # Decisions
//! - **One lock, the log's row.** A promise covers where its batch begins, so whoever appends must
//!   hold the log still until it has signed and committed; under the same lock everything else is
//!   decided too. Nothing is read and then written without it, so nothing is decided on what has
//!   changed since; and there is one lock, so no deadlock. Gateways take turns by batches, each of
//!   which takes what came in during the others'.
//! - **Reservations are rows** (`holds`), not memory: any gateway serves any channel at any time,
//!   and of two that ask for the same request or the same last money one is told no before its model
//!   runs. A gateway has a lease (an epoch, `gateways`); its holds carry it, and a commit needs the
//!   row, not the memory of it. When a lease ends, the others give its holds back.
//! - **The database's own rules are a second net**: `charged + reserved <= accepted` is a `CHECK`,
//!   one charge a request and one receipt a sequence are keys.
//! - **A commit whose answer was lost is read back** by the batch's name, under the lock, and what
//!   was not done is decided anew: a charge is tried until it is done or refused.
//!
//! # What it rests on
//! `synchronous_commit = on`, set in every session, and a server that keeps what it has synced. A
//! failover keeps what was acknowledged only if the standby is synchronous.

mod connection;
mod decide;
mod load;
mod publish;
mod read;
mod rows;
mod schema;
mod service;
mod task;
mod turn;
mod write;
mod writer;

use std::future::Future;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc as blocking};

use alloy_primitives::B256;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender, unbounded_channel};
use vouch_core::channel::Reservation;

use connection::Connection;
pub use connection::Database;
use task::Task;
use writer::Writer;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::hold::Release;
use crate::threads::{Threads, pausing};
use crate::tiles::TileStore;
use crate::tree::Tree;

/// Tasks that may wait; more are refused.
const MAX_WAITING: usize = 65_536;

/// What all tasks of a store share.
#[derive(Debug)]
struct Shared {
    config: Config,
    database: Database,
    tiles: Arc<dyn TileStore>,
    /// This gateway's lease.
    epoch: AtomicI64,
    /// Hash of the newest block that was seen, and when.
    recent_block: Mutex<(B256, u64)>,
    /// Leaf hashes of the log, as far as they were needed yet.
    tree: tokio::sync::Mutex<Tree>,
    reader: tokio::sync::Mutex<Option<Arc<Connection>>>,
    publishing: tokio::sync::Mutex<()>,
    /// Why the database cannot be reached, while it cannot.
    away: Mutex<Option<Arc<str>>>,
    stopped: OnceLock<Arc<str>>,
    /// Tasks in the queue.
    waiting: AtomicUsize,
}

impl Shared {
    fn lease_ms(&self) -> i64 {
        i64::try_from(self.database.lease.as_millis()).unwrap_or(i64::MAX)
    }

    fn lease_epoch(&self) -> i64 {
        self.epoch.load(Ordering::Relaxed)
    }
}

/// Gives holds of one lease back.
#[derive(Debug)]
struct Owner {
    epoch: i64,
    queue: WeakUnboundedSender<Task>,
}

impl Release for Owner {
    fn release(&self, channel: &B256, request: &B256, _: Reservation) {
        let (channel, request, epoch) = (*channel, *request, self.epoch);
        if let Some(queue) = self.queue.upgrade() {
            // A writer that is gone has left its lease, and its holds with it.
            drop(queue.send(Task::Release { channel, request, epoch }));
        }
    }
}

/// A [`crate::Store`] that several processes share.
#[derive(Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    /// Taken at the drop, which ends the writer.
    queue: Option<UnboundedSender<Task>>,
    /// Told when the writer has ended.
    ended: Mutex<blocking::Receiver<()>>,
    threads: Threads,
}

impl PostgresStore {
    /// Opens the store in a database, laying it out if it is empty, and joins the gateways there.
    /// The public files of the log are in `tiles`, which all of them share. Blocks.
    ///
    /// # Errors
    /// [`Error::Database`] if it cannot be reached, [`Error::Schema`], [`Error::OtherLog`],
    /// [`Error::Row`]; [`Error::Behind`] or [`Error::Forked`] if a released checkpoint has more or
    /// other entries.
    pub fn open(database: Database, tiles: Arc<dyn TileStore>, config: Config) -> Result<Self> {
        let threads = Threads::start("vouch-postgres", 2)
            .map_err(|error| Error::Database(format!("cannot start its threads: {error}")))?;
        let shared = Arc::new(Shared {
            config,
            database,
            tiles,
            epoch: AtomicI64::new(0),
            recent_block: Mutex::new((B256::ZERO, 0)),
            tree: tokio::sync::Mutex::new(Tree::default()),
            reader: tokio::sync::Mutex::new(None),
            publishing: tokio::sync::Mutex::new(()),
            away: Mutex::new(None),
            stopped: OnceLock::new(),
            waiting: AtomicUsize::new(0),
        });
        let (queue, tasks) = unbounded_channel();
        let weak = queue.downgrade();
        let opening = Arc::clone(&shared);
        let writer = threads.wait(async move {
            identify(&opening).await?;
            let (connection, epoch) = writer::join(&opening).await?;
            opening.epoch.store(epoch, Ordering::Relaxed);
            opening.restore_public().await?;
            let owner = Arc::new(Owner { epoch, queue: weak.clone() });
            let connection = Some(connection);
            Ok(Writer { shared: opening, queue: tasks, sender: weak, connection, owner, batch: 0 })
        });
        let writer = writer.unwrap_or_else(|| Err(ended()))?;
        let (end, ended) = blocking::channel();
        threads.spawn(async move {
            writer.run().await;
            // The store may be gone without waiting.
            end.send(()).unwrap_or_default();
        });
        Ok(Self { shared, queue: Some(queue), ended: Mutex::new(ended), threads })
    }

    /// Runs a read in the store's own threads.
    fn block<T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.threads.wait(read).unwrap_or_else(|| Err(ended()))
    }

    /// Sends a task, or answers it with why not.
    fn send(&self, task: Task) {
        let waiting = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        if waiting >= MAX_WAITING {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            return task.refuse(Error::Overloaded(waiting));
        }
        let unsent = match &self.queue {
            Some(queue) => queue.send(task).err().map(|error| error.0),
            None => Some(task),
        };
        if let Some(task) = unsent {
            task.refuse(Error::stopped(&Arc::from("the writer has ended")));
        }
    }
}

impl Drop for PostgresStore {
    /// Commits what is queued, then leaves.
    fn drop(&mut self) {
        self.queue = None;
        pausing(|| self.ended.lock().recv().ok());
    }
}

fn ended() -> Error {
    Error::Database("the store's threads have ended".to_owned())
}

/// Lays the database out, and refuses one of another log.
async fn identify(shared: &Shared) -> Result<()> {
    let connection = Connection::open(&shared.database).await?;
    schema::migrate(&connection.client).await?;
    let (domain, origin) = (shared.config.domain, &shared.config.origin);
    let chain = rows::signed(domain.chain);
    let settlement = domain.settlement.to_vec();
    let identity = "INSERT INTO log (chain, settlement, origin) VALUES ($1, $2, $3) \
                    ON CONFLICT DO NOTHING";
    connection.query(identity, &[&chain, &settlement, origin]).await?;
    let rows = connection.query("SELECT chain, settlement, origin FROM log", &[]).await?;
    let row = rows.first().ok_or_else(|| rows::broken("the log has no row"))?;
    let found: (i64, Vec<u8>, String) =
        (rows::get(row, 0)?, rows::get(row, 1)?, rows::get(row, 2)?);
    let named = |(chain, settlement, origin): &(i64, Vec<u8>, String)| {
        let settlement = alloy_primitives::hex::encode_prefixed(settlement);
        format!("log {origin:.200} on chain {chain} at {settlement}")
    };
    let expected = (chain, settlement, origin.clone());
    if found == expected {
        Ok(())
    } else {
        Err(Error::OtherLog { found: named(&found), expected: named(&expected) })
    }
}
