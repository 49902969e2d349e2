//! Rebuilds memory from the journal, and refuses what contradicts itself.

use std::collections::BTreeMap;

use alloy_primitives::{B256, keccak256};
use vouch_core::channel::{Channel, ChannelConfig, Mode, OnChain, SignedVoucher};
use vouch_core::log::merkle;
use vouch_core::receipt::{Kind, Receipt, entry_of};
use vouch_journal::{Journal, Position};

use crate::api::Claim;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::record::{Item, items};
use crate::state::{Account, State};
use crate::stream::Streams;
use crate::tree::{BatchTree, length};

/// A checkpoint as it was stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) size: u64,
    pub(crate) note: String,
}

/// What a journal says.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) state: State,
    pub(crate) log: Log,
    pub(crate) checkpoint: Option<Stored>,
    /// The journal says whose it is; false if it is new.
    pub(crate) identified: bool,
}

/// A channel, as its records add up.
struct Sums {
    config: ChannelConfig,
    mode: Mode,
    on_chain: OnChain,
    best: Option<SignedVoucher>,
    charged: u128,
    sequence: u64,
    closing: bool,
    claim: Option<Claim>,
    published: Vec<u128>,
}

/// An answered call, in the order of commits.
struct Answered {
    channel: B256,
    request: B256,
    index: u64,
    committed_ms: u64,
}

struct Replay<'a> {
    config: &'a Config,
    channels: BTreeMap<B256, Sums>,
    answered: Vec<Answered>,
    streams: Streams,
    log: Log,
    checkpoint: Option<Stored>,
    identified: bool,
}

/// Reads the whole journal.
pub(crate) fn replay(journal: &Journal, config: &Config) -> Result<Replayed> {
    let mut replay = Replay {
        config,
        channels: BTreeMap::new(),
        answered: Vec::new(),
        streams: Streams::default(),
        log: Log::default(),
        checkpoint: None,
        identified: false,
    };
    for record in journal.iter() {
        let (position, bytes) = record?;
        replay.record(position, &bytes)?;
    }
    replay.finish()
}

impl Replay<'_> {
    fn record(&mut self, position: Position, bytes: &[u8]) -> Result<()> {
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
                Item::Identity { chain, settlement, origin } => {
                    let found = identity(chain, &settlement, origin);
                    let expected = expected_identity(self.config);
                    if found != expected {
                        return Err(Error::OtherLog { found, expected });
                    }
                    self.identified = true;
                }
                Item::Receipt { committed_ms, receipt, .. } => {
                    let digest = keccak256(receipt);
                    let leaf = merkle::leaf_hash(&entry_of(&digest));
                    let receipt = Receipt::decode(receipt)
                        .map_err(|_| wrong(position, "a receipt is malformed"))?;
                    let index = self.log.size();
                    if receipt.kind == Kind::DataUse {
                        self.data_use(position, &receipt, parent)?;
                    } else {
                        self.receipt(position, &receipt, committed_ms)?;
                        parent = Some((index, digest));
                    }
                    leaves.push(leaf);
                    self.log.push(digest, leaf, position.part(offset));
                }
                Item::Promise(promise, _) => {
                    let root = BatchTree::new(std::mem::take(&mut leaves)).root();
                    let count = self.log.size().saturating_sub(first);
                    promised = (promise.root, promise.first, u64::from(promise.count))
                        == (root, first, count);
                    self.log.push_batch(first, position.part(offset));
                }
                Item::Checkpoint { size, root, note } => {
                    self.log.check_extends(size, root)?;
                    self.log.released(size);
                    self.checkpoint = Some(Stored { size, note: note.to_owned() });
                }
                item => self.channel_item(position, item)?,
            }
        }
        if self.log.size() > first && !promised {
            return Err(wrong(position, "its receipts are not those of its promise"));
        }
        Ok(())
    }

    fn channel_item(&mut self, position: Position, item: Item<'_>) -> Result<()> {
        let id = match item {
            Item::Open { config, mode, on_chain } => {
                let id = config.id(&self.config.domain);
                self.channels.insert(id, Sums::new(config, mode, on_chain));
                return Ok(());
            }
            Item::Observe { channel, .. } | Item::Close { channel } => channel,
            Item::Voucher(voucher) => voucher.voucher.channel_id,
            Item::Claim(claim) => claim.channel,
            Item::Published { channel, .. } => channel,
            _ => return Ok(()),
        };
        let missing = wrong(position, "it names a channel that was not opened");
        let channel = self.channels.get_mut(&id).ok_or(missing)?;
        match item {
            Item::Observe { on_chain, .. } => channel.on_chain = on_chain,
            Item::Close { .. } => channel.closing = true,
            Item::Voucher(voucher) => channel.best = Some(voucher),
            Item::Claim(claim) => channel.claim = Some(claim),
            Item::Published { amount, .. } => channel.published.push(amount),
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
        let (parent, _) = parent.ok_or_else(|| {
            wrong(position, "a data-use receipt does not follow the one it belongs to")
        })?;
        if !self.streams.replay(receipt, parent, self.log.size()) {
            return Err(wrong(
                position,
                "a data-use receipt does not follow its stream's last one",
            ));
        }
        Ok(())
    }

    fn finish(self) -> Result<Replayed> {
        let mut state = State::default();
        state.streams = self.streams;
        for channel in self.channels.into_values() {
            state.insert(channel.account(self.config)?);
        }
        for Answered { channel, request, index, committed_ms } in self.answered {
            state.answered(channel, request, index, committed_ms);
        }
        state.expire(self.config.now_ms().saturating_sub(self.config.answer_retention_ms));
        tracing::debug!(
            entries = self.log.size(),
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
            closing: false,
            claim: None,
            published: Vec::new(),
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
