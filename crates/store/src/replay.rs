//! Rebuilds memory and the index from the journal, and refuses what contradicts itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use vouch_core::channel::{Channel, ChannelConfig, Mode, OnChain, SignedVoucher};
use vouch_core::log::merkle;
use vouch_core::receipt::{Kind, Receipt, entry_of};
use vouch_journal::{Disk, Known, Position, Reader};

use crate::api::Claim;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::index::{Entry, Index, Mark, Snapshot, Step, call_key, prefix, sequence_key};
use crate::log::Log;
use crate::record::{Item, Writer, items};
use crate::state::{Account, Places, State};
use crate::stream::Streams;
use crate::tree::{BatchTree, length};

/// A checkpoint as it was stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) size: u64,
    pub(crate) root: B256,
    pub(crate) note: String,
}

/// What a journal says.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) state: State,
    pub(crate) log: Log,
    pub(crate) checkpoint: Option<Stored>,
    /// The journal says whose it is; false if it is new.
    pub(crate) identified: bool,
}

/// A channel, as its records add up.
#[derive(Debug)]
struct Sums {
    config: ChannelConfig,
    mode: Mode,
    on_chain: OnChain,
    best: Option<SignedVoucher>,
    charged: u128,
    sequence: u64,
    /// The last sequence that is indexed.
    indexed: u64,
    closing: bool,
    claim: Option<Claim>,
    published: Vec<u128>,
}

/// An answered call, in the order of commits.
#[derive(Debug)]
struct Answered {
    channel: B256,
    request: B256,
    index: u64,
    committed_ms: u64,
}

/// A journal that is read from its beginning, or on from where its index ends.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    config: &'a Config,
    channels: BTreeMap<B256, Sums>,
    /// Of entries that are not indexed yet, as all of `step`.
    answered: Vec<Answered>,
    step: Step,
    streams: Streams,
    log: Log,
    checkpoint: Option<Stored>,
    identified: bool,
    /// The last record that was read.
    last: Option<Position>,
    /// Where the index ends.
    indexed: Indexed,
    marks: Vec<Mark>,
    newest_ms: u64,
}

impl<'a> Replay<'a> {
    /// From the first record on.
    pub(crate) fn new(disk: Arc<dyn Disk>, config: &'a Config) -> Result<Self> {
        Ok(Self::on(Log::open(Arc::new(Index::new(disk)), merkle::empty_root())?, config))
    }

    fn on(log: Log, config: &'a Config) -> Self {
        Self {
            config,
            channels: BTreeMap::new(),
            answered: Vec::new(),
            step: Step::default(),
            streams: Streams::default(),
            log,
            checkpoint: None,
            identified: false,
            last: None,
            indexed: Indexed::default(),
            marks: vec![Mark { time_ms: 0, size: 0 }],
            newest_ms: 0,
        }
    }

    /// From a snapshot on, whose index this is: the record after [`Snapshot::known`] is next.
    pub(crate) fn after(
        index: Arc<Index>,
        snapshot: &Snapshot,
        config: &'a Config,
    ) -> Result<Self> {
        let mut replay = Self::on(Log::open(index, snapshot.root)?, config);
        let known = snapshot.known.record;
        for (_, item) in items(known.0, &snapshot.record)? {
            match item {
                Item::Totals { channel, charged, sequence } => {
                    let missing = wrong(known, "it has totals of a channel that was not opened");
                    let sums = replay.channels.get_mut(&channel).ok_or(missing)?;
                    (sums.charged, sums.sequence, sums.indexed) = (charged, sequence, sequence);
                }
                Item::Stream { id, cumulative, sequence } => {
                    replay.streams.restore(id, sequence, cumulative);
                }
                item => replay.item(known, item)?,
            }
        }
        replay.last = Some(known);
        replay.indexed = Indexed::at(known, &snapshot.record);
        replay.marks.clone_from(&snapshot.marks);
        replay.newest_ms = replay.marks.last().map_or(0, |mark| mark.time_ms);
        Ok(replay)
    }

    fn is_due(&self) -> bool {
        let entries = self.log.size().saturating_sub(self.log.index().size());
        self.last.is_some_and(|last| self.indexed.is_due(self.config, entries, last))
    }

