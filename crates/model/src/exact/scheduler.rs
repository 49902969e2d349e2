//! The engine's thread: every request in turn, a step at a time.
//!
//! A step takes one token of every generation past its prompt, and a share of each prompt that is
//! being read, so no request waits for another's end. Requests are admitted in order of arrival while
//! their key-value memory, taken in full beforehand, fits the limit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};

use super::ExactOptions;
use super::cache::KvCache;
use super::forward::{Outputs, Runner, Segment};
use super::sequence::{Job, Sequence, Status};
use crate::Error;
use crate::tokenizer::Tokenizer;

/// Prompt tokens of one step, over all requests: some 0.1 s on two cores, the longest that a
/// generation waits for others' prompts.
const STEP_TOKENS: usize = 128;
/// The least share of a step that a prompt gets.
const SHARE_MIN: usize = 16;

/// The door to the engine's thread.
#[derive(Debug)]
pub(crate) struct Scheduler {
    queue: Arc<Mutex<Queue>>,
    thread: Option<JoinHandle<()>>,
    waker: Thread,
    waiting_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    stopped: bool,
}

impl Scheduler {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Io`] where the system gives no thread.
    pub(crate) fn start(
        runner: Runner,
        tokenizer: Arc<Tokenizer>,
        options: &ExactOptions,
    ) -> Result<Self, Error> {
        let queue: Arc<Mutex<Queue>> = Arc::default();
        let mut turn = Turn {
            runner,
            tokenizer,
            queue: Arc::clone(&queue),
            active: Vec::new(),
            first: 0,
            active_max: options.active.max(1),
            cache_bytes: options.cache_bytes,
        };
        let thread = std::thread::Builder::new()
            .name("vouch-exact".into())
            .spawn(move || turn.run())
            .map_err(|source| Error::Io { path: "threads".into(), source })?;
        let waker = thread.thread().clone();
        Ok(Self { queue, thread: Some(thread), waker, waiting_max: options.queue })
    }

    /// Queues a request.
    ///
    /// # Errors
    /// [`Error::Busy`] where the queue is full, [`Error::Stopped`] where the thread has ended.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Error> {
        {
            let mut queue = lock(&self.queue);
            if queue.stopped {
                return Err(Error::Stopped);
            }
            queue.waiting.retain(|job| !job.work.is_abandoned());
            if queue.waiting.len() >= self.waiting_max {
                return Err(Error::Busy { waiting: queue.waiting.len() });
            }
            queue.waiting.push_back(job);
        }
        self.waker.unpark();
        Ok(())
    }

    /// What wakes the thread after a reader made room or left.
    pub(crate) fn waker(&self) -> Thread {
        self.waker.clone()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        lock(&self.queue).stopped = true;
        self.waker.unpark();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the exact engine's thread panicked");
        }
    }
}

/// What the thread owns.
struct Turn {
    runner: Runner,
    tokenizer: Arc<Tokenizer>,
    queue: Arc<Mutex<Queue>>,
    active: Vec<Sequence>,
    /// Who is first to get a share of the next step's prompt tokens.
    first: usize,
    active_max: usize,
    cache_bytes: u64,
}

/// Refuses what comes and drops what waits, however the thread ends.
struct Closing(Arc<Mutex<Queue>>);

impl Drop for Closing {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.stopped = true;
        queue.waiting.clear();
    }
}

impl Turn {
    fn run(&mut self) {
        let _closing = Closing(Arc::clone(&self.queue));
        while !lock(&self.queue).stopped {
            self.active.retain(|sequence| !sequence.is_abandoned());
            self.admit();
            if !self.step() {
                // Nothing can run until somebody submits, reads or leaves; each of them unparks.
                std::thread::park();
            }
        }
    }

    /// Moves requests from the queue while there is room for them.
    fn admit(&mut self) {
        let config = &self.runner.model.config;
        let mut queue = lock(&self.queue);
        while self.active.len() < self.active_max
            && let Some(job) = queue.waiting.front()
        {
            let needed = KvCache::size_bytes(config, job.positions);
            let used: u64 = self.active.iter().map(|active| active.cache.allocated_bytes()).sum();
            if used + needed > self.cache_bytes {
                break;
            }
            if let Some(job) = queue.waiting.pop_front() {
                let cache = KvCache::new(config, job.positions);
                self.active.push(Sequence::new(job, cache));
            }
        }
    }

    /// Runs one step over all who are ready. `false` where nobody is.
    fn step(&mut self) -> bool {
        let plan = self.plan();
        if plan.is_empty() {
            return false;
        }
        let mut segments = Vec::with_capacity(plan.len());
        let mut plans = plan.iter().peekable();
        for (index, sequence) in self.active.iter_mut().enumerate() {
            if let Some(&(_, count, outputs)) = plans.next_if(|plan| plan.0 == index) {
                let fed = sequence.cache.length();
                segments.push(Segment {
                    cache: &mut sequence.cache,
                    tokens: &sequence.tokens[fed..fed + count],
                    outputs,
                });
            }
        }
        self.runner.step(&mut segments);
        self.hand_out(&plan);
        self.first = self.first.wrapping_add(1);
        true
    }

    /// (index, tokens to feed, outputs) of those who take part in the next step, by index.
    fn plan(&self) -> Vec<(usize, usize, Outputs)> {
        let ready = |sequence: &Sequence| sequence.is_ready() && sequence.pending() > 0;
        let reading = |sequence: &Sequence| ready(sequence) && sequence.pending() > 1;
        let readers = self.active.iter().filter(|sequence| reading(sequence)).count().max(1);
        let share = (STEP_TOKENS / readers).max(SHARE_MIN);
        let (mut left, mut plan) = (STEP_TOKENS, Vec::new());
        for turn in 0..self.active.len() {
            let index = (self.first % self.active.len() + turn) % self.active.len();
            let sequence = &self.active[index];
            if !ready(sequence) {
                continue;
            }
            let budget = if reading(sequence) { share.min(left) } else { 1 };
            if budget > 0 {
                let (count, outputs) = sequence.plan(budget);
                left -= count.min(left);
                plan.push((index, count, outputs));
            }
        }
        plan.sort_unstable_by_key(|plan| plan.0);
        plan
    }

    /// Gives each participant its outputs, and lets those go who are done.
    fn hand_out(&mut self, plan: &[(usize, usize, Outputs)]) {
        let mut rows = self.runner.hidden().zip(self.runner.logits());
        let mut done = Vec::new();
        for &(index, count, outputs) in plan {
            let outputs = match outputs {
                Outputs::None => 0,
                Outputs::Last => 1,
                Outputs::All => count,
            };
            for (hidden, logits) in rows.by_ref().take(outputs) {
                if self.active[index].take(&self.tokenizer, hidden, logits) == Status::Done {
                    done.push(index);
                }
            }
        }
        for index in done.into_iter().rev() {
            self.active.remove(index);
        }
    }
}

/// The queue is whole between any two statements, so a panic elsewhere does not matter.
fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
