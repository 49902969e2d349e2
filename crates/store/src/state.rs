//! Channels in memory: the machine of core, with what must be written and what was answered.

use std::collections::{BTreeMap, HashMap, VecDeque};

use alloy_primitives::{Address, B256};
use vouch_core::channel::{Channel, ChannelError, Mode, OnChain, Reservation, SignedVoucher};
use vouch_core::receipt::Receipt;

use crate::api::{Call, ChannelView, Child, Claim, PayerTotals};
use crate::error::{Error, Result};
use crate::stream::Streams;

/// A call's place in the idempotency table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    InFlight,
    Done(Done),
}

/// An answered call: its entry in the log, and when that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Done {
    index: u64,
    committed_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) channel: Channel,
    /// The best voucher is not in the journal yet: it goes in with the next charge.
    pub(crate) unwritten_voucher: bool,
    pub(crate) claim: Option<Claim>,
    /// Amounts of vouchers that are public, where they could still pay for a stock call.
    pub(crate) published: Vec<u128>,
    /// Log index of each receipt that is not indexed.
    pub(crate) receipts: Places,
    /// Calls in flight, and those whose receipts are not indexed.
    requests: HashMap<B256, Progress>,
}

/// Log indexes of a channel's or a stream's receipts, by sequence: the newest of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// How many are forgotten.
    before: u64,
    places: VecDeque<u64>,
}

impl Places {
    /// None of the first `before`.
    pub(crate) fn after(before: u64) -> Self {
        Self { before, places: VecDeque::new() }
    }

    pub(crate) fn push(&mut self, place: u64) {
        self.places.push_back(place);
    }

    /// Number `sequence`, from 1; `None` if it is forgotten or does not exist.
    pub(crate) fn get(&self, sequence: u64) -> Option<u64> {
        let place = sequence.checked_sub(self.before)?.checked_sub(1)?;
        self.places.get(usize::try_from(place).ok()?).copied()
    }

    /// Forgets those among the first `size` entries of the log.
    pub(crate) fn forget(&mut self, size: u64) {
        while self.places.pop_front_if(|place| *place < size).is_some() {
            self.before = self.before.saturating_add(1);
        }
    }
}

/// What [`State::reserve`] found.
#[derive(Debug)]
pub(crate) enum Reserved {
    New { reservation: Reservation, payer: Address, asset: Address },
    Done(u64),
}

#[derive(Debug, Default)]
pub(crate) struct State {
    accounts: BTreeMap<B256, Account>,
    by_payer: HashMap<Address, Vec<B256>>,
    /// Answered calls whose receipts are not indexed, by log index.
    answers: VecDeque<(u64, B256, B256)>,
    /// What is known of the log before this entry is in the index alone.
    pub(crate) forgotten: u64,
    /// What is owed to the owners of data.
    pub(crate) streams: Streams,
}

