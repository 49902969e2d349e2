//! The buyer's books: a pure fold over [`Record`]s, and what may be signed next.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use vouch_core::{
    Address, B256,
    channel::{SignedVoucher, Voucher},
};
use vouch_wallet::{Budget, BudgetError};
use vouch_wire::vouch::ProviderDocument;

use super::record::{Call, Deposit, Entry, FORMAT, Opened, Record};
use crate::Misconduct;

/// A channel as the buyer sees it.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) opened: Opened,
    /// What settled on the chain.
    pub(crate) funded: u128,
    /// A deposit that was signed and may settle.
    pub(crate) pending: Option<Deposit>,
    /// The highest voucher that was signed. Nothing lower is signed again.
    pub(crate) best: Option<SignedVoucher>,
    pub(crate) charged: u128,
    /// What the provider took on the chain without a receipt, by the time it was closed: spent.
    lost: u128,
    pub(crate) phase: Phase,
    /// By sequence: digest, charge, cumulative.
    receipts: BTreeMap<u64, (B256, u128, u128)>,
}

/// Where a channel is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It pays for calls.
    Open,
    /// It is being closed.
    Closing,
    /// It is settled.
    Closed,
}

impl Channel {
    /// Nothing more is signed for it.
    fn stop(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
        }
    }

    pub(crate) fn signed(&self) -> u128 {
        self.best.map_or(0, |best| best.voucher.max_claimable_amount)
    }

    /// What was signed for and has no receipt.
    pub(crate) fn ahead(&self) -> u128 {
        self.signed().saturating_sub(self.charged)
    }

    /// What the deposit will cover once a pending one has settled.
    pub(crate) fn covers(&self) -> u128 {
        self.funded.saturating_add(self.pending.map_or(0, |deposit| deposit.amount))
    }
}

/// What may be signed next for a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Raise {
    /// The best voucher is enough.
    Enough(SignedVoucher),
    /// This is to be signed.
    Sign(Voucher),
}

/// Why a voucher is not signed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RaiseError {
    #[error(transparent)]
    Budget(#[from] BudgetError),
    #[error(
        "the provider wants {required} signed for, but the calls in flight can bring the total to \
         {bound} at most"
    )]
    Overreach { required: u128, bound: u128 },
    #[error(
        "{required} must be signed for, but the deposit covers {covered}: the next call tops it up"
    )]
    Deposit { required: u128, covered: u128 },
    #[error("the channel is closed or closing: the next call opens another")]
    Closed,
    #[error("the provider {provider} is not dealt with any more: {why}")]
    Distrusted { provider: Address, why: String },
}

/// Everything that the records say.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) budget: Budget,
    pub(crate) documents: BTreeMap<String, ProviderDocument>,
    pub(crate) channels: BTreeMap<B256, Channel>,
    pub(crate) calls: BTreeMap<B256, Call>,
    pub(crate) receipts: Vec<Entry>,
    pub(crate) unlogged: BTreeMap<B256, Entry>,
    pub(crate) checkpoints: BTreeMap<Address, String>,
    pub(crate) distrusted: BTreeMap<Address, String>,
    by_index: BTreeMap<(Address, u64), B256>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            // Caps are the policy's, and apply to what is signed from now on, not to history.
            budget: Budget::new(u128::MAX, u128::MAX),
            documents: BTreeMap::new(),
            channels: BTreeMap::new(),
            calls: BTreeMap::new(),
            receipts: Vec::new(),
            unlogged: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            distrusted: BTreeMap::new(),
            by_index: BTreeMap::new(),
        }
    }
}

