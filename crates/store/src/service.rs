//! [`Store`] for the embedded store: what needs the disk is queued, the rest is done here.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use vouch_core::bundle::LogProof;
use vouch_core::channel::{ChannelConfig, Mode, OnChain, Reservation, SignedVoucher};
use vouch_core::domain::Domain;
use vouch_core::log::note::NoteSignature;
use vouch_core::receipt::{Kind, Receipt};

use crate::api::{
    Acknowledged, Begun, Call, ChannelView, Child, Claim, Observed, PayerTotals, Published, Store,
    StoredAnswer,
};
use crate::batch::Operation;
use crate::embedded::{EmbeddedStore, Shared};
use crate::error::{Error, Result};
use crate::hold::{Hold, Release};
use crate::pending::Pending;
use crate::publish::{self, Request};
use crate::state::{Account, Reserved};
use crate::stream;

impl Release for Shared {
    fn release(&self, channel: &B256, request: &B256, reservation: Reservation) {
        self.state.lock().release(channel, request, reservation);
    }
}

impl Shared {
    fn check_running(&self) -> Result<()> {
        self.stopped.get().map_or(Ok(()), |cause| Err(Error::stopped(cause)))
    }

    /// Sets money aside for a call, unless it was answered or is in flight.
    fn set_aside(&self, call: &Call) -> Result<Reserved> {
        loop {
            let index = self.log.read().index();
            if let Some(done) = self.indexed_answer(&index, &call.channel, &call.request)? {
                return Ok(Reserved::Done(done));
            }
            let mut state = self.state.lock();
            // Else an answer may have left memory for an index newer than the one searched.
            if state.forgotten <= index.size() {
                return state.reserve(call, self.config.oldest_answer_ms());
            }
        }
    }

    fn check_chain_is_fresh(&self) -> Result<()> {
        self.config.check_fresh(self.recent_block.lock().1)
    }
}

/// What must not differ between a call and its receipt.
pub(crate) fn check_draft(hold: &Hold, draft: &Receipt, domain: &Domain) -> Result<()> {
    let wrong = [
        ("channel", draft.channel != hold.channel),
        ("request", draft.request != hold.request),
        ("payer", draft.payer != hold.payer),
        ("asset", draft.asset != hold.asset),
        ("domain", draft.domain != *domain),
        ("version or flags", draft.check().is_err()),
        ("kind", draft.kind == Kind::DataUse),
    ];
    wrong.iter().find(|(_, wrong)| *wrong).map_or(Ok(()), |(what, _)| Err(Error::Draft(what)))
}

/// A receipt that no channel pays for, as it is logged.
pub(crate) fn check_append(draft: Receipt, children: &[Child], domain: &Domain) -> Result<Receipt> {
    let wrong = [
        ("channel", !draft.channel.is_zero()),
        ("domain, version or flags", draft.domain != *domain || draft.check().is_err()),
        ("kind", draft.kind == Kind::DataUse),
    ];
    if let Some((what, _)) = wrong.iter().find(|(_, wrong)| *wrong) {
        return Err(Error::Draft(what));
    }
    let receipt = Receipt { sequence: 0, cumulative: 0, ..draft };
    stream::check_children(&receipt, children).map(|()| receipt)
}

impl Store for EmbeddedStore {
    fn open_channel(
        &self,
        config: ChannelConfig,
        mode: Mode,
        on_chain: OnChain,
    ) -> Pending<ChannelView> {
        let (reply, pending) = Pending::new();
        self.send(Operation::Open { config, mode, on_chain, reply });
        pending
    }

    fn observe(&self, channel: B256, on_chain: OnChain) -> Pending<Observed> {
        let (reply, pending) = Pending::new();
        self.send(Operation::Observe { channel, on_chain, reply });
        pending
    }

    fn close_channel(&self, channel: B256) -> Pending<ChannelView> {
        let (reply, pending) = Pending::new();
        self.send(Operation::Close { channel, reply });
        pending
    }

    fn accept(&self, voucher: SignedVoucher) -> Pending<u128> {
        let (reply, pending) = Pending::new();
        self.send(Operation::Accept { voucher, reply });
        pending
    }

