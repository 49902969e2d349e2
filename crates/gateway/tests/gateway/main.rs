//! The gateway over real HTTP, on a real store; the engine is a stub and the chain a fake.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test that unwraps wrongly fails, which is its purpose"
)]

mod attacks;
mod bad_input;
mod buyer;
mod deposits;
mod embeddings;
mod fake_settlement;
mod fake_sources;
mod harness;
mod limits;
mod log;
mod session;
mod sourced;
mod stock;
mod stop;
mod stub_embedder;
mod stub_engine;
mod uses;