    /// Indexes all that was read; afterwards the index is named by a snapshot.
    pub(crate) fn index(&mut self, disk: &dyn Disk, journal: [u8; 16]) -> Result<()> {
        let Some(last) = self.last.filter(|last| Some(*last) != self.indexed.to) else {
            return Ok(());
        };
        let oldest_ms = self.config.oldest_answer_ms();
        let size = self.log.size();
        self.marks.push(Mark { time_ms: self.newest_ms, size });
        while self.marks.get(1).is_some_and(|mark| mark.time_ms < oldest_ms) {
            self.marks.remove(0);
        }
        let kept_from = self.marks.first().map_or(0, |mark| mark.size);
        let mut step = std::mem::take(&mut self.step);
        (step.rows, step.nodes) = self.log.new_rows();
        let index = Arc::new(self.log.index().with(step, kept_from)?);
        let (calls, receipts) = index.numbers();
        let snapshot = Snapshot {
            known: Known { journal, record: last },
            size,
            root: self.log.root(size)?,
            calls,
            receipts,
            marks: self.marks.clone(),
            record: self.record(),
        };
        snapshot.write(disk)?;
        index.sweep()?;
        self.log.indexed(index);
        self.streams.forget(size);
        self.answered.clear();
        self.channels.values_mut().for_each(|sums| sums.indexed = sums.sequence);
        self.indexed = Indexed::at(last, &snapshot.record);
        Ok(())
    }

    /// Takes in the records before `end` that were not read yet, indexing what becomes much.
    pub(crate) fn read(
        &mut self,
        reader: &Reader,
        end: Position,
        disk: &dyn Disk,
        journal: [u8; 16],
    ) -> Result<()> {
        let from = self.last.unwrap_or(Position::FIRST);
        for record in reader.iter_from(from) {
            let (position, bytes) = record?;
            if position >= end {
                break;
            }
            if self.last == Some(position) {
                continue;
            }
            self.take(position, &bytes)?;
            if self.is_due() {
                self.index(disk, journal)?;
            }
        }
        Ok(())
    }

    /// How far the index goes.
    pub(crate) fn indexed(&self) -> Indexed {
        self.indexed
    }

    /// The log as it was read.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The keys of what is not indexed.
    pub(crate) fn keys(&self) -> &Step {
        &self.step
    }

    /// Items that lead to where this stands, but for what the index has.
    pub(crate) fn record(&self) -> Vec<u8> {
        let mut record = Writer::new();
        let Config { domain, origin, .. } = self.config;
        record.put(&Item::Identity { chain: domain.chain, settlement: domain.settlement, origin });
        if let Some(Stored { size, root, note }) = &self.checkpoint {
            record.put(&Item::Checkpoint { size: *size, root: *root, note });
        }
        for (id, sums) in &self.channels {
            sums.record(*id, &mut record);
        }
        for (id, sequence, cumulative) in self.streams.all() {
            record.put(&Item::Stream { id, cumulative, sequence });
        }
        record.bytes().to_vec()
    }
}

/// How far an index goes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Indexed {
    /// The last record that is in it.
    to: Option<Position>,
    /// What a snapshot takes, which each step writes whole.
    snapshot_bytes: u64,
}

impl Indexed {
    fn at(record: Position, snapshot: &[u8]) -> Self {
        Self { to: Some(record), snapshot_bytes: length(snapshot) }
    }

    /// Whether what follows is worth a step: [`Config::index_every`] entries, or a KiB of the
    /// journal for each of these; where there are many channels, as much as their snapshot takes.
    pub(crate) fn is_due(&self, config: &Config, entries: u64, end: Position) -> bool {
        let bytes = |position: Position| {
            (position.0 >> 32)
                .saturating_mul(config.journal.segment_bytes)
                .saturating_add(position.0 & u64::from(u32::MAX))
        };
        let new = bytes(end).saturating_sub(self.to.map_or(0, bytes));
        let much = entries >= config.index_every || new >= config.index_every.saturating_mul(1024);
        much && new >= self.snapshot_bytes
    }
}