    fn reserve(&self, call: &Call) -> Result<Begun> {
        self.shared.check_running()?;
        let reserved = match self.shared.check_chain_is_fresh() {
            Ok(()) => self.shared.set_aside(call)?,
            // What was answered before is given again in any case.
            Err(stale) => {
                let answered = self.shared.answer(&call.channel, &call.request)?;
                Reserved::Done(answered.ok_or(stale)?)
            }
        };
        match reserved {
            Reserved::New { reservation, payer, asset } => Ok(Begun::New(Hold {
                channel: call.channel,
                request: call.request,
                payer,
                asset,
                reservation: Some(reservation),
                epoch: 0,
                owner: Arc::clone(&self.shared) as Arc<dyn Release>,
            })),
            Reserved::Done(index) => {
                let answer = self.shared.stored_answer(index)?;
                let missing = Error::Range { asked: index, size: self.size() };
                Ok(Begun::Repeat(Box::new(answer.ok_or(missing)?)))
            }
        }
    }

    fn extend(&self, hold: &mut Hold, amount: u128) -> Result<()> {
        self.shared.check_running()?;
        let reservation = hold.reservation.as_mut().ok_or(Error::Draft("hold"))?;
        self.shared.state.lock().extend(&hold.channel, reservation, amount)
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
        let (reply, pending) = Pending::new();
        self.send(Operation::Claim { claim, reply });
        pending
    }

    fn publish(&self, channel: B256, amount: u128) -> Pending<()> {
        let (reply, pending) = Pending::new();
        self.send(Operation::Publish { channel, amount, reply });
        pending
    }

    fn durable(&self) -> Pending<()> {
        let (reply, pending) = Pending::new();
        self.send(Operation::Barrier { reply });
        pending
    }

    fn set_recent_block(&self, hash: B256) {
        *self.shared.recent_block.lock() = (hash, self.shared.config.now_ms());
    }

    fn channel(&self, channel: &B256) -> Option<ChannelView> {
        self.shared.state.lock().account(channel).map(Account::view)
    }

    fn channels(&self) -> Vec<ChannelView> {
        self.shared.state.lock().views()
    }

    fn payer(&self, payer: &Address) -> PayerTotals {
        self.shared.state.lock().payer(payer)
    }

    fn answer(&self, channel: &B256, request: &B256) -> Result<Option<StoredAnswer>> {
        let index = self.shared.answer(channel, request)?;
        index.map_or(Ok(None), |index| self.shared.stored_answer(index))
    }

    fn receipt(&self, index: u64) -> Result<Option<Acknowledged>> {
        self.shared.acknowledged(index)
    }

    fn stored(&self, index: u64) -> Result<Option<StoredAnswer>> {
        self.shared.stored_answer(index)
    }

    fn receipt_by_digest(&self, digest: &B256) -> Result<Option<Acknowledged>> {
        let index = self.shared.find(digest)?;
        index.map_or(Ok(None), |index| self.shared.acknowledged(index))
    }

    fn receipts_of(&self, stream: &B256, after: u64, limit: usize) -> Result<Vec<StoredAnswer>> {
        let mut stored = Vec::new();
        let mut sequence = after;
        for _ in 0..limit {
            sequence = sequence.saturating_add(1);
            let Some(index) = self.shared.find_sequence(stream, sequence)? else { break };
            stored.extend(self.shared.stored_answer(index)?);
        }
        Ok(stored)
    }

    fn receipt_by_sequence(&self, channel: &B256, sequence: u64) -> Result<Option<Acknowledged>> {
        let index = self.shared.find_sequence(channel, sequence)?;
        index.map_or(Ok(None), |index| self.shared.acknowledged(index))
    }

    fn size(&self) -> u64 {
        self.shared.log.read().size()
    }

    fn publish_checkpoint(&self) -> Pending<Published> {
        let (reply, pending) = Pending::new();
        self.ask_publisher(Request::Publish(reply));
        pending
    }

    fn add_cosignature(&self, text: String, line: NoteSignature) -> Pending<Published> {
        let (reply, pending) = Pending::new();
        self.ask_publisher(Request::Cosign { text, line, reply });
        pending
    }

    fn checkpoint(&self) -> Option<Published> {
        self.shared.published.read().clone()
    }

    fn proof(&self, index: u64) -> Result<Option<LogProof>> {
        self.shared.proof(index)
    }

    fn inclusion(&self, index: u64, size: u64) -> Result<Vec<B256>> {
        self.shared.inclusion(index, size)
    }

    fn consistency(&self, old: u64, new: u64) -> Result<Vec<B256>> {
        self.shared.consistency(old, new)
    }

    fn check_extends(&self, size: u64, root: B256) -> Result<()> {
        self.shared.log.read().check_extends(size, root)
    }

    fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>> {
        publish::log_file(&*self.shared.tiles, path)
    }
}
