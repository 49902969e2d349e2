//! One request inside the engine: what it feeds next, and what it does with what comes out.

use alloy_primitives::B256;
use tokio::sync::{mpsc, oneshot};

use super::cache::KvCache;
use super::forward::Outputs;
use super::text::TextStream;
use super::{Mismatch, Replay};
use crate::commitment::Commitment;
use crate::sample::Sampler;
use crate::tokenizer::Tokenizer;
use crate::{Error, Event, FinishReason, Usage};

/// A request with its tokens and its cache.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) cache: KvCache,
    /// All tokens known so far; those from `cache.length()` on have not been fed.
    pub(crate) tokens: Vec<u32>,
    work: Work,
}

/// What a request waits with until there is memory for it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) tokens: Vec<u32>,
    /// Positions it may come to need.
    pub(crate) positions: usize,
    pub(crate) work: Work,
}

#[derive(Debug)]
pub(crate) enum Work {
    Generate(Box<Generation>),
    Replay(Box<Comparison>),
}

/// Whether a sequence goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Done,
}

/// A generation under way.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) sampler: Sampler,
    pub(crate) text: TextStream,
    pub(crate) commitment: Commitment,
    pub(crate) input_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) max_tokens: u32,
    pub(crate) events: mpsc::Sender<Result<Event, Error>>,
}

/// An answer that is compared with what the model gives.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) sampler: Sampler,
    pub(crate) commitment: Commitment,
    pub(crate) input_tokens: usize,
    pub(crate) claimed: Vec<u32>,
    pub(crate) compared: usize,
    pub(crate) mismatch: Option<Mismatch>,
    pub(crate) verdict: Option<oneshot::Sender<Result<Replay, Error>>>,
}

/// Events that one step of a generation may send: a delta and the end.
const EVENTS_PER_STEP: usize = 2;

impl Sequence {
    pub(crate) fn new(job: Job, cache: KvCache) -> Self {
        Self { cache, tokens: job.tokens, work: job.work }
    }

    /// Whether whoever asked has left.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.work.is_abandoned()
    }

    /// Whether its reader has room for what a step may send.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.work {
            Work::Generate(generation) => generation.events.capacity() >= EVENTS_PER_STEP,
            Work::Replay(_) => true,
        }
    }

    /// Tokens that wait to be fed: 1 for a generation past its prompt.
    pub(crate) fn pending(&self) -> usize {
        self.tokens.len() - self.cache.length()
    }

    /// How many of at most `budget` tokens to feed now, and which outputs that gives.
    pub(crate) fn plan(&self, budget: usize) -> (usize, Outputs) {
        let pending = self.pending();
        let count = pending.min(budget);
        match &self.work {
            Work::Generate(_) if count == pending => (count, Outputs::Last),
            Work::Generate(_) => (count, Outputs::None),
            Work::Replay(comparison) => {
                // The last token of the prompt is the first that has an output to compare.
                match (comparison.input_tokens - 1).saturating_sub(self.cache.length()) {
                    0 => (count, Outputs::All),
                    prompt => (count.min(prompt), Outputs::None),
                }
            }
        }
    }

    /// Takes one output: the hidden state and its logits.
    pub(crate) fn take(&mut self, tokenizer: &Tokenizer, hidden: &[f32], logits: &[f32]) -> Status {
        match &mut self.work {
            Work::Generate(generation) => match generation.take(tokenizer, hidden, logits) {
                Ok((id, status)) => {
                    self.tokens.push(id);
                    status
                }
                Err(error) => {
                    generation.send(Err(error));
                    Status::Done
                }
            },
            Work::Replay(comparison) => comparison.take(hidden, logits),
        }
    }
}

impl Work {
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            Self::Generate(generation) => generation.events.is_closed(),
            Self::Replay(comparison) => {
                comparison.verdict.as_ref().is_none_or(oneshot::Sender::is_closed)
            }
        }
    }
}

impl Generation {
    fn take(
        &mut self,
        tokenizer: &Tokenizer,
        hidden: &[f32],
        logits: &[f32],
    ) -> Result<(u32, Status), Error> {
        self.commitment.push(hidden);
        let drawn = self.sampler.draw(logits, u64::from(self.output_tokens));
        let id = drawn.ok_or_else(not_finite)?;
        self.output_tokens += 1;
        let ends = tokenizer.is_end_of_generation(id);
        // Control tokens have ids and a price, but no place in the text.
        let bytes = if tokenizer.is_control(id) { &[] } else { tokenizer.token_bytes(id) };
        let mut pushed = self.text.push(if ends { &[] } else { bytes });
        let reason = if ends || pushed.stopped {
            Some(FinishReason::Stop)
        } else {
            (self.output_tokens >= self.max_tokens).then_some(FinishReason::Length)
        };
        if reason.is_some() && !pushed.stopped {
            pushed.text.push_str(&self.text.finish());
        }
        self.send(Ok(Event::Delta { text: pushed.text, ids: vec![id], tokens: 1 }));
        let Some(reason) = reason else { return Ok((id, Status::Running)) };
        self.finish(reason);
        Ok((id, Status::Done))
    }

    fn finish(&mut self, reason: FinishReason) {
        let usage = Usage {
            input_tokens: self.input_tokens,
            cached_tokens: 0,
            output_tokens: self.output_tokens,
            estimated: false,
        };
        let commitment = self.commitment.root();
        self.send(Ok(Event::Finished { reason, usage, commitment }));
    }

    fn send(&mut self, event: Result<Event, Error>) {
        // Room was checked before the step, so this fails only where the reader has left, which
        // the next look at `is_abandoned` finds.
        if let Err(error) = self.events.try_send(event) {
            tracing::trace!(%error, "an event had no reader");
        }
    }
}

impl Comparison {
    fn take(&mut self, hidden: &[f32], logits: &[f32]) -> Status {
        self.commitment.push(hidden);
        let position = self.compared;
        let Some(drawn) = self.sampler.draw(logits, position as u64) else {
            self.answer(Err(not_finite()));
            return Status::Done;
        };
        let claimed = self.claimed[position];
        if drawn != claimed && self.mismatch.is_none() {
            self.mismatch = Some(Mismatch { position: position as u32, drawn, claimed });
        }
        self.compared += 1;
        if self.compared < self.claimed.len() {
            return Status::Running;
        }
        let (mismatch, commitment) = (self.mismatch, self.commitment.root());
        self.answer(Ok(Replay { mismatch, commitment }));
        Status::Done
    }

    fn answer(&mut self, verdict: Result<Replay, Error>) {
        if let Some(sender) = self.verdict.take()
            && sender.send(verdict).is_err()
        {
            tracing::trace!("nobody waits for a replay any more");
        }
    }
}

impl Replay {
    /// Whether the ids are what the model draws and the commitment is what it computes.
    #[must_use]
    pub fn confirms(&self, commitment: &B256) -> bool {
        self.mismatch.is_none() && self.commitment == *commitment
    }
}

fn not_finite() -> Error {
    Error::Unsupported {
        model: "the model".into(),
        detail: "its logits are not finite numbers".into(),
    }
}
