//! Speak to Vouch's contracts from Rust: bindings, compiled code, and where each contract stands.
//!
//! ```text
//! contracts/src --npm run build--> contracts/out --build.rs--> artefacts() --> genesis_code()  embedded chain
//!                                                          |             \--> deploy()        any other network
//!                       MetaMask's npm package --build.rs--> economy_code() --> deploy_economy()  both
//!                        Uniswap's npm packages --at run time--> uniswap::deploy()           both, for tests
//! bindings  <----------- calls, events, errors ----------->  chain, by alloy's `Provider`
//! ```
//!
//! ```
//! use vouch_contracts::{Deployment, addresses};
//!
//! let deployment = Deployment::genesis(31_337);
//! assert_eq!(deployment.settlement, addresses::SETTLEMENT);
//! ```
//!
//! Invariants: this crate compiles without the Solidity artefacts, and says in one sentence at run
//! time that they are missing; bindings equal the artefacts' ABI; no contract of a genesis has
//! immutables, so one runtime code serves any address; the economy's addresses follow from its code
//! and the governance's settings, on every network.
//!
//! It does not follow a chain, keep keys or decide what to claim: that is `settle` and `wallet`.

pub mod addresses;
mod artefacts;
pub mod bindings;
mod convert;
mod create2;
mod demands;
mod deployment;
pub mod economy;
mod error;
mod events;
mod receipt;
mod signing;
pub mod uniswap;

pub use artefacts::{Artefacts, Code, EconomyCode, artefacts, economy_code};
pub use convert::{collector_data, deposit_nonce, fault_evidence, voucher_claim};
pub use demands::{Demand, open_demands};
pub use deployment::{
    Deployment, GenesisContract, Standing, deploy, genesis_code, own_settlement, standing,
};
pub use economy::{Economy, Enforcers, Governance, deploy_economy, economy, vault_under};
pub use error::Error;
pub use events::{BLOCKS_A_QUERY, first_block_since, logs};
pub use receipt::receipt;
pub use signing::signing;
