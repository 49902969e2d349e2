//! Ends a call: charge, receipt and answer in one durable write, or nothing at all.

use alloy_primitives::B256;
use tokio::time::Instant;
use vouch_core::{
    Error as CoreError, commitment,
    money::Usage,
    receipt::{Kind, Receipt, Status, Tier, VERSION, flags},
    sourced::Source,
};
use vouch_store::{Child, Error as StoreError, Hold, StoredAnswer};
use vouch_wire::{
    openai::{Answer, Ending as LastChunks, FinishReason, Head, Response},
    sse,
    vouch::RECEIPT_EVENT,
};

use super::{
    Paid,
    caller::{Caller, Left},
    meter::Meter,
    reply::acknowledgement,
    run::{Ending, Run},
    sourced,
};
use crate::{app::App, error::Refusal, offer::Asked};

/// Why a call could not be committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Core(#[from] CoreError),
}

/// How a call that is charged ended.
#[derive(Debug, Clone, Copy)]
struct Last {
    status: Status,
    reason: Option<FinishReason>,
    commitment: B256,
}

/// Ends a call.
pub(super) async fn finish(mut run: Run, ending: Ending) {
    let last = match charged(&run, ending) {
        Ok(last) => last,
        Err(refusal) => {
            // First the money, then the word: a caller that repeats at once finds it released.
            drop(run.call);
            return run.caller.refuse(refusal).await;
        }
    };
    let charge = settle(&mut run);
    let live = run.is_live();
    if let Some(sources) = &mut run.sources {
        sourced::credit(&run.call.asked.model, sources, charge).await;
    }
    if live && last.status != Status::StoppedByPayer && tell_end(&mut run, last).await.is_err() {
        tracing::debug!("the payer left before the end");
    }
    let Run { app, call, caller, meter, chunker, seed, sources, .. } = run;
    // Held to the last word, so that a stop waits for it.
    let _permit = call.permit;
    let head = chunker.into_head();
    let (asked, paid) = (&call.asked, &call.paid);
    let draft = Draft { app: &app, asked, paid, head, seed, last, sources };
    match draft.commit(call.hold, meter, charge).await {
        Ok(stored) if live => acknowledge(caller, call.paid.nonce, stored).await,
        Ok(stored) => caller.answer(stored),
        Err(error) => {
            tracing::error!(%error, "a call could not be committed");
            caller.refuse(Refusal::Lost).await;
        }
    }
}

/// What is charged, and how; the refusal where nothing is.
fn charged(run: &Run, ending: Ending) -> Result<Last, Refusal> {
    let last = |status| Ok(Last { status, reason: None, commitment: B256::ZERO });
    // What was only collected here, and never given out, is not owed.
    let delivered = run.is_live() && run.meter.usage().output > 0;
    match ending {
        Ending::Finished { reason, commitment } => {
            Ok(Last { status: Status::Complete, reason: Some(reason), commitment })
        }
        Ending::OutOfFunds => last(Status::OutOfFunds),
        Ending::Left if run.meter.has_started() => last(Status::StoppedByPayer),
        Ending::Left => Err(Refusal::Lost),
        Ending::Failed(error) if delivered => {
            tracing::warn!(%error, "the engine failed in mid-stream");
            last(Status::Failed)
        }
        Ending::Failed(error) => Err(Refusal::Engine(error)),
        Ending::Interrupted if delivered => last(Status::Failed),
        Ending::Interrupted => Err(Refusal::Stopping),
        Ending::Refused(refusal) => Err(refusal),
    }
}

/// The charge for what was generated. An engine without ids may report more at its end than was
/// set aside; what a voucher covers of that is taken, the rest is the provider's loss.
fn settle(run: &mut Run) -> u128 {
    let max_charge = run.call.paid.max_charge;
    let live = run.is_live();
    let hold = &mut run.call.hold;
    let price = run.meter.price(&run.meter.usage()).min(max_charge);
    let more = price.saturating_sub(hold.amount());
    if more > 0
        && live
        && let Err(error) = run.app.store.extend(hold, more)
    {
        tracing::debug!(%error, "a report above the hold is lowered");
    }
    run.meter.settle(hold.amount().min(max_charge))
}

/// Writes the last chunks. The disk syncs while the payer reads them; the receipt follows.
async fn tell_end(run: &mut Run, last: Last) -> Result<(), Left> {
    run.write_first().await?;
    let ending = LastChunks {
        reason: last.reason,
        usage: run.meter.usage().into(),
        include_usage: run.call.asked.include_usage,
    };
    for chunk in run.chunker.last_sourced(ending, run.sources.clone()) {
        run.write(None, &chunk).await?;
    }
    Ok(())
}

