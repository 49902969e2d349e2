//! Bounds how many calls run and wait, and ends them in order when the process stops.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

use crate::{config::Limits, error::Refusal};

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    /// No new calls.
    Draining,
    /// Calls commit what they have.
    Forced,
}

/// The calls under way.
#[derive(Debug)]
pub(crate) struct Work {
    permits: Arc<Semaphore>,
    max_running: u32,
    waiting: AtomicUsize,
    max_waiting: usize,
    queue_timeout: Duration,
    stage: watch::Sender<Stage>,
}

/// Leave to run one call; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _slot: OwnedSemaphorePermit,
    stage: watch::Receiver<Stage>,
}

impl Permit {
    /// Resolves when the call must end at once.
    pub(crate) async fn forced(&mut self) {
        if self.stage.wait_for(|stage| *stage == Stage::Forced).await.is_err() {
            // The gateway itself is gone: as forced as it gets.
        }
    }
}

impl Work {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limits.max_running as usize)),
            max_running: limits.max_running,
            waiting: AtomicUsize::new(0),
            max_waiting: limits.max_waiting,
            queue_timeout: limits.queue_timeout,
            stage: watch::Sender::new(Stage::Running),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stage.borrow() != Stage::Running
    }

    pub(crate) fn running(&self) -> usize {
        self.max_running as usize - self.permits.available_permits()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for a turn.
    pub(crate) async fn admit(&self) -> Result<Permit, Refusal> {
        let slot = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => self.queue().await?,
        };
        let permit = Permit { _slot: slot, stage: self.stage.subscribe() };
        // Checked with the permit in hand: a stop counts this call from now on.
        if self.is_stopping() { Err(Refusal::Stopping) } else { Ok(permit) }
    }

    async fn queue(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let _waiting = Waiting::enter(&self.waiting, self.max_waiting)?;
        match timeout(self.queue_timeout, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_closed)) => Err(Refusal::Stopping),
            Err(_elapsed) => Err(Refusal::TooBusy),
        }
    }

    /// Takes no new calls and waits for those that run; after `grace` they commit what they have.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.advance(Stage::Draining);
        if timeout(grace, self.idle()).await.is_ok() {
            return;
        }
        self.advance(Stage::Forced);
        // What remains is one commit a call; a disk that takes longer is no longer waited for.
        if timeout(Duration::from_secs(5), self.idle()).await.is_err() {
            tracing::error!(running = self.running(), "calls did not end in time");
        }
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let forward = *stage < to;
            *stage = (*stage).max(to);
            forward
        });
    }

    async fn idle(&self) {
        // Granting this drops the permits again at once: later callers find the stage.
        if self.permits.acquire_many(self.max_running).await.is_err() {
            tracing::debug!("the permits were closed");
        }
    }
}

/// Counts a waiting call for as long as it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, max: usize) -> Result<Self, Refusal> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let entered = Self(count);
        if before >= max { Err(Refusal::TooBusy) } else { Ok(entered) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
