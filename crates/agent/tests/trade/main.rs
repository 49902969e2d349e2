//! Trading against the real Uniswap contracts on a real chain in process.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod govern;
mod live;
mod market;
mod report;
mod world;
