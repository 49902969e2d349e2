//! Let agents act inside mandates that a chain enforces.
#![deny(missing_docs)]

pub mod market;
