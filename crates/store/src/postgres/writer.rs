//! The gateway's writer: drains what waits, decides it under the database's lock, commits it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::connection::{Connection, Failure};
use super::decide::decide;
use super::load::{self, Keys, LOCK, LoadError, load};
use super::task::Task;
use super::{Owner, Shared, write};
use crate::batch::{Batch, Operation};
use crate::error::{Error, Result};

/// A batch has at most this many tasks and about so many bytes.
const MAX_TASKS: usize = 4096;
const MAX_BATCH_BYTES: usize = 8 << 20;
const RETRY_AFTER: Duration = Duration::from_millis(100);

const JOIN: &str = "INSERT INTO gateways (until) VALUES \
                    (clock_timestamp() + $1::bigint * interval '1 millisecond') RETURNING epoch";
const RENEW: &str = "UPDATE gateways SET until = clock_timestamp() + $2::bigint * interval '1 millisecond' \
                     WHERE epoch = $1 AND NOT lost RETURNING epoch";
const LEAVE: &str = "
    WITH publisher AS (UPDATE checkpoint SET until = 'epoch' WHERE publisher = $1)
    UPDATE gateways SET until = 'epoch' WHERE epoch = $1 RETURNING epoch";
/// Gives back what gateways have set aside whose lease is over. Under the lock.
const SWEEP: &str = "
    WITH ended AS (
        UPDATE gateways SET lost = true WHERE NOT lost AND until < clock_timestamp() RETURNING epoch
    ), gone AS (
        DELETE FROM holds USING ended WHERE holds.gateway = ended.epoch RETURNING channel, amount
    ), sums AS (
        SELECT channel, sum(amount) AS amount FROM gone GROUP BY channel
    )
    UPDATE channels SET reserved = reserved - sums.amount FROM sums WHERE id = sums.channel
    RETURNING id";
const WRITTEN: &str = "SELECT epoch FROM gateways WHERE epoch = $1 AND batch = $2";
const STATEMENTS: &[&str] = &[JOIN, RENEW, LEAVE, SWEEP, WRITTEN];

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: UnboundedReceiver<Task>,
    pub(super) sender: WeakUnboundedSender<Task>,
    pub(super) connection: Option<Connection>,
    /// The lease under which calls are set aside now.
    pub(super) owner: Arc<Owner>,
    /// Counts the batches of a lease, so that each can be found again.
    pub(super) batch: i64,
}

/// What became of an attempt.
enum Attempt {
    Done,
    /// Nothing of these was done.
    Undone(Vec<Task>, String),
}

/// Whether a transaction is in the database.
enum Written {
    Yes,
    No,
    /// Not to be known any more.
    Unknown,
}

/// A session for writing, and a lease in it.
pub(super) async fn join(shared: &Shared) -> Result<(Connection, i64), Failure> {
    let connection = open(shared).await?;
    let epoch = lease(&connection, shared).await?;
    Ok((connection, epoch))
}

async fn open(shared: &Shared) -> Result<Connection, Failure> {
    let mut connection = Connection::open(&shared.database).await?;
    for statements in [STATEMENTS, load::STATEMENTS, write::STATEMENTS] {
        connection.prepare(statements).await?;
    }
    Ok(connection)
}

async fn lease(connection: &Connection, shared: &Shared) -> Result<i64, Failure> {
    let rows = connection.query(JOIN, &[&shared.lease_ms()]).await?;
    let epoch = rows.first().and_then(|row| row.try_get(0).ok());
    let why = || "the database gave no lease".to_owned();
    epoch.ok_or_else(|| Failure { why: why(), lost: false, again: true })
}

