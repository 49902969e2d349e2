//! The loop: what the chain says goes into the store, what is due goes out.

use std::{collections::BTreeSet, sync::PoisonError, time::Duration};

use alloy::{eips::BlockNumberOrTag, providers::Provider, rpc::types::Filter};
use alloy_primitives::B256;
use tokio::{sync::watch, time::Instant};
use vouch_core::channel::{Block, Look};
use vouch_store::{ChannelView, Observed};

use crate::{
    Error, Settler,
    channels::{cannot_wait, is_due},
};

/// When to look and when to act.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Between looks at the chain.
    pub poll: Duration,
    /// Between claims of channels that are well.
    pub claim: Duration,
    /// Between anchors.
    pub anchor: Duration,
    /// Blocks of one question for events.
    pub blocks_a_query: u64,
}

impl Default for Schedule {
    /// For an embedded chain: a look is a function call.
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(500),
            claim: Duration::from_secs(60),
            anchor: Duration::from_secs(10),
            blocks_a_query: 1_000,
        }
    }
}

/// What one look leaves to the next.
#[derive(Debug, Default)]
pub(crate) struct Following {
    chain: vouch_core::channel::Following,
    /// Channels whose claim cannot wait and has not gone through yet.
    urgent: BTreeSet<B256>,
}

impl Settler {
    /// Follows the chain until `stop` says true. Errors are logged and tried again: the view going
    /// stale is the store's to notice.
    pub async fn follow(&self, schedule: Schedule, mut stop: watch::Receiver<bool>) {
        let (mut claimed, mut anchored) = (Instant::now(), Instant::now());
        loop {
            self.catch_up(schedule.blocks_a_query).await;
            if claimed.elapsed() >= schedule.claim {
                claimed = Instant::now();
                self.logged("claim", self.claim(|_| true).await.map(|_| ()));
            }
            if anchored.elapsed() >= schedule.anchor {
                anchored = Instant::now();
                self.anchor_newest().await;
            }
            tokio::select! {
                () = tokio::time::sleep(schedule.poll) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Looks at the chain once, so that new work may begin; what [`Self::follow`] does at every
    /// poll.
    pub async fn catch_up(&self, blocks_a_query: u64) {
        let mut following = self.following.lock().await;
        if let Err(error) = self.look(&mut following, blocks_a_query).await {
            tracing::warn!(%error, "cannot follow the chain; tries again");
        }
    }

    /// Anchors the newest checkpoint, if there is one.
    pub async fn anchor_newest(&self) {
        if let Some(published) = self.store.checkpoint() {
            self.logged("anchor", self.anchor(&published).await.map(|_| ()));
        }
    }

    fn logged(&self, what: &'static str, result: Result<(), Error>) {
        if let Err(error) = result {
            tracing::warn!(what, %error, "not settled; tries again");
        }
    }

    /// One look: the head, the channels that events name, and claims that cannot wait.
    async fn look(&self, following: &mut Following, blocks_a_query: u64) -> Result<(), Error> {
        let head = self.head().await?;
        let still_there = match following.chain.newest() {
            Some(last) if last != head => self.extends(last).await?,
            _ => true,
        };
        let look = following.chain.look(head, still_there);
        let named = match look {
            Look::Nothing => BTreeSet::new(),
            Look::Events { from, to } => self.touched(from, to, blocks_a_query).await?,
            Look::All => self.all(head.number, following.chain.newest().is_none()),
        };
        let newest_final = head.number.saturating_sub(self.finality);
        for channel in following.chain.reads(named, head, newest_final) {
            let Observed { channel, .. } = self.observe_in_store(channel).await?;
            if is_due(&channel) && cannot_wait(&channel) {
                following.urgent.insert(channel.id);
            }
        }
        following.chain.looked(look, head);
        self.store.set_recent_block(head.hash);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        if !following.urgent.is_empty() {
            let urgent = &following.urgent;
            tracing::warn!(channels = urgent.len(), "channels are frozen; claims at once");
            self.claim(|view: &ChannelView| urgent.contains(&view.id)).await?;
            following.urgent.clear();
        }
        Ok(())
    }

    /// All channels; says so if the chain is behind what the store saw of it before a restart.
    fn all(&self, head: u64, first: bool) -> BTreeSet<B256> {
        let views = self.store.channels();
        let seen = views.iter().map(|view| view.on_chain.block).max().unwrap_or(0);
        if first && head < seen {
            tracing::error!(
                head,
                seen,
                "the chain is behind what was seen of it: an older copy, or a node that lags; \
                 channels whose deposit is gone are frozen: restore the newest copy and start again"
            );
        }
        views.iter().map(|view| view.id).collect()
    }

    /// Whether the block seen last is still on the chain.
    async fn extends(&self, last: Block) -> Result<bool, Error> {
        let number = BlockNumberOrTag::Number(last.number);
        let block = self.provider.get_block_by_number(number).await;
        let block = block.map_err(Error::rpc("for a block"))?;
        let same = block.is_some_and(|block| block.header.hash == last.hash);
        if !same {
            tracing::warn!(
                block = last.number,
                "the chain went back; looks at every channel again"
            );
        }
        Ok(same)
    }

    /// Known channels that the settlement contract's events name, in blocks `from` to `to`.
    async fn touched(&self, from: u64, to: u64, at_once: u64) -> Result<BTreeSet<B256>, Error> {
        let mut touched = BTreeSet::new();
        let mut start = from;
        while start <= to {
            let end = start.saturating_add(at_once.max(1)).saturating_sub(1).min(to);
            let filter =
                Filter::new().address(self.deployment.settlement).from_block(start).to_block(end);
            let logs = self.provider.get_logs(&filter).await.map_err(Error::rpc("for events"))?;
            // Every event of a channel has its id as first indexed topic.
            touched.extend(logs.iter().filter_map(|log| log.topics().get(1).copied()));
            start = end.saturating_add(1);
        }
        touched.retain(|id| self.store.channel(id).is_some());
        Ok(touched)
    }
}
