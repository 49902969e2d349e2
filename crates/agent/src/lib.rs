//! Let agents act inside mandates that a chain enforces.
#![deny(missing_docs)]

pub mod act;
mod decimal;
pub mod govern;
pub mod intent;
pub mod mandate;
pub mod market;
pub mod portfolio;
pub mod report;
pub mod run;
pub mod signer;
pub mod strategy;
