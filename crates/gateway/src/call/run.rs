//! Runs the engine and meters it: nothing leaves that is not covered.

use std::sync::Arc;

use alloy_primitives::B256;
use futures_util::StreamExt;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use vouch_core::{
    channel::{ChannelError, Mode},
    commitment,
    money::Usage,
    sourced::Source,
};
use vouch_model::{Engine, Event, GenerateRequest};
use vouch_store::Error as StoreError;
use vouch_wire::{
    openai::{Chunker, Endpoint, FinishReason, Head},
    sse,
    vouch::{VOUCHER_EVENT, VoucherRequired},
};

use super::{
    Call,
    caller::{Caller, Left},
    finish,
    meter::Meter,
    sourced,
};
use crate::{app::App, error::Refusal};

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The engine ended it.
    Finished { reason: FinishReason, commitment: B256 },
    /// Nobody reads any more.
    Left,
    /// No voucher, or the payer's maximum, covers more.
    OutOfFunds,
    /// The engine failed.
    Failed(vouch_model::Error),
    /// The store refused to go on, or the gateway stops.
    Interrupted,
    /// It did not begin: there is nothing to quote, or no way to show what was quoted.
    Refused(Refusal),
}

impl From<Left> for Ending {
    fn from(_: Left) -> Self {
        Self::Left
    }
}

/// A call under way.
pub(super) struct Run {
    pub(super) app: Arc<App>,
    pub(super) call: Call,
    pub(super) caller: Caller,
    engine: Arc<dyn Engine>,
    /// What the engine is asked, until it is.
    request: Option<GenerateRequest>,
    pub(super) meter: Meter,
    pub(super) chunker: Chunker,
    pub(super) seed: [u8; 32],
    /// What was put before the question, where the model is sold with sources.
    pub(super) sources: Option<Vec<Source>>,
    /// The total that the stream last asked to be signed for.
    asked_for: Option<u128>,
    wrote_first: bool,
}

/// Runs a call to its end and commits it.
pub(super) async fn run(
    app: Arc<App>,
    call: Call,
    caller: Caller,
    engine: Arc<dyn Engine>,
    mut request: GenerateRequest,
) {
    let paid = &call.paid;
    let seed = match call.asked.seed {
        Some(seed) => commitment::callers_seed(seed),
        None => commitment::derived_seed(&paid.nonce, &paid.request),
    };
    request.seed = seed;
    let chunker = Chunker::new(Head {
        endpoint: call.asked.endpoint,
        id: id(call.asked.endpoint, &paid.request),
        created: app.now_s(),
        model: call.asked.model.name.clone(),
    });
    let meter = Meter::new(call.asked.model.prices, call.asked.max_tokens);
    let mut run = Run {
        app,
        call,
        caller,
        engine,
        request: Some(request),
        meter,
        chunker,
        seed,
        sources: None,
        asked_for: None,
        wrote_first: false,
    };
    let ending = match run.find_sources().await {
        Ok(()) => run.generate().await,
        Err(ending) => ending,
    };
    finish::finish(run, ending).await;
}

/// What names an answer.
pub(super) fn id(endpoint: Endpoint, request: &B256) -> String {
    format!("{}{:x}", endpoint.id_prefix(), short(request))
}

/// Enough of a hash to tell answers apart.
fn short(hash: &B256) -> alloy_primitives::FixedBytes<12> {
    alloy_primitives::FixedBytes::from_slice(&hash[..12])
}

impl Run {
    /// Whether the answer is written as it comes. Stock clients advance their total only from a
    /// header that precedes the body, so they get it whole.
    pub(super) fn is_live(&self) -> bool {
        self.call.asked.stream && self.call.paid.mode == Mode::Session
    }

    async fn find_sources(&mut self) -> Result<(), Ending> {
        let Some(request) = &mut self.request else { return Ok(()) };
        let put = sourced::put(&self.app, &self.call.asked, &self.engine, &mut request.prompt);
        let found = tokio::select! {
            biased;
            () = self.caller.left() => return Err(Ending::Left),
            () = self.call.permit.forced() => return Err(Ending::Interrupted),
            found = put => found,
        };
        self.sources = found.map_err(Ending::Refused)?;
        Ok(())
    }

    async fn generate(&mut self) -> Ending {
        let Some(request) = self.request.take() else { return Ending::Interrupted };
        let mut events = self.engine.generate(request);
        loop {
            let event = tokio::select! {
                biased;
                () = self.caller.left() => return Ending::Left,
                () = self.call.permit.forced() => return Ending::Interrupted,
                event = events.next() => event,
            };
            let taken = match event {
                Some(Ok(event)) => self.take(event).await,
                Some(Err(error)) => Err(Ending::Failed(error)),
                None => Err(Ending::Failed(vouch_model::Error::Stopped)),
            };
            if let Err(ending) = taken {
                return ending;
            }
        }
    }

    /// Takes an event in; `Err` ends the run.
    async fn take(&mut self, event: Event) -> Result<(), Ending> {
        match event {
            Event::Started { input_ids: None, .. } if self.sources.is_some() => {
                tracing::error!("an engine without token ids was asked with sources");
                Err(Ending::Refused(Refusal::SourcesFailed))
            }
            Event::Started { input_ids, input_tokens, cached_tokens } => {
                self.meter.start(input_ids, input_tokens, cached_tokens);
                Ok(())
            }
            Event::Delta { text, ids, tokens } => {
                let usage = self.meter.with(&ids, tokens);
                self.cover(&usage).await?;
                self.meter.take(usage, &text, &ids);
                self.write_delta(text, ids).await
            }
            Event::Finished { reason, usage, commitment } => {
                self.meter.finish(usage.input_tokens, usage.cached_tokens, usage.output_tokens);
                Err(Ending::Finished { reason: reason_of(reason), commitment })
            }
        }
    }

