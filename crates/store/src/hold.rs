//! Money set aside for a call in flight.

use std::fmt::Debug;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use vouch_core::channel::Reservation;

/// Gives holds back; implemented by stores.
pub(crate) trait Release: Send + Sync + Debug {
    fn release(&self, channel: &B256, request: &B256, reservation: Reservation);
}

/// A call in flight and what is set aside for it. Ends in [`crate::Store::commit`]; dropping it
/// releases the money uncharged and lets the request be made again: at once, or, in a store that
/// several gateways share, with what is queued next.
#[derive(Debug)]
#[must_use = "dropping a hold releases it"]
pub struct Hold {
    pub(crate) channel: B256,
    pub(crate) request: B256,
    pub(crate) payer: Address,
    pub(crate) asset: Address,
    pub(crate) reservation: Option<Reservation>,
    /// The lease under which a shared store gave it; 0 in a store of one process.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "for shared stores"))]
    pub(crate) epoch: i64,
    pub(crate) owner: Arc<dyn Release>,
}

impl Hold {
    /// The channel that pays.
    #[must_use]
    pub fn channel(&self) -> B256 {
        self.channel
    }

    /// The call's commitment.
    #[must_use]
    pub fn request(&self) -> B256 {
        self.request
    }

    /// How much is set aside.
    #[must_use]
    pub fn amount(&self) -> u128 {
        self.reservation.as_ref().map_or(0, Reservation::amount)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            self.owner.release(&self.channel, &self.request, reservation);
        }
    }
}
