//! The loop: what the chain says goes into the store, what is due goes out.

use std::{
    collections::BTreeSet,
    mem,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use alloy::{providers::Provider, rpc::types::Filter};
use alloy_primitives::B256;
use tokio::{sync::watch, time::Instant};
use vouch_core::channel::{Block, Look};
use vouch_store::{ChannelView, Observed};

use crate::{Error, Looked, Settler, channels::is_due, endpoints::View};

/// After a gap of more questions for events than this, every channel is looked at instead.
const MAX_QUERIES: u64 = 20;

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
    /// Fewer blocks of one question for events, where a node allows no more.
    fewer_blocks: Option<u64>,
}

impl Settler {
    /// Follows the chain until `stop` says true. Errors are logged and tried again: the view going
    /// stale is the gateway's to notice ([`Self::fresh`]).
    pub async fn follow(&self, schedule: Schedule, stop: watch::Receiver<bool>) {
        // Apart from each other: a transaction that is stuck must not make the view stale.
        tokio::join!(self.watch(schedule, stop.clone()), self.act(schedule, stop));
    }

    async fn watch(&self, schedule: Schedule, mut stop: watch::Receiver<bool>) {
        loop {
            self.catch_up(schedule.blocks_a_query).await;
            tokio::select! {
                () = tokio::time::sleep(schedule.poll) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn act(&self, schedule: Schedule, mut stop: watch::Receiver<bool>) {
        let (mut claimed, mut anchored) = (Instant::now(), Instant::now());
        self.logged("answer to a demand", self.answer_demands().await.map(|_| ()));
        loop {
            self.claim_urgent().await;
            if claimed.elapsed() >= schedule.claim {
                claimed = Instant::now();
                self.logged("answer to a demand", self.answer_demands().await.map(|_| ()));
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
        let ended = self.look(&mut following, blocks_a_query).await;
        match &ended {
            Ok(()) => {}
            Err(error @ (Error::Disagree { .. } | Error::OldHead { .. })) => {
                tracing::error!(%error, "the chain cannot be believed: new work stops");
            }
            Err(error) => tracing::warn!(%error, "cannot follow the chain; tries again"),
        }
        self.note(&ended);
    }

    /// Claims at once what cannot wait; what does not go through stays urgent.
    pub async fn claim_urgent(&self) {
        let urgent = mem::take(&mut *self.urgent());
        if urgent.is_empty() {
            return;
        }
        tracing::warn!(channels = urgent.len(), "claims that cannot wait are made");
        let claimed = self.claim(|view: &ChannelView| urgent.contains(&view.id)).await;
        if claimed.is_err() {
            self.urgent().extend(urgent);
        }
        self.logged("claim", claimed.map(|_| ()));
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

    /// What a look says of the view of the chain.
    fn note(&self, ended: &Result<(), Error>) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        match ended {
            Ok(()) => *looked = Looked { seen: Some(Instant::now()), distrust: None },
            Err(Error::Disagree { height, .. }) => {
                looked.distrust = Some(format!("two views of the chain differ at height {height}"));
            }
            Err(error @ Error::OldHead { .. }) => looked.distrust = Some(error.to_string()),
            Err(_) => {}
        }
    }

    fn urgent(&self) -> MutexGuard<'_, BTreeSet<B256>> {
        self.urgent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One look: the head, the channels that events name, and claims that cannot wait.
    async fn look(&self, following: &mut Following, blocks_a_query: u64) -> Result<(), Error> {
        let view = self.endpoints.survey(self.deployment.chain_id, self.finality).await?;
        self.check_age(&view)?;
        let head = Block { number: view.number, hash: view.hash };
        let last = following.chain.newest();
        let still_there = match last {
            Some(last) if last != head => self.is_on_chain(last).await?,
            _ => true,
        };
        let look = following.chain.look(head, still_there);
        let named = match (look, last) {
            (Look::Nothing, _) => BTreeSet::new(),
            (Look::Events { from, to }, _) => {
                self.touched(following, from, to, blocks_a_query).await?
            }
            (Look::All, None) => self.at_first(view.number),
            (Look::All, Some(last)) => {
                self.check_lag(&following.chain, head, last).await?;
                let block = last.number;
                tracing::warn!(block, "the chain went back; looks at every channel again");
                self.all()
            }
        };
        self.sender.tend(view.newest_final).await?;
        following.chain.read_apart(self.take_apart());
        for channel in following.chain.reads(&named, view.newest_final) {
            let seen = self.read(channel).await?;
            let Observed { froze, channel } = self.store.observe(channel, seen).await?;
            if is_due(&channel) && (froze || (look == Look::All && cannot_wait(&channel))) {
                self.urgent().insert(channel.id);
            }
        }
        // Only now: what could not be read is looked at again.
        following.chain.looked(look, named, head, view.newest_final);
        self.store.set_recent_block(view.hash);
        Ok(())
    }

    /// Known channels that were read between looks. One that is not open yet may be at the next
    /// look; after that it was never opened.
    fn take_apart(&self) -> Vec<B256> {
        let mut known = Vec::new();
        self.apart().retain(|id, passed| {
            if self.store.channel(id).is_some() {
                known.push(*id);
                return false;
            }
            !mem::replace(passed, true)
        });
        known
    }

    fn check_age(&self, view: &View) -> Result<(), Error> {
        let Some(age) = &self.head_age else { return Ok(()) };
        let age_s = ((age.clock)() / 1000).saturating_sub(view.time_s);
        if age_s > age.limit.as_secs() { Err(Error::OldHead { age_s }) } else { Ok(()) }
    }

    /// All channels at the first look; says so if the chain is behind what the store saw of it
    /// before a restart.
    fn at_first(&self, head: u64) -> BTreeSet<B256> {
        let views = self.store.channels();
        let seen = views.iter().map(|view| view.on_chain.block).max().unwrap_or(0);
        if head < seen {
            tracing::error!(
                head,
                seen,
                "the chain is behind what was seen of it: an older copy, or a node that lags; \
                 channels whose deposit is gone are frozen: restore the newest copy and start again"
            );
        }
        views.iter().map(|view| view.id).collect()
    }

    fn all(&self) -> BTreeSet<B256> {
        self.store.channels().iter().map(|view| view.id).collect()
    }

    /// Whether a block that was seen is still on the chain.
    async fn is_on_chain(&self, seen: Block) -> Result<bool, Error> {
        let block = self.provider.get_block_by_number(seen.number.into()).await;
        let block = block.map_err(Error::rpc("for a block"))?;
        Ok(block.is_some_and(|block| block.header.hash == seen.hash))
    }

    /// Refuses a head that is only an older one of the same chain: a node that lags.
    async fn check_lag(
        &self,
        seen: &vouch_core::channel::Following,
        head: Block,
        last: Block,
    ) -> Result<(), Error> {
        if head.number < last.number
            && let Some(before) = seen.newest_to(head.number)
            && self.is_on_chain(before).await?
        {
            return Err(Error::Lags { number: head.number });
        }
        Ok(())
    }

    /// Known channels that the settlement contract's events name in blocks `from` to `to`.
    async fn touched(
        &self,
        following: &mut Following,
        from: u64,
        to: u64,
        blocks_a_query: u64,
    ) -> Result<BTreeSet<B256>, Error> {
        let mut touched = BTreeSet::new();
        let (mut start, mut at_once) = (
            from,
            following.fewer_blocks.unwrap_or(blocks_a_query).clamp(1, blocks_a_query.max(1)),
        );
        while start <= to {
            if to.saturating_sub(start) >= at_once.saturating_mul(MAX_QUERIES) {
                return Ok(self.all());
            }
            let end = start.saturating_add(at_once).saturating_sub(1).min(to);
            let filter =
                Filter::new().address(self.deployment.settlement).from_block(start).to_block(end);
            match self.provider.get_logs(&filter).await {
                Ok(logs) => {
                    // Every event of a channel has its id as first indexed topic.
                    touched.extend(logs.iter().filter_map(|log| log.topics().get(1).copied()));
                    start = end.saturating_add(1);
                }
                // Nodes bound the blocks or the events of one question, each otherwise.
                Err(error) if at_once > 1 && error.as_error_resp().is_some() => {
                    at_once = at_once.div_ceil(2);
                    following.fewer_blocks = Some(at_once);
                    tracing::info!(blocks = at_once, %error, "asks for events of fewer blocks");
                }
                Err(error) => return Err(Error::rpc("for events")(error)),
            }
        }
        touched.retain(|id| self.store.channel(id).is_some());
        Ok(touched)
    }
}

/// After a restart or a reorganisation: a channel that is frozen and whose claim may not have been
/// made, or one whose claim is recorded and not on the chain.
fn cannot_wait(channel: &ChannelView) -> bool {
    let taken_back = channel.claim.is_some_and(|claim| claim.total > channel.on_chain.claimed);
    if taken_back {
        tracing::warn!(channel = %channel.id, "a claim is not on the chain any more: claims again");
    }
    taken_back || channel.frozen.is_some()
}