impl Replay<'_> {
    /// Takes in the next record.
    fn take(&mut self, position: Position, bytes: &[u8]) -> Result<()> {
        self.last = Some(position);
        let first = self.log.size();
        let mut leaves = Vec::new();
        let mut promised = false;
        // Index and digest of the receipt that data-use receipts after it belong to.
        let mut parent = None;
        for (offset, item) in items(position.0, bytes)? {
            if !self.identified && !matches!(item, Item::Identity { .. }) {
                return Err(wrong(position, "it comes before the journal says whose it is"));
            }
            match item {
                Item::Receipt { committed_ms, receipt, .. } => {
                    let digest = keccak256(receipt);
                    let leaf = merkle::leaf_hash(&entry_of(&digest));
                    let receipt = Receipt::decode(receipt)
                        .map_err(|_| wrong(position, "a receipt is malformed"))?;
                    let index = self.log.size();
                    self.step.receipts.push(Entry { key: prefix(&digest), index });
                    self.newest_ms = self.newest_ms.max(committed_ms);
                    if receipt.kind == Kind::DataUse {
                        self.data_use(position, &receipt, parent)?;
                    } else {
                        self.receipt(position, &receipt, committed_ms)?;
                        parent = Some((index, digest));
                    }
                    leaves.push(leaf);
                    self.log.push(digest, leaf, position.part(offset));
                    if let Some((parent, _)) = parent.filter(|(parent, _)| *parent < index) {
                        self.log.has_child(parent);
                    }
                }
                Item::Promise(promise, _) => {
                    let root = BatchTree::new(std::mem::take(&mut leaves)).root();
                    let count = self.log.size().saturating_sub(first);
                    promised = (promise.root, promise.first, u64::from(promise.count))
                        == (root, first, count);
                    self.log.promised(first, position.part(offset));
                }
                item => self.item(position, item)?,
            }
        }
        if self.log.size() > first && !promised {
            return Err(wrong(position, "its receipts are not those of its promise"));
        }
        Ok(())
    }

    /// Takes in an item that depends on no other of its record.
    fn item(&mut self, position: Position, item: Item<'_>) -> Result<()> {
        let id = match item {
            Item::Identity { chain, settlement, origin } => {
                let found = identity(chain, &settlement, origin);
                let expected = expected_identity(self.config);
                if found != expected {
                    return Err(Error::OtherLog { found, expected });
                }
                self.identified = true;
                return Ok(());
            }
            Item::Checkpoint { size, root, note } => {
                self.log.check_extends(size, root)?;
                self.checkpoint = Some(Stored { size, root, note: note.to_owned() });
                return Ok(());
            }
            Item::Open { config, mode, on_chain } => {
                let id = config.id(&self.config.domain);
                self.channels.insert(id, Sums::new(config, mode, on_chain));
                return Ok(());
            }
            Item::Observe { channel, .. } | Item::Close { channel } => channel,
            Item::Voucher(voucher) => voucher.voucher.channel_id,
            Item::Claim(claim) => claim.channel,
            Item::Published { channel, .. } => channel,
            _ => return Err(wrong(position, "it has an item that belongs to a snapshot")),
        };
        let missing = wrong(position, "it names a channel that was not opened");
        let channel = self.channels.get_mut(&id).ok_or(missing)?;
        match item {
            Item::Observe { on_chain, .. } => channel.on_chain = on_chain,
            Item::Close { .. } => channel.closing = true,
            Item::Voucher(voucher) => channel.best = Some(voucher),
            Item::Claim(claim) => channel.claim = Some(claim),
            Item::Published { amount, .. } => channel.publish(amount),
            _ => {}
        }
        Ok(())
    }

    fn receipt(&mut self, position: Position, receipt: &Receipt, committed_ms: u64) -> Result<()> {
        if receipt.channel.is_zero() {
            return Ok(());
        }
        let channel = self
            .channels
            .get_mut(&receipt.channel)
            .ok_or_else(|| wrong(position, "a receipt names a channel that was not opened"))?;
        let next = channel.sequence.checked_add(1).zip(channel.charged.checked_add(receipt.charge));
        if next != Some((receipt.sequence, receipt.cumulative)) {
            return Err(wrong(position, "a receipt does not follow its channel's last one"));
        }
        (channel.sequence, channel.charged) = (receipt.sequence, receipt.cumulative);
        let (channel, request, index) = (receipt.channel, receipt.request, self.log.size());
        let key = call_key(&channel, &request);
        self.step.calls.push(Entry { key, index });
        let key = sequence_key(&channel, receipt.sequence);
        self.step.receipts.push(Entry { key, index });
        self.answered.push(Answered { channel, request, index, committed_ms });
        Ok(())
    }

    fn data_use(
        &mut self,
        position: Position,
        receipt: &Receipt,
        parent: Option<(u64, B256)>,
    ) -> Result<()> {
        let parent = parent.filter(|(_, digest)| *digest == receipt.parent);
        parent.ok_or_else(|| {
            wrong(position, "a data-use receipt does not follow the one it belongs to")
        })?;
        let index = self.log.size();
        let key = sequence_key(&receipt.channel, receipt.sequence);
        self.step.receipts.push(Entry { key, index });
        if !self.streams.replay(receipt, index) {
            return Err(wrong(
                position,
                "a data-use receipt does not follow its stream's last one",
            ));
        }
        Ok(())
    }

    /// What all that was read adds up to.
    pub(crate) fn finish(self) -> Result<Replayed> {
        let mut state = State::default();
        state.streams = self.streams;
        state.forgotten = self.log.index().size();
        for channel in self.channels.into_values() {
            state.insert(channel.account(self.config)?);
        }
        for Answered { channel, request, index, committed_ms } in self.answered {
            state.answered(channel, request, index, committed_ms);
        }
        tracing::debug!(
            entries = self.log.size(),
            read = self.log.kept(),
            channels = length(&state.views()),
            "replayed the journal"
        );
        Ok(Replayed {
            state,
            log: self.log,
            checkpoint: self.checkpoint,
            identified: self.identified,
        })
    }
}