impl Account {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            unwritten_voucher: false,
            claim: None,
            published: Vec::new(),
            receipts: Places::after(channel.sequence()),
            channel,
            requests: HashMap::new(),
        }
    }

    pub(crate) fn view(&self) -> ChannelView {
        let channel = &self.channel;
        ChannelView {
            id: channel.id(),
            config: *channel.config(),
            mode: channel.mode(),
            on_chain: channel.on_chain(),
            best: channel.best().copied(),
            accepted: channel.accepted(),
            charged: channel.charged(),
            reserved: channel.reserved(),
            sequence: channel.sequence(),
            frozen: channel.frozen(),
            claim: self.claim,
            published: self.published.clone(),
        }
    }

    /// Takes in a call that is in flight elsewhere.
    #[cfg(feature = "postgres")]
    pub(crate) fn in_flight(
        &mut self,
        request: B256,
        amount: u128,
    ) -> Result<Reservation, ChannelError> {
        let reservation = self.channel.set_aside_again(amount)?;
        self.requests.insert(request, Progress::InFlight);
        Ok(reservation)
    }

    /// Notes that the voucher of this amount is public; true if that was not known.
    pub(crate) fn publish(&mut self, amount: u128) -> bool {
        let charged = self.channel.charged();
        self.published.retain(|known| *known > charged);
        let new = amount > charged && !self.published.contains(&amount);
        if new {
            self.published.push(amount);
        }
        new
    }

    /// Runs a step that may accept a voucher, and notes if it did, also when the step then fails.
    fn accepting<T>(
        &mut self,
        step: impl FnOnce(&mut Channel) -> Result<T, ChannelError>,
    ) -> Result<T, ChannelError> {
        let before = self.channel.accepted();
        let outcome = step(&mut self.channel);
        self.unwritten_voucher |= self.channel.accepted() != before;
        outcome
    }

    fn set_aside(&mut self, call: &Call) -> Result<Reservation, ChannelError> {
        let (mode, accepted) = (self.channel.mode(), self.channel.accepted());
        match (mode, call.voucher) {
            (Mode::Stock, Some(voucher)) => {
                let found = voucher.voucher.max_claimable_amount;
                if self.channel.reserved() == 0 && self.published.contains(&found) {
                    let expected =
                        stock_total(self.channel.charged(), call.amount, &self.published);
                    let expected = expected.ok_or(ChannelError::Overflow)?;
                    return Err(ChannelError::CumulativeMismatch { found, expected });
                }
                self.accepting(|channel| channel.accept_stock(voucher, call.amount))
            }
            (Mode::Stock, None) => {
                let charged = self.channel.charged();
                let required = charged.checked_add(call.amount).ok_or(ChannelError::Overflow)?;
                Err(ChannelError::VoucherNeeded { required, accepted })
            }
            (Mode::Session, voucher) => self.accepting(|channel| {
                // Calls overtake each other: a voucher below the best one is no mistake here.
                let higher =
                    |voucher: &SignedVoucher| voucher.voucher.max_claimable_amount > accepted;
                if let Some(voucher) = voucher.filter(higher) {
                    channel.accept(voucher)?;
                }
                channel.reserve(call.amount)
            }),
        }
    }
}

/// The total that a stock call of this maximum is to be signed for: the least above it that is not
/// public, since whoever has a voucher can spend it.
pub(crate) fn stock_total(charged: u128, amount: u128, published: &[u128]) -> Option<u128> {
    let mut total = charged.checked_add(amount)?;
    while published.contains(&total) {
        total = total.checked_add(1)?;
    }
    Some(total)
}

impl State {
    pub(crate) fn account(&self, id: &B256) -> Option<&Account> {
        self.accounts.get(id)
    }