async fn acknowledge(mut caller: Caller, nonce: B256, stored: StoredAnswer) {
    let acknowledgement = acknowledgement(stored.acknowledged, nonce);
    let Ok(json) = serde_json::to_string(&acknowledgement) else { return };
    let mut bytes = sse::encode(Some(RECEIPT_EVENT), &json);
    bytes.extend_from_slice(&sse::encode(None, "[DONE]"));
    if caller.write(bytes.into()).await.is_err() {
        tracing::debug!("the payer left before the receipt");
    }
}

/// Makes an answer durable with its receipt and those of the data that it used.
pub(super) async fn commit(
    app: &App,
    hold: Hold,
    receipt: Receipt,
    answer: Vec<u8>,
    children: Vec<Child>,
) -> Result<StoredAnswer, CommitError> {
    let began = Instant::now();
    let acknowledged = app.store.commit_with(hold, receipt, answer.clone(), children).await?;
    app.metrics.committed(&acknowledged.receipt, began.elapsed());
    Ok(StoredAnswer { acknowledged, answer })
}

/// What every receipt of a call says, whatever was done.
pub(super) fn blank(app: &App, asked: &Asked, paid: &Paid, kind: Kind) -> Receipt {
    Receipt {
        version: VERSION,
        domain: app.config.domain,
        kind,
        status: Status::Complete,
        tier: asked.model.tier,
        flags: 0,
        provider: app.config.provider,
        agent: app.config.agent,
        payer: paid.channel.config.payer,
        channel: paid.channel.id,
        // The store fills sequence and cumulative in.
        sequence: 0,
        request: paid.request,
        response: B256::ZERO,
        tokens: B256::ZERO,
        usage: Usage::default(),
        model: asked.model.identity,
        sampling: B256::ZERO,
        seed: B256::ZERO,
        commitment: B256::ZERO,
        terms: asked.model.terms_hash,
        charge: 0,
        cumulative: 0,
        asset: app.config.asset.address,
        parent: B256::ZERO,
        time: app.now_ms(),
    }
}

/// All that a receipt is made of, but the charge.
struct Draft<'a> {
    app: &'a App,
    asked: &'a Asked,
    paid: &'a Paid,
    head: Head,
    seed: [u8; 32],
    last: Last,
    sources: Option<Vec<Source>>,
}

impl Draft<'_> {
    async fn commit(
        self,
        hold: Hold,
        meter: Meter,
        charge: u128,
    ) -> Result<StoredAnswer, CommitError> {
        let app = self.app;
        let nonce = self.paid.nonce;
        let sources = self.sources.clone().unwrap_or_default();
        let (receipt, answer) = self.draw(meter, charge)?;
        let children = sourced::children(&receipt, &nonce, &sources)?;
        commit(app, hold, receipt, answer, children).await
    }

    /// The receipt, and the canonical response that it commits to.
    fn draw(self, meter: Meter, charge: u128) -> Result<(Receipt, Vec<u8>), CoreError> {
        let Self { app, asked, paid, head, seed, last, sources } = self;
        let usage = meter.usage();
        let (text, mut ids) = meter.into_parts();
        if let Some(ids) = &mut ids {
            ids.sources = sources;
        }
        let tokens = match &ids {
            Some(ids) => commitment::tokens(&paid.nonce, &ids.input_ids, &ids.output_ids),
            None => commitment::tokens(&paid.nonce, &[], &[]),
        };
        let mut flags = 0;
        for (flag, set) in [
            (flags::CALLERS_SEED, asked.seed.is_some()),
            (flags::PROVIDERS_NONCE, paid.mode == vouch_core::channel::Mode::Stock),
            (flags::NO_TOKEN_IDS, ids.is_none()),
        ] {
            flags |= if set { flag } else { 0 };
        }
        let tier = if ids.is_some() { asked.model.tier } else { Tier::Signed };
        let answer = Answer { head, text, ids, reason: last.reason, usage: usage.into() };
        let response: Response = answer.into_response();
        let canonical = commitment::canonical_json(&response)?;
        let receipt = Receipt {
            status: last.status,
            tier,
            flags,
            response: commitment::response(&paid.nonce, &canonical),
            tokens,
            usage,
            sampling: asked.sampling,
            seed: commitment::seed(&paid.nonce, &seed),
            commitment: last.commitment,
            charge,
            ..blank(app, asked, paid, Kind::Inference)
        };
        Ok((receipt, canonical))
    }
}
