//! Keep a gateway's money and log: channels, receipts, promises, checkpoints.
//!
//! ```text
//!  reserve, extend, release          open, observe, accept, commit, append, close, claim
//!   │ memory only                     │ queue
//!   ▼                                 ▼
//!  channels ◀── applied in order ── committer ──▶ one journal record a batch, one sync
//!  (machines of core)                 │             vouchers + charges + receipts + answers
//!                                     │             + one signed promise
//!                                     ▼
//!                                 Merkle tree ──▶ publisher: tiles, checkpoint (stored by
//!                                                 compare-and-swap, then released);
//!                                                 what is older leaves memory for the index
//! ```
//! The next commit starts when the last sync ends and takes everything that waits: no timer.
//!
//! ```
//! # use std::sync::Arc;
//! # use alloy_primitives::{Address, B256};
//! # use vouch_core::channel::{ChannelConfig, Mode, OnChain};
//! # use vouch_core::{domain::Domain, log::note, signature::Signature};
//! use vouch_store::{Config, EmbeddedStore, Store};
//! # let dir = tempfile::tempdir()?;
//! # let key = secp256k1::SecretKey::from_byte_array([1; 32])?;
//! # let log_key = ed25519_dalek::SigningKey::from_bytes(&[2; 32]);
//! # let domain = Domain { chain: 1337, settlement: Address::repeat_byte(4) };
//! # let provider = vouch_core::signature::address_of(&key);
//! # let channel = ChannelConfig { payer: Address::repeat_byte(1), payer_authorizer: Address::ZERO,
//! #     receiver: provider, receiver_authorizer: provider, token: Address::repeat_byte(3),
//! #     withdraw_delay: 900, salt: B256::ZERO };
//! let config = Config::new(
//!     domain,
//!     "example.com/log".to_owned(),
//!     Arc::new(|| 1_790_000_000_000), // the real clock here
//!     Arc::new(move |promise| Ok(Signature::sign(promise.digest(&domain), &key))),
//!     Arc::new(move |checkpoint| {
//!         let by_provider = Signature::sign(checkpoint.digest(), &key);
//!         Ok(vec![
//!             note::sign_ed25519(&checkpoint.origin, &log_key, &checkpoint.text()),
//!             note::sign_eip712(&checkpoint.origin, provider, &by_provider),
//!         ])
//!     }),
//! );
//! let (store, _) = EmbeddedStore::open(dir.path(), config)?;
//! let deposit = OnChain { balance: 1_000, ..OnChain::default() };
//! let view = store.open_channel(channel, Mode::Session, deposit).wait()?; // or `.await`
//! assert_eq!((view.accepted, view.charged), (0, 0));
//! assert_eq!(store.publish_checkpoint().wait()?.checkpoint.size, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//! - `charged + reserved <= accepted` on every channel, sequences without a gap, one charge a
//!   request: the machine of [`vouch_core::channel`] decides, in one place.
//! - Nothing is acknowledged before its record is synced; a receipt, the voucher that pays for it
//!   and the stored answer are in the same record.
//! - The uses of data in an answer are in its record too, each counted once in its owner's stream;
//!   together they are credited no more than is charged.
//! - A promise is in the record of its batch: a repeat gets the same bytes, also after a restart.
//! - A checkpoint is durable before anyone sees it, and only ever grows. A log that finds itself
//!   behind a checkpoint it has released does not start.
//! - The journal is the truth; memory, tiles and the index of what memory has forgotten are views
//!   that are rebuilt from it. A start reads the index and the journal behind it.
//! - A call is told from a repeat by memory or the index; an index that cannot be read is an error,
//!   never "new".
//!
//! # What it does not do
//! It checks no signatures of payers (the gateway did), follows no chain (`settle` tells it), and
//! holds no keys: it is given closures that sign. Reservations are not durable: whatever was in
//! flight when the process ended is released.

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
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "a test that overflows or misses an index fails, which is its purpose"
    )
)]

mod api;
mod batch;
mod committer;
mod config;
mod embedded;
mod error;
pub mod fsck;
mod hold;
mod index;
mod log;
mod lookup;
#[cfg(feature = "objects")]
mod objects;
mod pending;
#[cfg(feature = "postgres")]
mod postgres;
mod publish;
mod record;
mod replay;
mod service;
mod state;
mod stream;
pub mod testing;
#[cfg(any(feature = "objects", feature = "postgres"))]
mod threads;
mod tiles;
mod tree;

pub use api::{
    Acknowledged, Begun, Call, ChannelView, Child, Claim, Observed, PayerTotals, Published, Store,
    StoredAnswer, Turn,
};
pub use config::{CheckpointSigner, Clock, Config, PromiseSigner};
pub use embedded::{EmbeddedStore, Opened};
pub use error::{Error, Result};
pub use hold::Hold;
#[cfg(feature = "objects")]
pub use objects::ObjectTiles;
pub use pending::Pending;
#[cfg(feature = "postgres")]
pub use postgres::{Database, PostgresStore};
pub use tiles::{FileTiles, TileStore};
