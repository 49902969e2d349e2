//! The registry as it stands, in memory: asked at every use, followed block by block.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use alloy::{
    eips::BlockNumberOrTag,
    providers::{DynProvider, Provider},
};
use alloy_primitives::{Address, B256};
use parking_lot::RwLock;
use tokio::sync::{Mutex, watch};

use super::{Denial, Event, Grant, Purpose, events};
use crate::{Error, Result};

/// Unix milliseconds, now.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A use that is to be allowed, or paid.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// Who uses it.
    pub grantee: Address,
    /// For what.
    pub purpose: Purpose,
    /// By which model or service.
    pub service: B256,
    /// Unix seconds.
    pub at: u64,
}

/// A published dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dataset {
    /// Whose it is.
    pub owner: Address,
    /// Of its documents.
    pub root: B256,
    /// Hash of its newest card.
    pub card: B256,
    /// When it was first published: block and log index. The earlier of two copies is the original.
    pub at: (u64, u64),
}

/// A recorded grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What was granted.
    pub grant: Grant,
    /// Whether its owner took it back.
    pub revoked: bool,
}

/// The registry's state at one block.
#[derive(Debug, Clone, Default)]
struct State {
    seen: Option<(u64, B256)>,
    /// When the chain last answered, by the clock.
    at_ms: u64,
    datasets: BTreeMap<B256, Dataset>,
    grants: BTreeMap<B256, Held>,
    by_dataset: BTreeMap<B256, BTreeSet<B256>>,
    /// Also of grants that were signed and never recorded.
    revoked: BTreeSet<(Address, B256)>,
}

/// Who may use what, by the chain's newest block.
///
/// Answers from memory. What it does not know, or has known for too long, it denies.
pub struct Consents {
    provider: DynProvider,
    registry: Address,
    clock: Clock,
    max_age: Duration,
    /// Held for the length of a look.
    looking: Mutex<()>,
    state: RwLock<State>,
}

impl Consents {
    /// A view that knows nothing yet: [`Consents::catch_up`] fills it. Answers are given for at
    /// most `max_age` after the chain was last seen.
    #[must_use]
    pub fn new(provider: DynProvider, registry: Address, clock: Clock, max_age: Duration) -> Self {
        let (looking, state) = (Mutex::default(), RwLock::default());
        Self { provider, registry, clock, max_age, looking, state }
    }

    /// Looks at the chain once: new blocks, or all of them after it went back.
    ///
    /// # Errors
    /// [`Error::Rpc`] if the chain does not answer; then the view ages.
    pub async fn catch_up(&self) -> Result<()> {
        let _looking = self.looking.lock().await;
        let asked = (self.clock)();
        let (number, hash) = self.block(BlockNumberOrTag::Latest).await?;
        let seen = self.state.read().seen;
        let mut next = match seen {
            Some((last, same)) if (last, same) == (number, hash) => {
                self.state.write().at_ms = asked;
                return Ok(());
            }
            Some((last, same))
                if last < number && self.block(BlockNumberOrTag::Number(last)).await?.1 == same =>
            {
                self.state.read().clone()
            }
            // The first look, or a chain that went back: nothing known of it holds.
            _ => State::default(),
        };
        let from = next.seen.map_or(0, |(last, _)| last.saturating_add(1));
        for event in events(&self.provider, self.registry, from, number).await? {
            next.apply(event);
        }
        // The chain may have gone back in between; then the next look starts over.
        next.seen = Some((number, hash));
        next.at_ms = asked;
        *self.state.write() = next;
        Ok(())
    }

