//! The gateway over real HTTP, on a real store; the engine is a stub and the chain a fake.
#![allow(missing_docs, reason = "tests")]

mod bad_input;
mod buyer;
mod fake_settlement;
mod harness;
mod log;
mod session;
mod stock;
mod stop;
mod stub_engine;