impl Ledger {
    /// Takes a record in; fails if it does not follow from those before it.
    pub(crate) fn apply(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Format(FORMAT) => {}
            Record::Format(other) => return Err(format!("its format is {other}, not {FORMAT}")),
            Record::Provider { url, document } => drop(self.documents.insert(url, *document)),
            Record::Channel(opened) => self.open(*opened),
            Record::Deposit(deposit) => self.channel(&deposit.channel)?.pending = Some(deposit),
            Record::DepositEnded { channel, settled } => self.end_deposit(&channel, settled)?,
            Record::Voucher(voucher) => self.sign(voucher)?,
            Record::Call(call) => drop(self.calls.insert(call.nonce, *call)),
            Record::Received(entry) => self.receive(*entry)?,
            Record::Abandoned { nonce } => drop(self.calls.remove(&nonce)),
            Record::Checkpoint { provider, note } => drop(self.checkpoints.insert(provider, note)),
            Record::Distrusted { provider, why } => drop(self.distrusted.insert(provider, why)),
            Record::Logged { digest } => drop(self.unlogged.remove(&digest)),
            Record::Closing { channel } => self.channel(&channel)?.stop(),
            Record::Closed { channel, claimed } => self.close(&channel, claimed)?,
        }
        Ok(())
    }

    /// Whether a record follows from those before it. To be asked before it is written: one that
    /// does not would be met again at every start.
    pub(crate) fn check(&self, record: &Record) -> Result<(), String> {
        let known = |id: &B256| {
            self.channels.get(id).ok_or_else(|| format!("channel {id} was never opened"))
        };
        match record {
            Record::Deposit(Deposit { channel, .. })
            | Record::DepositEnded { channel, .. }
            | Record::Closing { channel }
            | Record::Closed { channel, .. } => known(channel).map(drop),
            Record::Voucher(SignedVoucher { voucher, .. }) => {
                let signed = known(&voucher.channel_id)?.signed();
                let increase = voucher.max_claimable_amount.checked_sub(signed);
                let mut budget = self.budget;
                let increase = increase.ok_or("a voucher is lower than the one before it")?;
                budget.sign(increase).map_err(|error| error.to_string())
            }
            Record::Received(entry) if entry.charge > known(&entry.channel)?.ahead() => {
                Err("a receipt counts more than was signed for".into())
            }
            _ => Ok(()),
        }
    }

    fn channel(&mut self, id: &B256) -> Result<&mut Channel, String> {
        self.channels.get_mut(id).ok_or_else(|| format!("channel {id} was never opened"))
    }

    fn open(&mut self, opened: Opened) {
        let channel = Channel {
            funded: 0,
            pending: None,
            best: None,
            charged: 0,
            lost: 0,
            phase: Phase::Open,
            receipts: BTreeMap::new(),
            opened,
        };
        self.channels.insert(channel.opened.config.id(&channel.opened.domain), channel);
    }

    fn end_deposit(&mut self, channel: &B256, settled: bool) -> Result<(), String> {
        let channel = self.channel(channel)?;
        if let Some(deposit) = channel.pending.take()
            && settled
        {
            channel.funded = channel.funded.saturating_add(deposit.amount);
        }
        Ok(())
    }

    fn sign(&mut self, voucher: SignedVoucher) -> Result<(), String> {
        let channel = self.channel(&voucher.voucher.channel_id)?;
        let increase = voucher.voucher.max_claimable_amount.checked_sub(channel.signed());
        let increase = increase.ok_or("a voucher is lower than the one before it")?;
        channel.best = Some(voucher);
        self.budget.sign(increase).map_err(|error| error.to_string())
    }

    fn receive(&mut self, entry: Entry) -> Result<(), String> {
        self.calls.remove(&entry.nonce);
        let channel = self.channel(&entry.channel)?;
        let place = (entry.digest, entry.charge, entry.cumulative);
        channel.receipts.entry(entry.sequence).or_insert(place);
        channel.charged = channel.charged.saturating_add(entry.charge);
        // Of a closed channel the chain has said what is spent; a late receipt only explains it.
        channel.lost = channel.lost.saturating_sub(entry.charge);
        if channel.phase != Phase::Closed {
            self.budget.charge(entry.charge).map_err(|error| error.to_string())?;
        }
        self.by_index.entry((entry.provider, entry.index)).or_insert(entry.digest);
        match &entry.misconduct {
            // In the same record, so that no crash comes between the two.
            Some(why) => drop(self.distrusted.insert(entry.provider, why.clone())),
            None => drop(self.unlogged.insert(entry.digest, entry.clone())),
        }
        self.receipts.push(entry);
        Ok(())
    }

    /// `claimed` is all that the provider has ever taken, and can take, of the channel.
    fn close(&mut self, id: &B256, claimed: u128) -> Result<(), String> {
        let channel = self.channel(id)?;
        if channel.phase == Phase::Closed {
            return Ok(());
        }
        let ahead = channel.ahead();
        let lost = claimed.saturating_sub(channel.charged).min(ahead);
        channel.phase = Phase::Closed;
        channel.lost = lost;
        self.budget.charge(lost).map_err(|error| error.to_string())?;
        self.budget.free(ahead.saturating_sub(lost)).map_err(|error| error.to_string())
    }

    /// The channel that pays this provider here, if one is open.
    pub(crate) fn open_channel(
        &self,
        url: &str,
        provider: Address,
        token: Address,
    ) -> Option<B256> {
        let fits = |channel: &Channel| {
            channel.phase == Phase::Open
                && channel.opened.url == url
                && channel.opened.config.receiver == provider
                && channel.opened.config.token == token
        };
        self.channels.iter().find(|(_, channel)| fits(channel)).map(|(id, _)| *id)
    }

    /// Whether calls of a channel are in flight.
    pub(crate) fn is_busy(&self, id: &B256) -> bool {
        self.calls.values().any(|call| call.channel() == *id)
    }

    /// The most that the channel's total can reach: what was charged and what the calls in flight
    /// may cost. Nothing is signed above it, whatever the provider asks for.
    pub(crate) fn bound(&self, id: &B256) -> u128 {
        let charged = self.channels.get(id).map_or(0, |channel| channel.charged);
        let in_flight = self.calls.values().filter(|call| call.channel() == *id);
        in_flight.fold(charged, |sum, call| sum.saturating_add(call.allowance()))
    }

    /// The total that the deposit must cover so that no call in flight stands still for want of
    /// one; `None` if it does.
    pub(crate) fn wants_deposit(&self, id: &B256) -> Option<u128> {
        let channel = self.channels.get(id)?;
        let in_flight = self.calls.values().filter(|call| call.channel() == *id);
        let most =
            in_flight.fold(channel.charged, |sum, call| sum.saturating_add(call.max_charge()));
        let total = most.min(channel.signed().saturating_add(self.budget.left()));
        (total > channel.covers()).then_some(total)
    }

    /// What to sign so that the provider can go on: as far ahead as bound, budget and deposit
    /// allow, and at least `required`.
    pub(crate) fn raise(&self, id: &B256, required: u128) -> Result<Raise, RaiseError> {
        let channel = self.channels.get(id).ok_or(RaiseError::Closed)?;
        if let Some(why) = self.stopped(channel) {
            // What is signed already stays good for asking for a call's receipt.
            let best = channel.best.filter(|_| required <= channel.signed());
            return best.map(Raise::Enough).ok_or(why);
        }
        let bound = self.bound(id);
        if required > bound {
            return Err(RaiseError::Overreach { required, bound });
        }
        let (signed, covered) = (channel.signed(), channel.covers());
        let affordable = bound.min(signed.saturating_add(self.budget.left())).max(signed);
        // A voucher that allows nothing beyond the charges buys nothing.
        let least = required.max(channel.charged.saturating_add(1).min(bound));
        if affordable < least {
            let mut budget = self.budget;
            budget.sign(least.saturating_sub(signed))?;
        }
        if covered < least {
            return Err(RaiseError::Deposit { required: least, covered });
        }
        let target = affordable.min(covered).max(signed);
        match channel.best {
            Some(best) if target == signed => Ok(Raise::Enough(best)),
            _ => Ok(Raise::Sign(Voucher { channel_id: *id, max_claimable_amount: target })),
        }
    }

    /// Why nothing more is signed for a channel, if so.
    fn stopped(&self, channel: &Channel) -> Option<RaiseError> {
        let provider = channel.opened.config.receiver;
        match self.distrusted.get(&provider) {
            Some(why) => Some(RaiseError::Distrusted { provider, why: why.clone() }),
            None => (channel.phase != Phase::Open).then_some(RaiseError::Closed),
        }
    }

    /// Whether a receipt has the place of another, in its channel or in the log: the faults that
    /// two signatures prove to anyone.
    pub(crate) fn reuses(&self, entry: &Entry) -> Option<Misconduct> {
        let Entry { digest, sequence, index, .. } = *entry;
        let channel = self.channels.get(&entry.channel);
        let there = channel.and_then(|channel| channel.receipts.get(&sequence));
        if there.is_some_and(|(other, ..)| *other != digest) {
            return Some(Misconduct::SequenceReused { sequence });
        }
        let there = self.by_index.get(&(entry.provider, index));
        there.is_some_and(|other| *other != digest).then_some(Misconduct::IndexReused { index })
    }

    /// Whether a receipt's total fits those before it. Receipts of parallel calls come in any
    /// order.
    pub(crate) fn fits(&self, entry: &Entry) -> Result<(), Misconduct> {
        let Entry { sequence, charge, cumulative, .. } = *entry;
        let Some(channel) = self.channels.get(&entry.channel) else { return Ok(()) };
        let wrong = |why| Err(Misconduct::Total { cumulative, why });
        let Some(began) = cumulative.checked_sub(charge) else {
            return wrong("it is below its own charge");
        };
        let before = channel.receipts.range(..sequence).next_back();
        if let Some((at, (_, _, total))) = before {
            let adjacent = at.checked_add(1) == Some(sequence);
            if *total > began || (adjacent && *total != began) {
                return wrong("the receipt before it and its charge make another");
            }
        }
        let after = channel.receipts.range((Excluded(sequence), Unbounded)).next();
        if let Some((at, (_, charge, total))) = after {
            let next = total.saturating_sub(*charge);
            let adjacent = sequence.checked_add(1) == Some(*at);
            if cumulative > next || (adjacent && cumulative != next) {
                return wrong("the receipt after it began at another");
            }
        }
        if charge > channel.ahead() {
            return wrong("more is charged than was signed for");
        }
        self.only_calls_made(channel, entry).map_or(Ok(()), wrong)
    }

    /// What a receipt says of calls that were never made, if anything: in its total, or by leaving
    /// more places before it than there are calls in flight.
    fn only_calls_made(&self, channel: &Channel, entry: &Entry) -> Option<&'static str> {
        let others = self
            .calls
            .values()
            .filter(|call| call.channel() == entry.channel && call.nonce != entry.nonce);
        let known = channel.charged.saturating_add(entry.charge);
        let most = others.clone().fold(known, |sum, call| sum.saturating_add(call.max_charge()));
        if entry.cumulative > most {
            return Some("there are charges for calls that were never made");
        }
        let last = channel.receipts.keys().next_back().copied().unwrap_or(0).max(entry.sequence);
        let places = channel.receipts.len().saturating_add(others.count()).saturating_add(1);
        let skipped = u64::try_from(places).is_ok_and(|places| last > places);
        skipped.then_some("there are places for calls that were never made")
    }

    /// A receipt by its digest.
    pub(crate) fn entry(&self, digest: &B256) -> Option<&Entry> {
        self.receipts.iter().find(|entry| entry.digest == *digest)
    }

    /// The receipt that has this place in a channel.
    pub(crate) fn at_sequence(&self, channel: &B256, sequence: u64) -> Option<B256> {
        self.channels.get(channel)?.receipts.get(&sequence).map(|(digest, ..)| *digest)
    }

    /// The receipt that was promised this place in a provider's log.
    pub(crate) fn at_index(&self, provider: Address, index: u64) -> Option<B256> {
        self.by_index.get(&(provider, index)).copied()
    }
}
