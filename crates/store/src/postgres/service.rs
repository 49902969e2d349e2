//! [`Store`] for the shared store: what changes anything is queued, the rest is read.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use vouch_core::bundle::LogProof;
use vouch_core::channel::{ChannelConfig, Mode, OnChain, SignedVoucher};
use vouch_core::log::note::NoteSignature;
use vouch_core::receipt::Receipt;

use super::task::{Reserving, Task};
use super::{PostgresStore, Shared, turn};
use crate::api::{
    Acknowledged, Begun, Call, ChannelView, Child, Claim, Observed, PayerTotals, Published, Store,
    StoredAnswer, Turn,
};
use crate::batch::{Commit, Operation};
use crate::embedded::MAX_ANSWER_BYTES;
use crate::error::{Error, Result};
use crate::hold::Hold;
use crate::pending::{Pending, Reply, answer_to};
use crate::service::{check_append, check_draft};
use crate::threads::pausing;
use crate::{publish, stream};

impl Shared {
    fn check_running(&self) -> Result<()> {
        if let Some(cause) = self.stopped.get() {
            return Err(Error::stopped(cause));
        }
        let away = self.away.lock().clone();
        away.map_or(Ok(()), |why| Err(Error::Database(why.to_string())))
    }

    fn check_chain_is_fresh(&self) -> Result<()> {
        self.config.check_fresh(self.recent_block.lock().1)
    }
}

impl PostgresStore {
    fn operation<T>(&self, operation: impl FnOnce(Reply<T>) -> Operation) -> Pending<T> {
        let (reply, pending) = Pending::new();
        self.send(Task::Do(operation(reply)));
        pending
    }

    /// Sends a task and waits for its batch.
    fn ask<T: Send + 'static>(&self, task: impl FnOnce(Reply<T>) -> Task) -> Result<T> {
        self.shared.check_running()?;
        let (reply, pending) = Pending::new();
        self.send(task(reply));
        self.block(pending)
    }

    fn enqueue(
        &self,
        hold: Option<Hold>,
        receipt: Receipt,
        answer: Vec<u8>,
        children: Vec<Child>,
    ) -> Pending<Acknowledged> {
        let openings = children.iter().map(|child| child.opening.len());
        let size_bytes = openings.fold(answer.len(), usize::saturating_add);
        let max_bytes = usize::try_from(MAX_ANSWER_BYTES).unwrap_or(usize::MAX);
        if size_bytes > max_bytes {
            return Pending::ready(Err(Error::TooLarge { size_bytes, max_bytes }));
        }
        self.operation(|reply| {
            Operation::Commit(Box::new(Commit { hold, receipt, answer, children, reply }))
        })
    }

    /// What a read gave; of a failure, nothing, since these answers have no place for one.
    fn or_nothing<T: Default>(&self, read: Result<T>) -> T {
        read.unwrap_or_else(|error| {
            tracing::warn!(%error, "the database was not read");
            T::default()
        })
    }

    fn stored_answer(&self, entry: Option<u64>) -> Result<Option<StoredAnswer>> {
        let Some(entry) = entry else { return Ok(None) };
        let shared = Arc::clone(&self.shared);
        self.block(async move { shared.stored(entry).await })
    }

    fn acknowledged(&self, entry: Option<u64>) -> Result<Option<Acknowledged>> {
        Ok(self.stored_answer(entry)?.map(|stored| stored.acknowledged))
    }

    fn entries_of(&self, stream: B256, after: u64, limit: usize) -> Result<Vec<u64>> {
        let shared = Arc::clone(&self.shared);
        self.block(async move { shared.of_stream(stream, after, limit).await })
    }

    /// Runs work of the publisher, whose answer is awaited.
    fn publishing<F>(&self, work: impl FnOnce(Arc<Shared>) -> F) -> Pending<Published>
    where
        F: Future<Output = Result<Published>> + Send + 'static,
    {
        let (reply, pending) = Pending::new();
        let work = work(Arc::clone(&self.shared));
        self.threads.spawn(async move { answer_to(reply, work.await) });
        pending
    }
}

