//! Let agents act inside mandates that a chain enforces.
#![deny(missing_docs)]

pub mod act;
mod decimal;
pub mod intent;
pub mod mandate;
pub mod signer;