    /// Looks again every `poll` until `stop` says true.
    pub async fn follow(&self, poll: Duration, mut stop: watch::Receiver<bool>) {
        loop {
            if let Err(error) = self.catch_up().await {
                tracing::warn!(%error, "cannot follow the consent registry; tries again");
            }
            tokio::select! {
                () = tokio::time::sleep(poll) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Whether this very grant allows a use: at its start, and again at its settlement.
    ///
    /// # Errors
    /// The [`Denial`].
    pub fn check(&self, id: B256, wanted: &Use) -> Result<Grant, Denial> {
        let state = self.fresh()?;
        state.check(id, wanted)
    }

    /// A grant of a dataset that allows a use; of several, the cheapest for the grantee, then the
    /// one that lasts longest.
    ///
    /// # Errors
    /// [`Denial::NoGrant`] or [`Denial::Stale`].
    pub fn find(&self, dataset: B256, wanted: &Use) -> Result<(B256, Grant), Denial> {
        let state = self.fresh()?;
        let ids = state.by_dataset.get(&dataset).into_iter().flatten();
        let allowed = ids.filter_map(|id| Some((*id, state.check(*id, wanted).ok()?)));
        let best = allowed
            .min_by_key(|(id, grant)| (grant.price, grant.share_bps, u64::MAX - grant.end, *id));
        best.ok_or(Denial::NoGrant { dataset, grantee: wanted.grantee })
    }

    /// A dataset, if it was published.
    #[must_use]
    pub fn dataset(&self, id: B256) -> Option<Dataset> {
        self.state.read().datasets.get(&id).copied()
    }

    /// Every dataset, by id.
    #[must_use]
    pub fn datasets(&self) -> Vec<(B256, Dataset)> {
        self.state.read().datasets.iter().map(|(id, dataset)| (*id, *dataset)).collect()
    }

    /// Every recorded grant, by id; also those that ended.
    #[must_use]
    pub fn grants(&self) -> Vec<(B256, Held)> {
        self.state.read().grants.iter().map(|(id, held)| (*id, *held)).collect()
    }

    /// The newest block that was seen.
    #[must_use]
    pub fn block_seen(&self) -> Option<(u64, B256)> {
        self.state.read().seen
    }

    fn fresh(&self) -> Result<parking_lot::RwLockReadGuard<'_, State>, Denial> {
        let state = self.state.read();
        let age = (self.clock)().saturating_sub(state.at_ms);
        if state.seen.is_none() || u128::from(age) > self.max_age.as_millis() {
            return Err(Denial::Stale);
        }
        Ok(state)
    }

    async fn block(&self, number: BlockNumberOrTag) -> Result<(u64, B256)> {
        let block = self.provider.get_block_by_number(number).await;
        let block = block.map_err(Error::rpc("for a block"))?;
        // A block that is gone is no longer on the chain: as good as another hash.
        Ok(block.map_or((0, B256::ZERO), |block| (block.header.number, block.header.hash)))
    }
}

impl fmt::Debug for Consents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consents").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl State {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Published { owner, dataset, root, card, at } => {
                let new = Dataset { owner, root, card, at };
                self.datasets.entry(dataset).and_modify(|known| known.card = card).or_insert(new);
            }
            Event::Granted(id, grant) => {
                let revoked = self.revoked.contains(&(grant.owner, id));
                self.grants.insert(id, Held { grant, revoked });
                self.by_dataset.entry(grant.dataset).or_default().insert(id);
            }
            Event::Revoked { id, owner } => {
                self.revoked.insert((owner, id));
                // A stranger's word about another's grant says nothing.
                if let Some(held) = self.grants.get_mut(&id).filter(|h| h.grant.owner == owner) {
                    held.revoked = true;
                }
            }
            Event::RevokedAll(dataset) => {
                for id in self.by_dataset.get(&dataset).into_iter().flatten() {
                    if let Some(held) = self.grants.get_mut(id) {
                        held.revoked = true;
                    }
                }
            }
        }
    }

    /// As the contract's `allows`, and the grantee.
    fn check(&self, id: B256, wanted: &Use) -> Result<Grant, Denial> {
        let Held { grant, revoked } = self.grants.get(&id).ok_or(Denial::Unknown(id))?;
        if *revoked {
            return Err(Denial::Revoked(id));
        }
        if grant.grantee != wanted.grantee {
            return Err(Denial::Grantee { id, grantee: grant.grantee });
        }
        if wanted.at < grant.start {
            return Err(Denial::Early { id, start: grant.start });
        }
        if wanted.at >= grant.end {
            return Err(Denial::Ended { id, end: grant.end });
        }
        if grant.purpose != wanted.purpose {
            return Err(Denial::Purpose(id));
        }
        if !grant.service.is_zero() && grant.service != wanted.service {
            return Err(Denial::Service(id));
        }
        Ok(*grant)
    }
}