    async fn write_delta(&mut self, text: String, ids: Vec<u32>) -> Result<(), Ending> {
        if !self.is_live() {
            return Ok(());
        }
        self.write_first().await?;
        let ids = if self.meter.has_ids() { ids } else { Vec::new() };
        let chunk = self.chunker.delta(text, ids);
        self.write(None, &chunk).await?;
        Ok(())
    }

    /// Writes the chunk with the role and the prompt's ids, if that has not been done. Not before
    /// there is something to follow it: until then a failure is still a status.
    pub(super) async fn write_first(&mut self) -> Result<(), Left> {
        if std::mem::replace(&mut self.wrote_first, true) {
            return Ok(());
        }
        let input_ids = self.meter.input_ids();
        let chunk = self.chunker.first(input_ids);
        self.write(None, &chunk).await
    }

    /// Writes one event.
    pub(super) async fn write(
        &mut self,
        name: Option<&str>,
        value: &impl Serialize,
    ) -> Result<(), Left> {
        let Ok(json) = serde_json::to_string(value) else {
            debug_assert!(false, "the wire's types have JSON forms");
            return Err(Left);
        };
        self.caller.write(sse::encode(name, &json).into()).await
    }

    /// Makes sure that the hold covers `usage`, extending it by a quantum, or waiting for the
    /// voucher that allows it.
    async fn cover(&mut self, usage: &Usage) -> Result<(), Ending> {
        let needed = self.meter.price(usage);
        if !self.is_live() {
            let covered = needed <= self.call.hold.amount();
            return if covered { Ok(()) } else { Err(Ending::OutOfFunds) };
        }
        // First: a hold at the payer's maximum has nothing more to ask for, and covers no more.
        if needed > self.call.paid.max_charge {
            return Err(Ending::OutOfFunds);
        }
        let quantum = u64::from(self.app.config.quantum_tokens);
        // Half a quantum ahead of need, so that a voucher can arrive while tokens still flow.
        let soon = self.meter.price(&Usage { output: usage.output + quantum / 2, ..*usage });
        if soon.min(self.ceiling(usage)) <= self.call.hold.amount() {
            return Ok(());
        }
        let ahead = Usage { output: usage.output + quantum, ..*usage };
        let target = self.meter.price(&ahead).min(self.ceiling(usage));
        self.extend_to(needed, target.max(needed)).await
    }

    /// What the call can cost at most, as far as is known.
    fn ceiling(&self, usage: &Usage) -> u128 {
        let most = Usage { output: self.call.asked.max_tokens.into(), ..*usage };
        self.meter.price(&most).min(self.call.paid.max_charge)
    }

    async fn extend_to(&mut self, needed: u128, target: u128) -> Result<(), Ending> {
        let deadline = Instant::now() + self.app.config.limits.voucher_timeout;
        let channel = self.call.hold.channel();
        loop {
            let waiters = self.app.wakers.register(channel);
            let woken = waiters.notified();
            tokio::pin!(woken);
            // Before the store is asked: a voucher that comes in between is not missed.
            woken.as_mut().enable();
            let short = self.try_extend(target)?;
            let Some(short) = short else {
                self.app.wakers.forget(&channel, &waiters);
                return Ok(());
            };
            self.ask_for(short).await?;
            if needed <= self.call.hold.amount() {
                self.app.wakers.forget(&channel, &waiters);
                return Ok(());
            }
            let woke = tokio::select! {
                () = self.caller.left() => Err(Ending::Left),
                () = self.call.permit.forced() => Err(Ending::Interrupted),
                woke = timeout_at(deadline, woken) => woke.map_err(|_elapsed| Ending::OutOfFunds),
            };
            if woke.is_err() {
                self.app.wakers.forget(&channel, &waiters);
            }
            woke?;
        }
    }

    /// Extends the hold to `target` or as far as the voucher goes; what is missing, if anything.
    fn try_extend(&mut self, target: u128) -> Result<Option<VoucherRequired>, Ending> {
        let hold = &mut self.call.hold;
        let more = target.saturating_sub(hold.amount());
        if more == 0 {
            return Ok(None);
        }
        let (required, accepted) = match self.app.store.extend(hold, more) {
            Ok(()) => return Ok(None),
            Err(StoreError::Channel(ChannelError::VoucherNeeded { required, accepted })) => {
                (required, accepted)
            }
            // A notice of withdrawal or a close: what is set aside is still charged.
            Err(StoreError::Channel(ChannelError::Frozen(_))) => return Err(Ending::OutOfFunds),
            Err(error) => {
                tracing::error!(%error, "a hold cannot be extended");
                return Err(Ending::Interrupted);
            }
        };
        let covered = more.saturating_sub(required.saturating_sub(accepted));
        if covered > 0 && self.app.store.extend(hold, covered).is_err() {
            // Another call was faster; the next voucher will tell.
        }
        Ok(Some(VoucherRequired { channel_id: hold.channel(), required, accepted }))
    }

    /// Asks the payer for a higher voucher, once for each total.
    async fn ask_for(&mut self, short: VoucherRequired) -> Result<(), Ending> {
        if self.asked_for == Some(short.required) {
            return Ok(());
        }
        self.asked_for = Some(short.required);
        self.write(Some(VOUCHER_EVENT), &short).await?;
        Ok(())
    }
}

fn reason_of(reason: vouch_model::FinishReason) -> FinishReason {
    match reason {
        vouch_model::FinishReason::Stop => FinishReason::Stop,
        vouch_model::FinishReason::Length => FinishReason::Length,
        vouch_model::FinishReason::ContentFilter => FinishReason::ContentFilter,
        vouch_model::FinishReason::ToolCalls => FinishReason::ToolCalls,
    }
}
