//! Wakes streams that wait for a voucher.

use std::{collections::HashMap, sync::Arc};

use alloy_primitives::B256;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Channels on which somebody waits. Only waiters have an entry.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<HashMap<B256, Arc<Notify>>>);

impl Wakers {
    /// What [`Self::wake`] notifies. Enable its `notified()` before looking at the channel.
    pub(crate) fn register(&self, channel: B256) -> Arc<Notify> {
        Arc::clone(self.0.lock().entry(channel).or_default())
    }

    /// Wakes all who wait on a channel; they register again.
    pub(crate) fn wake(&self, channel: &B256) {
        let waiters = self.0.lock().remove(channel);
        if let Some(waiters) = waiters {
            waiters.notify_waiters();
        }
    }

    /// Drops a channel's entry if nobody but `mine` waits on it.
    pub(crate) fn forget(&self, channel: &B256, mine: &Arc<Notify>) {
        let mut waiters = self.0.lock();
        // One count is the map's and one the caller's.
        if waiters.get(channel).is_some_and(|n| Arc::ptr_eq(n, mine) && Arc::strong_count(n) <= 2) {
            waiters.remove(channel);
        }
    }
}
