//! Run the house in a simulated world, where any fault can happen and every run can be repeated.
//!
//! ```text
//!  one seed ──▶ world ── payers, honest and cheating ──┐  lost, late, doubled, reordered
//!                 │                                    ▼
//!                 ├── 3 gateways: the real store on a disk that fails at any operation
//!                 ├── settler, witness: the real rules
//!                 ├── a chain with reorganisations
//!                 └── oracle: judges each step from outside
//! ```
//! One thread, no wall clock, one generator: a seed and a number of steps are a run. The store's
//! committer and publisher are stepped by hand ([`vouch_store::testing`]), so that a crash can come
//! between any two of their steps.
//!
//! ```
//! let report = vouch_simulation::run(1, 300).map_err(|failure| failure.violation.to_string());
//! assert!(report.is_ok_and(|report| report.receipts > 0));
//! ```
//!
//! What is real: `vouch_core`'s signatures, channel machine and rules (vouchers, requests, expiry,
//! what counts of the chain, what is read after a reorganisation, what is claimed), `vouch_store`
//! with `vouch_journal` below it, `vouch_evidence` in the witness. What is not: HTTP, the EVM, and
//! the queue of the settler's transactions. The oracle shares no code with what it judges.
//!
//! `cargo xtask simulate --steps 2000 --seed 1 --seeds 100` runs a hundred worlds.

pub mod chain;
pub mod gateway;
pub mod message;
pub mod oracle;
pub mod parties;
pub mod payer;
pub mod random;
pub mod tiles;
pub mod witness;
mod world;

pub use vouch_core::planted::{Bug, plant};
pub use world::{Failure, Report, run};