impl Writer {
    /// Writes until every sender is gone. The next batch takes what came in during the last.
    pub(super) async fn run(mut self) {
        let lease = self.shared.database.lease;
        let mut renewal = interval(lease.checked_div(3).unwrap_or(lease));
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = renewal.tick() => self.renew().await,
                () = sleep(RETRY_AFTER), if self.connection.is_none() => {
                    drop(self.connect().await);
                }
                first = self.queue.recv() => {
                    let Some(first) = first else { break };
                    let tasks = self.drain(first);
                    let counted = tasks.iter().filter(|task| task.is_counted()).count();
                    self.shared.waiting.fetch_sub(counted, Ordering::Relaxed);
                    self.commit(tasks).await;
                }
            }
        }
        if let Some(connection) = &self.connection {
            let _left = connection.query(LEAVE, &[&self.owner.epoch]).await;
        }
    }

    fn drain(&mut self, first: Task) -> Vec<Task> {
        let mut size = first.size_bytes();
        let mut tasks = vec![first];
        while tasks.len() < MAX_TASKS && size < MAX_BATCH_BYTES {
            let Ok(next) = self.queue.try_recv() else { break };
            size = size.saturating_add(next.size_bytes());
            tasks.push(next);
        }
        tasks
    }

    async fn commit(&mut self, mut tasks: Vec<Task>) {
        while !tasks.is_empty() {
            if let Some(cause) = self.shared.stopped.get() {
                return refuse_all(tasks, || Error::stopped(cause));
            }
            match self.attempt(tasks).await {
                Attempt::Done => return,
                Attempt::Undone(undone, why) => {
                    tracing::warn!(why, "the database did not do a batch; it is tried again");
                    tasks = self.outlasting(undone, &why);
                    if !tasks.is_empty() {
                        sleep(RETRY_AFTER).await;
                    }
                }
            }
        }
    }

    /// What is worth waiting for, the rest refused.
    fn outlasting(&self, tasks: Vec<Task>, why: &str) -> Vec<Task> {
        let closing = self.sender.upgrade().is_none();
        let (kept, others): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| !closing && task.outlasts());
        refuse_all(others, || Error::Database(why.to_owned()));
        kept
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        if self.connection.as_ref().is_some_and(|connection| !connection.client.is_closed()) {
            return Ok(());
        }
        self.connection = None;
        match open(&self.shared).await {
            Ok(connection) => {
                *self.shared.away.lock() = None;
                self.connection = Some(connection);
                Ok(())
            }
            Err(failure) => {
                *self.shared.away.lock() = Some(failure.why.as_str().into());
                Err(failure)
            }
        }
    }

    async fn attempt(&mut self, tasks: Vec<Task>) -> Attempt {
        if let Err(failure) = self.connect().await {
            return Attempt::Undone(tasks, failure.why);
        }
        let shared = Arc::clone(&self.shared);
        let config = &shared.config;
        self.batch = self.batch.saturating_add(1);
        let name = (self.owner.epoch, self.batch);
        let oldest_ms = config.now_ms().saturating_sub(config.answer_retention_ms);
        let keys = Keys::of(&tasks, &config.domain);
        let Some(connection) = &self.connection else {
            return Attempt::Undone(tasks, "the connection is gone".to_owned());
        };
        let loaded = match load(connection, &keys, name, oldest_ms, &config.domain).await {
            Ok(Some(loaded)) => loaded,
            Ok(None) => {
                self.rejoin().await;
                return Box::pin(self.attempt_again(tasks)).await;
            }
            Err(LoadError::Failed(failure)) => {
                self.give_up(failure.lost).await;
                return Attempt::Undone(tasks, failure.why);
            }
            Err(LoadError::Broken(error)) => {
                self.give_up(false).await;
                refuse_all(tasks, || Error::Database(error.to_string()));
                return Attempt::Done;
            }
        };
        let size = loaded.size;
        let (mut decided, before) = decide(tasks, loaded, &self.owner, config);
        let not_before = shared.recent_block.lock().0;
        if let Err(error) = decided.batch.seal(size, not_before, config) {
            tracing::error!(%error, "the store stops");
            let cause: Arc<str> = error.to_string().into();
            decided.batch.fail(shared.stopped.get_or_init(|| cause));
            self.give_up(false).await;
            return Attempt::Done;
        }
        match write::write(connection, &decided, &before, oldest_ms).await {
            Ok(()) => decided.batch.acknowledge(),
            Err(failure) => return self.failed(decided.batch, failure, name).await,
        }
        Attempt::Done
    }

    /// Once more under a new lease; the old one's calls are refused one by one.
    async fn attempt_again(&mut self, tasks: Vec<Task>) -> Attempt {
        self.attempt(tasks).await
    }

    /// After an error in writing: nothing was done, or it is not known whether it was.
    async fn failed(&mut self, batch: Batch, failure: Failure, name: (i64, i64)) -> Attempt {
        let written = if failure.lost {
            self.connection = None;
            self.written(name, &failure.why).await
        } else {
            self.give_up(false).await;
            Written::No
        };
        match written {
            Written::Yes => {
                batch.acknowledge();
                Attempt::Done
            }
            Written::Unknown => {
                let cause = format!("whether it was done is unknown: {}", failure.why);
                batch.fail(&cause.into());
                Attempt::Done
            }
            Written::No => {
                let commits = batch.undone(&|| Error::Database(failure.why.clone()));
                let tasks =
                    commits.into_iter().map(|commit| Task::Do(Operation::Commit(Box::new(commit))));
                if failure.again {
                    return Attempt::Undone(tasks.collect(), failure.why);
                }
                tracing::error!(why = failure.why, "the database refused a batch");
                refuse_all(tasks.collect(), || Error::Database(failure.why.clone()));
                Attempt::Done
            }
        }
    }

    /// Reads back, for as long as it takes, whether a batch was committed. The lock waits for the
    /// old session to end: before, both answers would be early.
    async fn written(&mut self, (epoch, batch): (i64, i64), why: &str) -> Written {
        *self.shared.away.lock() = Some(why.into());
        while self.sender.upgrade().is_some() {
            if self.connect().await.is_ok()
                && let Some(connection) = &self.connection
            {
                let read = async {
                    connection.run("BEGIN").await?;
                    connection.query(LOCK, &[]).await?;
                    let found = connection.query(WRITTEN, &[&epoch, &batch]).await?;
                    connection.run("COMMIT").await?;
                    Ok::<_, Failure>(!found.is_empty())
                };
                match read.await {
                    Ok(true) => return Written::Yes,
                    Ok(false) => return Written::No,
                    Err(_) => self.connection = None,
                }
            }
            sleep(RETRY_AFTER).await;
        }
        Written::Unknown
    }

    /// Ends the transaction that failed, or the session with it.
    async fn give_up(&mut self, lost: bool) {
        let rolled_back = match &self.connection {
            Some(connection) if !lost => connection.run("ROLLBACK").await.is_ok(),
            _ => false,
        };
        if !rolled_back {
            self.connection = None;
            *self.shared.away.lock() = Some(Arc::from("the connection was lost"));
        }
    }

    /// Keeps the lease, and ends those of gateways that have not kept theirs.
    async fn renew(&mut self) {
        if self.connect().await.is_err() {
            return;
        }
        let (Some(connection), lease_ms) = (&self.connection, self.shared.lease_ms()) else {
            return;
        };
        let renewed = async {
            connection.run("BEGIN").await?;
            connection.query(LOCK, &[]).await?;
            let kept = connection.query(RENEW, &[&self.owner.epoch, &lease_ms]).await?;
            connection.query(SWEEP, &[]).await?;
            connection.run("COMMIT").await?;
            Ok::<_, Failure>(!kept.is_empty())
        };
        match renewed.await {
            Ok(true) => {}
            Ok(false) => self.rejoin().await,
            Err(failure) => {
                tracing::warn!(why = failure.why, "the lease was not renewed");
                self.give_up(failure.lost).await;
            }
        }
    }

    /// Takes a new lease in place of the lost one.
    async fn rejoin(&mut self) {
        self.give_up(false).await;
        let Some(connection) = &self.connection else { return };
        tracing::warn!(epoch = self.owner.epoch, "this gateway was away for longer than its lease");
        match lease(connection, &self.shared).await {
            Ok(epoch) => {
                self.owner = Arc::new(Owner { epoch, queue: self.sender.clone() });
                self.shared.epoch.store(epoch, Ordering::Relaxed);
                self.batch = 0;
            }
            Err(failure) => self.give_up(failure.lost).await,
        }
    }
}

fn refuse_all(tasks: Vec<Task>, why: impl Fn() -> Error) {
    tasks.into_iter().for_each(|task| task.refuse(why()));
}
