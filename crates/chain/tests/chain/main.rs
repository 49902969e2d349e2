//! A chain on a real directory, driven by stock alloy clients, over HTTP and in process.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod bad_input;
mod blobs;
mod development;
mod durability;
mod fork;
mod index;
mod otterscan;
mod overrides;
mod proof;
mod prune;
mod subscriptions;
mod support;
mod time;
mod traces;
mod transactions;
