//! Follow the chain that settles: deposits in, claims, refunds and anchors out.
//!
//! ```text
//!                     ┌──────── follow: every poll ─────────┐
//!  chain ─ endpoints ─┤ head, events ──▶ store.observe      │     deposit, close, faucet:
//!          compared   │ frozen or due ──▶ claim + settle    │◀─── what gateway asks for
//!                     │ newest checkpoint ──▶ anchor        │
//!                     └────────── sender ── outbox ─────────┘
//! ```
//!
//! Invariants:
//! - A transaction has one of three outcomes: settled, failed ([`Error::Reverted`], [`Error::Refused`])
//!   or [`Error::Unknown`]. An unknown one is never sent again blindly: what the chain shows decides.
//! - Transactions of the provider's key are sent one at a time, among all gateways of a store, so
//!   that nonces have no gaps; what is sent is decided on in that turn. Each is noted before it is
//!   sent and until it is final: what a reorganisation takes back, or a node drops, is sent again
//!   as it is, with the nonce that it has.
//! - A deposit counts when it is final, a withdrawal as soon as it is seen.
//! - A claim never exceeds what was charged, and is made with the best voucher.
//!
//! It keeps no state but the outbox, what was sent and is not final: the chain and the store hold
//! everything else. It decides no price and serves no request.
#![deny(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        reason = "a test that misses an index fails, which is its purpose"
    )
)]

mod anchor;
mod channels;
mod demands;
mod endpoints;
mod error;
mod faucet;
mod fees;
mod finality;
mod follow;
mod outbox;
mod refusal;
mod router;
mod sender;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::providers::DynProvider;
use alloy_primitives::{Address, B256};
pub use channels::Deposit;
pub use endpoints::{Endpoints, without_keys};
pub use error::Error;
pub use finality::Finality;
use follow::Following;
pub use follow::Schedule;
pub use outbox::is_outbox_record;
use sender::Sender;
pub use sender::Sending;
use tokio::time::Instant;
use vouch_contracts::{
    Deployment,
    bindings::{
        BatchSettlement::BatchSettlementInstance, CheckpointAnchor::CheckpointAnchorInstance,
        TestDollar::TestDollarInstance,
    },
};
use vouch_store::{Clock, Store};
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
    endpoints: Endpoints,
    /// Reads from an endpoint that is well.
    provider: DynProvider,
    sender: Sender,
    /// The contract at which receipts are demanded.
    faults: Option<Address>,
    /// When a deposit counts.
    finality: Finality,
    /// How old the newest block may be, and what tells the time.
    head_age: Option<HeadAge>,
    /// How far [`Settler::follow`] is; held for the length of a look.
    following: tokio::sync::Mutex<Following>,
    /// Channels whose claim cannot wait: they froze, or their claim's block is gone.
    urgent: Mutex<BTreeSet<B256>>,
    /// Channels that were read between looks, which the next one reads again; whether a look has
    /// passed and did not know them.
    apart: Mutex<BTreeMap<B256, bool>>,
    /// How the last look ended.
    looked: Mutex<Looked>,
}

/// How old the newest block may be.
struct HeadAge {
    limit: Duration,
    clock: Clock,
}

impl std::fmt::Debug for HeadAge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.limit.fmt(f)
    }
}

/// What is known of the view of the chain.
#[derive(Debug, Default)]
struct Looked {
    /// When the chain was last seen.
    seen: Option<Instant>,
    /// Why the view must not be used, whatever its age.
    distrust: Option<String>,
}

impl Settler {
    /// Settles for `wallet` on the chain behind `endpoints`.
    ///
    /// # Errors
    /// [`Error::Key`] if the wallet's key cannot sign transactions.
    pub fn new(
        endpoints: Endpoints,
        wallet: &Wallet,
        deployment: Deployment,
        store: Arc<dyn Store>,
        finality: Finality,
    ) -> Result<Self, Error> {
        let provider = endpoints.provider();
        let sender = Sender::new(&provider, wallet, store.clone())?;
        Ok(Self {
            store,
            deployment,
            operator: wallet.address(),
            receiver: wallet.address(),
            endpoints,
            provider,
            sender,
            faults: None,
            finality,
            head_age: None,
            following: tokio::sync::Mutex::default(),
            urgent: Mutex::default(),
            apart: Mutex::default(),
            looked: Mutex::default(),
        })
    }

    /// Settles channels that pay another than the wallet, which must be their receiver authorizer:
    /// a vault that splits what comes in by rule.
    #[must_use]
    pub fn paying(self, receiver: Address) -> Self {
        Self { receiver, ..self }
    }

    /// Sends otherwise than usual.
    #[must_use]
    pub fn sending(mut self, sending: Sending) -> Self {
        self.sender.sending = sending;
        self
    }

    /// Keeps what is sent and not final in a directory of its own, where a restart finds it.
    ///
    /// # Errors
    /// [`Error::Outbox`], [`Error::OutboxFormat`].
    pub fn remembering(mut self, directory: &Path) -> Result<Self, Error> {
        self.sender.remember(directory)?;
        Ok(self)
    }

    /// Does not believe a chain whose newest block is older than `limit` by `clock`.
    #[must_use]
    pub fn with_head_age(self, limit: Duration, clock: Clock) -> Self {
        Self { head_age: Some(HeadAge { limit, clock }), ..self }
    }

    /// Whether the view of the chain allows new work: it was seen within `limit`, and nothing
    /// speaks against it.
    ///
    /// # Errors
    /// Why not, for people; it names no endpoint.
    pub fn fresh(&self, limit: Duration) -> Result<(), String> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &looked.distrust {
            return Err(why.clone());
        }
        match looked.seen.map(|seen| seen.elapsed()) {
            Some(lag) if lag < limit => Ok(()),
            Some(lag) => Err(format!("the chain was last seen {} s ago", lag.as_secs())),
            None => Err("the chain was not seen yet".into()),
        }
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