impl Sums {
    fn new(config: ChannelConfig, mode: Mode, on_chain: OnChain) -> Self {
        Self {
            config,
            mode,
            on_chain,
            best: None,
            charged: 0,
            sequence: 0,
            indexed: 0,
            closing: false,
            claim: None,
            published: Vec::new(),
        }
    }

    /// Notes that the voucher of this amount is public, and forgets those that no call can have.
    fn publish(&mut self, amount: u128) {
        let charged = self.charged;
        self.published.retain(|known| *known > charged);
        self.published.push(amount);
    }

    /// The items that lead here.
    fn record(&self, id: B256, record: &mut Writer) {
        record.put(&Item::Open { config: self.config, mode: self.mode, on_chain: self.on_chain });
        record.put(&Item::Totals { channel: id, charged: self.charged, sequence: self.sequence });
        if let Some(best) = self.best {
            record.put(&Item::Voucher(best));
        }
        if self.closing {
            record.put(&Item::Close { channel: id });
        }
        if let Some(claim) = self.claim {
            record.put(&Item::Claim(claim));
        }
        for amount in self.published.iter().copied() {
            record.put(&Item::Published { channel: id, amount });
        }
    }

    fn account(self, config: &Config) -> Result<Account> {
        let channel = Channel::new(self.config, &config.domain, self.mode, self.on_chain);
        let mut channel = channel.restore(self.best, self.charged, self.sequence);
        if channel.charged() > channel.accepted() {
            return Err(Error::Record {
                position: 0,
                why: "a channel was charged more than its voucher allows",
            });
        }
        if self.closing {
            channel.close();
        }
        let mut account = Account::new(channel);
        account.receipts = Places::after(self.indexed);
        account.claim = self.claim;
        for amount in self.published {
            account.publish(amount);
        }
        Ok(account)
    }
}

fn wrong(position: Position, why: &'static str) -> Error {
    Error::Record { position: position.0, why }
}

fn identity(chain: u64, settlement: &alloy_primitives::Address, origin: &str) -> String {
    format!("log {origin} on chain {chain} at {settlement}")
}

fn expected_identity(config: &Config) -> String {
    identity(config.domain.chain, &config.domain.settlement, &config.origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_due_by_entries_or_bytes_once_its_snapshot_is_no_more_than_these() {
        let domain = vouch_core::domain::Domain { chain: 1, settlement: Default::default() };
        let mut config = Config::new(
            domain,
            "a.log".to_owned(),
            Arc::new(|| 0),
            Arc::new(|_| Err("unsigned".to_owned())),
            Arc::new(|_| Err("unsigned".to_owned())),
        );
        config.index_every = 100;
        let end = |bytes: u64| Position(4096 + bytes);
        let small = Indexed::at(end(0), &[0; 10]);
        assert!(!small.is_due(&config, 99, end(99 * 1024)));
        assert!(small.is_due(&config, 100, end(5_000)));
        assert!(small.is_due(&config, 0, end(100 * 1024)));
        let large = Indexed::at(end(0), &vec![0; 500_000]);
        assert!(!large.is_due(&config, 400, end(499_999)));
        assert!(large.is_due(&config, 400, end(500_000)));
        let next_file = Position(1 << 32);
        assert!(large.is_due(&config, 400, next_file), "256 MiB later");
    }
}
