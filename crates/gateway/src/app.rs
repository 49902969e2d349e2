use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy_primitives::B256;
use bytes::Bytes;
use parking_lot::Mutex;
use vouch_store::{Clock, Store};

use crate::{
    Config, Settlement, body::Bodies, catalog::Catalog, error::Refusal, metrics::Metrics,
    wakers::Wakers, work::Work,
};

/// What all routes share.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) settlement: Arc<dyn Settlement>,
    pub(crate) clock: Clock,
    pub(crate) catalog: Catalog,
    pub(crate) provider_json: Bytes,
    pub(crate) wakers: Wakers,
    pub(crate) work: Work,
    pub(crate) bodies: Bodies,
    pub(crate) metrics: Metrics,
    /// Channels with a deposit under way.
    depositing: Mutex<HashSet<B256>>,
    /// When a checkpoint was last published, Unix milliseconds.
    checkpoint_ms: AtomicU64,
}

impl App {
    pub(crate) fn new(
        config: Config,
        store: Arc<dyn Store>,
        settlement: Arc<dyn Settlement>,
        clock: Clock,
        catalog: Catalog,
        provider_json: Bytes,
    ) -> Self {
        let (work, bodies) = (Work::new(&config.limits), Bodies::new(&config.limits));
        Self {
            config,
            store,
            settlement,
            catalog,
            provider_json,
            work,
            bodies,
            wakers: Wakers::default(),
            metrics: Metrics::default(),
            depositing: Mutex::default(),
            checkpoint_ms: AtomicU64::new(clock()),
            clock,
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    pub(crate) fn now_s(&self) -> u64 {
        self.now_ms() / 1000
    }

    /// Whether new work may begin.
    pub(crate) fn check_open(&self) -> Result<(), Refusal> {
        if self.work.is_stopping() {
            return Err(Refusal::Stopping);
        }
        self.settlement.health().map_err(Refusal::ChainStale)
    }

    pub(crate) fn note_checkpoint(&self) {
        self.checkpoint_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// How long ago a checkpoint was published.
    pub(crate) fn checkpoint_age_ms(&self) -> u64 {
        self.now_ms().saturating_sub(self.checkpoint_ms.load(Ordering::Relaxed))
    }

    /// Leave to send a deposit for a channel; a second one at once is refused, because both could
    /// carry the same authorization.
    pub(crate) fn begin_deposit(self: &Arc<Self>, channel: B256) -> Result<Depositing, Refusal> {
        if self.depositing.lock().insert(channel) {
            Ok(Depositing { app: Arc::clone(self), channel })
        } else {
            Err(Refusal::DepositInFlight)
        }
    }
}

/// A deposit under way.
pub(crate) struct Depositing {
    app: Arc<App>,
    channel: B256,
}

impl Drop for Depositing {
    fn drop(&mut self) {
        self.app.depositing.lock().remove(&self.channel);
    }
}
