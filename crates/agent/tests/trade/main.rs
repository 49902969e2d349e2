//! Trading against the real Uniswap contracts on a real chain in process.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

#[path = "../mandate/world.rs"]
#[allow(dead_code, reason = "the mandates' tests use all of it")]
mod guarded;

mod govern;
mod live;
mod market;
mod report;
mod signed;
mod world;
