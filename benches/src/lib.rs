//! Measure what Vouch costs beside what others cost, on one machine in one run.
//!
//! ```text
//! bin/gateway:  load ──▶ vouch up ──▶ stub      the same load, unpaid: load ──▶ LiteLLM ──▶ stub
//!                                               paid by the official client: load ──▶ x402 ──▶ stub
//! bin/model:    exact engine | node-llama-cpp   the same file, ids and threads
//! bin/economy:  buyer ──▶ vouch up ──▶ stub      two agents of uagents, signed and unpaid
//!               backtest, signer, valuation, sourced answers, embeddings: ours alone
//! bin/chain:    load ──▶ vouch chain | anvil | hardhat      the same signed transactions
//!                            └──▶ figure: a table, or a line of JSON each
//! ```
//!
//! Invariants: ours and the peer run in turn within each round, so that a machine whose speed
//! drifts slows both; every call to the gateway is paid, and the books are compared at the end.
//!
//! It judges nothing: the goals, and what the figures mean, are in `docs/BENCHMARKS.md`.

pub mod books;
pub mod disk;
pub mod figure;
pub mod load;
pub mod market;
pub mod payer;
pub mod peers;
pub mod process;
pub mod random;
pub mod stub;
pub mod vouch;
