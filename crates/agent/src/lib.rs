//! Let agents act inside mandates that a chain enforces.
#![deny(missing_docs)]

mod decimal;
pub mod intent;
pub mod mandate;
