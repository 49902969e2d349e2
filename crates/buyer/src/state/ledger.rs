//! The buyer's books: a pure fold over [`Record`]s.

use std::collections::BTreeMap;

use vouch_core::{Address, B256, channel::SignedVoucher};
use vouch_wallet::Budget;
use vouch_wire::vouch::ProviderDocument;

use super::record::{Call, Deposit, Entry, FORMAT, Opened, Record};

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
    pub(super) receipts: BTreeMap<u64, (B256, u128, u128)>,
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
    pub(super) by_index: BTreeMap<(Address, u64), B256>,
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
            // The books have no use for it.
            Record::Bundle { .. } => {}
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
    pub(crate) fn open_channel(&self, url: &str, document: &ProviderDocument) -> Option<B256> {
        let fits = |channel: &Channel| {
            channel.phase == Phase::Open
                && channel.opened.url == url
                && channel.opened.provider() == document.provider
                && channel.opened.config.receiver == document.pay_to()
                && channel.opened.config.token == document.asset.address
        };
        self.channels.iter().find(|(_, channel)| fits(channel)).map(|(id, _)| *id)
    }

    /// Whether calls of a channel are in flight.
    pub(crate) fn is_busy(&self, id: &B256) -> bool {
        self.calls.values().any(|call| call.channel() == *id)
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
