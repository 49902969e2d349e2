//! Run a strategy: one event loop, whether the events come from a chain or from a file.
//!
//! ```text
//!            ┌────────────── Journal: every event and effect, synced before it acts ──────────────┐
//!  Live:     chain ──▶ Block ──▶ Machine ──▶ Order ──▶ Executor ──▶ Outcome ──▶ Machine ...       │
//!                                   └─────▶ Ask ──▶ Adviser ──▶ Advice ──▶ Machine                ▼
//!  replay:   events of a journal ──▶ Machine ──▶ the same effects, byte for byte             the report
//!  simulate: a price history ──▶ Block ──▶ Machine ──▶ Order ──▶ filled at the next block
//! ```
//!
//! # Invariants
//! - [`Machine`] is pure: the same portfolio and events give the same effects. It has no clock; time
//!   is the blocks'.
//! - One order or question at a time. An order whose outcome is unknown stays open, and nothing is
//!   sent again: it is reconciled until it has settled or can no longer.
//! - No strategy and no model sets a price, a minimum or a deadline: those come from the limits.
//! - An order is durable before it can reach the chain, and the transaction's hash before it is sent.
//!
//! # What it does not do
//! It trusts the pools' prices at the end of a block. Someone who moves a pool for a whole block moves
//! the decision too; `limits.max_move_bps` waits a block when a price jumps, `min_out` bounds the
//! loss of a swap, and the account's mandate bounds everything.

mod calls;
mod direct;
mod error;
mod executor;
mod journal;
mod limit;
mod live;
mod machine;
mod order;
mod signed;
mod simulate;

pub use calls::{Call, calls};
pub use direct::Direct;
pub use error::{Error, Result};
pub use executor::{Adviser, Executor, Note};
pub use journal::{Begin, Entry, Journal, Replay, replay};
pub use live::{Live, Progress};
pub use machine::{Machine, Phase};
pub use order::{Action, Effect, Event, Fill, Order, Outcome, Refusal, Sent, Venue};
pub use signed::Signed;
pub use simulate::{Costs, History, simulate};
