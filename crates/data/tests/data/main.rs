//! What needs files, a chain, or several parts at once.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod consent;
mod dataset;
mod lineage;
mod payout;
mod search;
mod serve;
mod support;
mod value;