impl Store for PostgresStore {
    fn open_channel(
        &self,
        config: ChannelConfig,
        mode: Mode,
        on_chain: OnChain,
    ) -> Pending<ChannelView> {
        self.operation(|reply| Operation::Open { config, mode, on_chain, reply })
    }

    fn observe(&self, channel: B256, on_chain: OnChain) -> Pending<Observed> {
        self.operation(|reply| Operation::Observe { channel, on_chain, reply })
    }

    fn close_channel(&self, channel: B256) -> Pending<ChannelView> {
        self.operation(|reply| Operation::Close { channel, reply })
    }

    fn accept(&self, voucher: SignedVoucher) -> Pending<u128> {
        self.operation(|reply| Operation::Accept { voucher, reply })
    }

    fn reserve(&self, call: &Call) -> Result<Begun> {
        let call = *call;
        let reserving = match self.shared.check_chain_is_fresh() {
            Ok(()) => self.ask(|reply| Task::Reserve { call, reply })?,
            // What was answered before is given again in any case.
            Err(stale) => {
                let shared = Arc::clone(&self.shared);
                let answered =
                    self.block(async move { shared.answered(call.channel, call.request).await })?;
                Reserving::Done(answered.ok_or(stale)?)
            }
        };
        match reserving {
            Reserving::New(hold) => Ok(Begun::New(hold)),
            Reserving::Done(entry) => {
                let missing = Error::Range { asked: entry, size: self.size() };
                let stored = self.stored_answer(Some(entry))?.ok_or(missing)?;
                Ok(Begun::Repeat(Box::new(stored)))
            }
        }
    }

    fn extend(&self, hold: &mut Hold, amount: u128) -> Result<()> {
        let (channel, request, epoch) = (hold.channel, hold.request, hold.epoch);
        let extended = self.ask(|reply| Task::Extend { channel, request, epoch, amount, reply })?;
        hold.reservation = Some(extended);
        Ok(())
    }

    fn commit_with(
        &self,
        hold: Hold,
        draft: Receipt,
        answer: Vec<u8>,
        children: Vec<Child>,
    ) -> Pending<Acknowledged> {
        let checked = check_draft(&hold, &draft, &self.shared.config.domain);
        match checked.and_then(|()| stream::check_children(&draft, &children)) {
            Ok(()) => self.enqueue(Some(hold), draft, answer, children),
            Err(error) => Pending::ready(Err(error)),
        }
    }

    fn append_with(
        &self,
        draft: Receipt,
        opening: Vec<u8>,
        children: Vec<Child>,
    ) -> Pending<Acknowledged> {
        match check_append(draft, &children, &self.shared.config.domain) {
            Ok(receipt) => self.enqueue(None, receipt, opening, children),
            Err(error) => Pending::ready(Err(error)),
        }
    }

    fn record_claim(&self, claim: Claim) -> Pending<()> {
        self.operation(|reply| Operation::Claim { claim, reply })
    }

    fn publish(&self, channel: B256, amount: u128) -> Pending<()> {
        self.operation(|reply| Operation::Publish { channel, amount, reply })
    }

    fn durable(&self) -> Pending<()> {
        self.operation(|reply| Operation::Barrier { reply })
    }

    fn turn(&self) -> Pending<Turn> {
        let (reply, pending) = Pending::new();
        let shared = Arc::clone(&self.shared);
        self.threads.spawn(async move { turn::give(&shared, reply).await });
        pending
    }

    fn set_recent_block(&self, hash: B256) {
        *self.shared.recent_block.lock() = (hash, self.shared.config.now_ms());
    }

    fn channel(&self, channel: &B256) -> Option<ChannelView> {
        let (shared, id) = (Arc::clone(&self.shared), *channel);
        self.or_nothing(self.block(async move { shared.view(id).await }))
    }

