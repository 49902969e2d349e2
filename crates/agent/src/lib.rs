//! Let agents act inside mandates that a chain enforces.
#![deny(missing_docs)]

pub mod govern;
pub mod market;
pub mod portfolio;
pub mod report;
pub mod run;
pub mod strategy;
