//! The thread that commits: the only writer of the journal.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use vouch_core::planted::{Bug, planted};
use vouch_journal::{Journal, Position};

use crate::batch::{Batch, Operation};
use crate::embedded::Shared;
use crate::error::{Error, Result};

/// A batch has at most this many operations and about so many bytes.
const MAX_OPERATIONS: usize = 8192;
const MAX_BATCH_BYTES: u64 = 8 << 20;

#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) journal: Journal,
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Receiver<Operation>,
    /// Size of the last stored checkpoint.
    pub(crate) checkpointed: u64,
}

impl Committer {
    /// Commits until every sender is gone. The next commit takes what came in during the last.
    pub(crate) fn run(mut self) {
        let _guard = StopOnPanic(Arc::clone(&self.shared));
        while let Ok(first) = self.queue.recv() {
            self.take(first);
        }
    }

    /// Commits what waits, in one batch; false if nothing does. For a store without threads.
    pub(crate) fn take_waiting(&mut self) -> bool {
        self.queue.try_recv().map(|first| self.take(first)).is_ok()
    }

    /// Commits an operation and what waits behind it.
    fn take(&mut self, first: Operation) {
        let operations = self.drain(first);
        self.shared.waiting.fetch_sub(operations.len(), Ordering::Relaxed);
        match self.shared.stopped.get() {
            Some(cause) => {
                operations.into_iter().for_each(|operation| operation.refuse(Error::stopped(cause)))
            }
            None => self.commit(operations),
        }
    }

    fn drain(&self, first: Operation) -> Vec<Operation> {
        let limit = MAX_BATCH_BYTES.min(self.shared.config.journal.segment_bytes / 4);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut size = first.size_bytes();
        let mut operations = vec![first];
        while operations.len() < MAX_OPERATIONS && size < limit {
            let Ok(next) = self.queue.try_recv() else { break };
            size = size.saturating_add(next.size_bytes());
            operations.push(next);
        }
        operations
    }

    fn commit(&mut self, operations: Vec<Operation>) {
        let shared = Arc::clone(&self.shared);
        let now_ms = shared.config.now_ms();
        let first = shared.log.read().size();
        let mut batch = Batch::new(now_ms, self.checkpointed);
        {
            let mut state = shared.state.lock();
            for operation in operations {
                batch.apply(operation, &mut state, &shared.config, first);
            }
        }
        match self.write(&mut batch, first) {
            Ok(position) => {
                if let Some(position) = position {
                    batch.log(&mut shared.log.write(), position);
                    batch.answered(&mut shared.state.lock());
                    shared.applied.store(self.journal.durable().0, Ordering::Release);
                }
                self.checkpointed = batch.checkpointed;
                batch.acknowledge();
            }
            Err(error) => {
                tracing::error!(%error, "the store stops");
                let cause: Arc<str> = error.to_string().into();
                batch.fail(shared.stopped.get_or_init(|| cause));
            }
        }
    }

    /// Makes a batch durable; `None` if it changed nothing.
    fn write(&mut self, batch: &mut Batch, first: u64) -> Result<Option<Position>> {
        let not_before = self.shared.recent_block.lock().0;
        batch.seal(first, not_before, &self.shared.config)?;
        let Some(record) = batch.record() else { return Ok(None) };
        let position = self.journal.append(record)?;
        if !planted(Bug::LostSync) {
            self.journal.sync()?;
        }
        Ok(Some(position))
    }
}

/// A broken invariant ends the committer; nothing may go on as if it ran.
struct StopOnPanic(Arc<Shared>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stopped.get_or_init(|| Arc::from("an invariant of a channel is broken"));
        }
    }
}
