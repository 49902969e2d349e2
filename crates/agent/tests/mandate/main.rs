//! Mandates on a chain in process, with MetaMask's contracts, Uniswap's and a hostile agent.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod enforced;
mod world;