    fn channels(&self) -> Vec<ChannelView> {
        let shared = Arc::clone(&self.shared);
        self.or_nothing(self.block(async move { shared.views().await }))
    }

    fn payer(&self, payer: &Address) -> PayerTotals {
        let (shared, payer) = (Arc::clone(&self.shared), *payer);
        let views = self.or_nothing(self.block(async move { shared.views_of(payer).await }));
        views.iter().fold(PayerTotals::default(), |sum, view| PayerTotals {
            channels: sum.channels.saturating_add(1),
            charged: sum.charged.saturating_add(view.charged),
            reserved: sum.reserved.saturating_add(view.reserved),
            accepted: sum.accepted.saturating_add(view.accepted),
            unclaimed: sum
                .unclaimed
                .saturating_add(view.charged.saturating_sub(view.on_chain.claimed)),
        })
    }

    fn answer(&self, channel: &B256, request: &B256) -> Result<Option<StoredAnswer>> {
        let (shared, channel, request) = (Arc::clone(&self.shared), *channel, *request);
        let entry = self.block(async move { shared.answered(channel, request).await })?;
        self.stored_answer(entry)
    }

    fn receipt(&self, index: u64) -> Result<Option<Acknowledged>> {
        self.acknowledged(Some(index))
    }

    fn stored(&self, index: u64) -> Result<Option<StoredAnswer>> {
        self.stored_answer(Some(index))
    }

    fn receipt_by_digest(&self, digest: &B256) -> Result<Option<Acknowledged>> {
        let (shared, digest) = (Arc::clone(&self.shared), *digest);
        let entry = self.block(async move { shared.by_digest(digest).await })?;
        self.acknowledged(entry)
    }

    fn receipts_of(&self, stream: &B256, after: u64, limit: usize) -> Result<Vec<StoredAnswer>> {
        let entries = self.entries_of(*stream, after, limit)?;
        let stored = entries.into_iter().map(|entry| {
            let missing = Error::Range { asked: entry, size: self.size() };
            self.stored_answer(Some(entry))?.ok_or(missing)
        });
        stored.collect()
    }

    fn receipt_by_sequence(&self, channel: &B256, sequence: u64) -> Result<Option<Acknowledged>> {
        let Some(after) = sequence.checked_sub(1) else { return Ok(None) };
        let entries = self.entries_of(*channel, after, 1)?;
        let found = self.acknowledged(entries.first().copied())?;
        Ok(found.filter(|found| found.receipt.sequence == sequence))
    }

    fn size(&self) -> u64 {
        let shared = Arc::clone(&self.shared);
        self.or_nothing(self.block(async move { shared.log_size().await }))
    }

    fn publish_checkpoint(&self) -> Pending<Published> {
        self.publishing(|shared| async move { shared.publish().await })
    }

    fn add_cosignature(&self, text: String, line: NoteSignature) -> Pending<Published> {
        self.publishing(|shared| async move { shared.cosign(&text, line).await })
    }

    fn checkpoint(&self) -> Option<Published> {
        let shared = Arc::clone(&self.shared);
        self.or_nothing(self.block(async move { shared.released().await }))
    }

    fn proof(&self, index: u64) -> Result<Option<LogProof>> {
        let shared = Arc::clone(&self.shared);
        self.block(async move { shared.proof(index).await })
    }

    fn inclusion(&self, index: u64, size: u64) -> Result<Vec<B256>> {
        let shared = Arc::clone(&self.shared);
        self.block(async move { shared.inclusion(index, size).await })
    }

    fn consistency(&self, old: u64, new: u64) -> Result<Vec<B256>> {
        let shared = Arc::clone(&self.shared);
        self.block(async move { shared.consistency(old, new).await })
    }

    fn check_extends(&self, size: u64, root: B256) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.block(async move { shared.check_extends(size, root).await })
    }

    fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>> {
        pausing(|| publish::log_file(&*self.shared.tiles, path))
    }
}
