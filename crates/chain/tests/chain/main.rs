//! A chain on a real directory, driven by stock alloy clients, over HTTP and in process.

mod bad_input;
mod durability;
mod proof;
mod support;
mod time;
mod transactions;