    pub(crate) fn account_mut(&mut self, id: &B256) -> Result<&mut Account> {
        self.accounts.get_mut(id).ok_or(Error::UnknownChannel(*id))
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    pub(crate) fn views(&self) -> Vec<ChannelView> {
        self.accounts.values().map(Account::view).collect()
    }

    /// Adds an account that is not there yet.
    pub(crate) fn insert(&mut self, account: Account) {
        let (id, payer) = (account.channel.id(), account.channel.config().payer);
        if self.accounts.insert(id, account).is_none() {
            self.by_payer.entry(payer).or_default().push(id);
        }
    }

    pub(crate) fn payer(&self, payer: &Address) -> PayerTotals {
        let ids = self.by_payer.get(payer).map(Vec::as_slice).unwrap_or_default();
        let accounts = ids.iter().filter_map(|id| self.accounts.get(id));
        accounts.fold(PayerTotals::default(), |sum, Account { channel, .. }| {
            let unclaimed = channel.charged().saturating_sub(channel.on_chain().claimed);
            PayerTotals {
                channels: sum.channels.saturating_add(1),
                charged: sum.charged.saturating_add(channel.charged()),
                reserved: sum.reserved.saturating_add(channel.reserved()),
                accepted: sum.accepted.saturating_add(channel.accepted()),
                unclaimed: sum.unclaimed.saturating_add(unclaimed),
            }
        })
    }

    /// Sets a call's maximum aside, unless it is known here. Answers committed before `oldest_ms`
    /// are forgotten.
    pub(crate) fn reserve(&mut self, call: &Call, oldest_ms: u64) -> Result<Reserved> {
        let account = self.account_mut(&call.channel)?;
        match account.requests.get(&call.request) {
            Some(Progress::InFlight) => return Err(Error::InFlight),
            Some(Progress::Done(done)) if done.committed_ms >= oldest_ms => {
                return Ok(Reserved::Done(done.index));
            }
            _ => {}
        }
        let reservation = account.set_aside(call)?;
        account.requests.insert(call.request, Progress::InFlight);
        let config = account.channel.config();
        Ok(Reserved::New { reservation, payer: config.payer, asset: config.token })
    }

    pub(crate) fn extend(&mut self, id: &B256, held: &mut Reservation, amount: u128) -> Result<()> {
        Ok(self.account_mut(id)?.channel.extend(held, amount)?)
    }

    pub(crate) fn release(&mut self, id: &B256, request: &B256, reservation: Reservation) {
        if let Ok(account) = self.account_mut(id) {
            account.channel.release(reservation);
            account.requests.remove(request);
        }
    }

    /// Charges a call and numbers its receipt and those of its uses of data; gives the voucher that
    /// must be written with it. What cannot be credited is not charged either.
    pub(crate) fn commit(
        &mut self,
        id: &B256,
        request: &B256,
        reservation: Reservation,
        receipt: &mut Receipt,
        children: &mut [Child],
    ) -> Result<Option<SignedVoucher>> {
        if let Err(error) = self.streams.check(receipt, children) {
            self.release(id, request, reservation);
            return Err(error);
        }
        let account = self.account_mut(id)?;
        match account.channel.commit(reservation, receipt.charge) {
            Ok((sequence, cumulative)) => {
                (receipt.sequence, receipt.cumulative) = (sequence, cumulative);
                let unwritten = std::mem::take(&mut account.unwritten_voucher);
                let voucher = account.channel.best().copied().filter(|_| unwritten);
                self.streams.count(children);
                Ok(voucher)
            }
            Err((reservation, error)) => {
                self.release(id, request, reservation);
                Err(error.into())
            }
        }
    }

    /// Accepts a voucher on its own; true if it must be written.
    pub(crate) fn accept(&mut self, voucher: SignedVoucher) -> Result<(u128, bool)> {
        let account = self.account_mut(&voucher.voucher.channel_id)?;
        account.accepting(|channel| channel.accept(voucher))?;
        Ok((account.channel.accepted(), std::mem::take(&mut account.unwritten_voucher)))
    }

    /// Takes in what the chain says: whether it froze the channel, and whether it must be written.
    pub(crate) fn observe(
        &mut self,
        id: &B256,
        on_chain: OnChain,
    ) -> Result<(bool, bool, ChannelView)> {
        let account = self.account_mut(id)?;
        let before = account.channel.on_chain();
        let froze = account.channel.observe(on_chain);
        // A new block with the same amounts is not worth a write for each channel.
        let changed = OnChain { block: before.block, ..on_chain } != before;
        Ok((froze, changed, account.view()))
    }

    /// Notes that a call's receipt is durable: from now on a repeat gets the stored answer.
    pub(crate) fn answered(&mut self, id: B256, request: B256, index: u64, committed_ms: u64) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.receipts.push(index);
            account.requests.insert(request, Progress::Done(Done { index, committed_ms }));
            self.answers.push_back((index, id, request));
        }
    }

    /// The receipt of an answered call, if it is not indexed and was committed since `oldest_ms`.
    pub(crate) fn answer(&self, id: &B256, request: &B256, oldest_ms: u64) -> Option<u64> {
        match self.accounts.get(id)?.requests.get(request)? {
            Progress::Done(done) => (done.committed_ms >= oldest_ms).then_some(done.index),
            Progress::InFlight => None,
        }
    }

    /// Forgets calls among the first `size` entries of the log, which the index has, `limit` at
    /// most; true if that was all.
    pub(crate) fn forget(&mut self, size: u64, limit: usize) -> bool {
        self.forgotten = self.forgotten.max(size);
        for _ in 0..limit {
            let Some((index, id, request)) = self.answers.pop_front_if(|(index, ..)| *index < size)
            else {
                self.streams.forget(size);
                return true;
            };
            let Some(account) = self.accounts.get_mut(&id) else { continue };
            account.receipts.forget(index.saturating_add(1));
            let done =
                |known: &Progress| matches!(known, Progress::Done(done) if done.index == index);
            if account.requests.get(&request).is_some_and(done) {
                account.requests.remove(&request);
            }
        }
        false
    }
}
