//! Sell answers of models: a paid, metered, receipted front in OpenAI's API.
//!
//! ```text
//! request ─▶ read, price ─▶ unpaid? ── 402 offer
//!                │ paid
//!                ▼
//!        signatures, channel ─▶ reserve ─▶ engine ─▶ chunk, chunk ─▶ buyer
//!         (payment, session)     (store)     │  ▲
//!                                            │  └─ extend, or wait for a voucher
//!                                            ▼
//!                                  commit: charge + receipt + answer, one durable write
//!                                            ▼
//!                                     Acknowledgement ─▶ buyer
//! ```
//!
//! Invariants:
//! - No token leaves before a voucher covers it; what is charged is what was generated, and never
//!   more than the payer's signed maximum.
//! - A call that began ends in a commit or a release, whatever happens to its connection: it runs
//!   in a task of its own.
//! - An acknowledgement is given only for what is durable.
//! - One request, one charge: a repeat gets the stored answer.
//! - Who is paid for a source is decided by grants and rule before a word is generated, and every
//!   source that was put into a prompt leaves a receipt with the answer's.
//! - Connections are bounded, a body is bounded before it is read, calls are bounded before they
//!   run, and nothing a stranger sent is logged raw.
//!
//! It holds no keys, follows no chain, has no data and keeps no state of its own: the store,
//! [`Settlement`] and [`Sources`] do. `docs/PROTOCOL.md` says what travels.
#![deny(missing_docs)]

mod app;
mod body;
mod call;
mod catalog;
mod config;
mod connections;
mod deposit;
mod error;
mod log;
mod metrics;
mod offer;
mod payment;
mod provider;
mod refund;
mod routes;
mod server;
mod settlement;
mod sources;
mod stalling;
mod uses;
mod wakers;
mod work;

pub use catalog::{ModelConfig, ModelEngine, TokenizerDocument};
pub use config::{Config, Limits};
pub use error::SetupError;
pub use server::Gateway;
pub use settlement::{Deposited, Settlement, SettlementError};
pub use sources::{Passage, Retrieval, SUFFIX, Sources, SourcesError, Sourcing};
