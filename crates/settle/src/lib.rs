//! Follow the chain that settles: deposits in, claims, refunds and anchors out.
//!
//! ```text
//!            ┌──────── follow: every poll ─────────┐
//!  chain ────┤ head, events ──▶ store.observe      │        deposit, close, faucet:
//!            │ frozen or due ──▶ claim + settle    │◀────── what gateway asks for
//!            │ newest checkpoint ──▶ anchor        │
//!            └─────────────────────────────────────┘
//! ```
//!
//! Invariants:
//! - A transaction has one of three outcomes: settled, failed ([`Error::Reverted`], [`Error::Refused`])
//!   or [`Error::Unknown`]. An unknown one is never sent again blindly: what the chain shows decides.
//! - Transactions of the provider's key are sent one at a time, so that nonces have no gaps.
//! - A claim never exceeds what was charged, and is made with the best voucher.
//!
//! It keeps no state of its own: the chain and the store hold everything. It decides no price and
//! serves no request.
#![deny(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]

mod anchor;
mod channels;
mod error;
mod faucet;
mod follow;
mod sender;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::providers::DynProvider;
use alloy_primitives::Address;
pub use channels::Deposit;
pub use error::Error;
use follow::Following;
pub use follow::Schedule;
use sender::Sender;
use tokio::time::Instant;
use vouch_contracts::{
    Deployment,
    bindings::{
        BatchSettlement::BatchSettlementInstance, CheckpointAnchor::CheckpointAnchorInstance,
        TestDollar::TestDollarInstance,
    },
};
use vouch_store::Store;
use vouch_wallet::Wallet;

/// A provider's hand on the chain.
#[derive(Debug)]
pub struct Settler {
    store: Arc<dyn Store>,
    deployment: Deployment,
    /// The provider's key: it signs, claims and anchors.
    operator: Address,
    /// Who is paid: the provider, or a vault.
    receiver: Address,
    provider: DynProvider,
    sender: Sender,
    /// How many blocks deep a deposit counts; 0 where the chain has no reorganisations.
    finality: u64,
    /// How far [`Settler::follow`] is; held for the length of a look.
    following: tokio::sync::Mutex<Following>,
    /// When the chain last answered.
    seen: Mutex<Option<Instant>>,
}

impl Settler {
    /// Settles for `wallet` on the chain behind `provider`.
    ///
    /// # Errors
    /// [`Error::Key`] if the wallet's key cannot sign transactions.
    pub fn new(
        provider: DynProvider,
        wallet: &Wallet,
        deployment: Deployment,
        store: Arc<dyn Store>,
        finality: u64,
    ) -> Result<Self, Error> {
        let sender = Sender::new(&provider, wallet)?;
        Ok(Self {
            store,
            deployment,
            operator: wallet.address(),
            receiver: wallet.address(),
            provider,
            sender,
            finality,
            following: tokio::sync::Mutex::default(),
            seen: Mutex::default(),
        })
    }

    /// Settles channels that pay another than the wallet, which must be their receiver authorizer:
    /// a vault that splits what comes in by rule.
    #[must_use]
    pub fn paying(self, receiver: Address) -> Self {
        Self { receiver, ..self }
    }

    /// How long ago [`Settler::follow`] last saw the chain; `None` before the first time.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.map(|seen| seen.elapsed())
    }

    /// The contracts in use.
    #[must_use]
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The provider that reads, without the key.
    #[must_use]
    pub fn provider(&self) -> &DynProvider {
        &self.provider
    }

    fn settlement(&self) -> BatchSettlementInstance<&DynProvider> {
        BatchSettlementInstance::new(self.deployment.settlement, &self.provider)
    }

    fn token(&self) -> TestDollarInstance<&DynProvider> {
        TestDollarInstance::new(self.deployment.token, &self.provider)
    }

    fn anchors(&self) -> CheckpointAnchorInstance<&DynProvider> {
        CheckpointAnchorInstance::new(self.deployment.anchor, &self.provider)
    }
}
