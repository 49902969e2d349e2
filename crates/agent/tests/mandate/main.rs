//! Mandates on a chain in process, with MetaMask's contracts, Uniswap's and a hostile agent.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod contradictions;
mod enforced;
mod hostile_intents;
mod random;
mod signer;
mod stolen_key;
mod world;
