//! The compiled contracts, embedded when this crate was built.

use crate::Error;

/// One contract's code.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// Init code without constructor arguments, for a transaction that creates the contract.
    pub creation: &'static [u8],
    /// Code as it stands at an address; none of ours has immutables.
    pub runtime: &'static [u8],
}

/// All contracts.
#[derive(Debug, Clone, Copy)]
pub struct Artefacts {
    /// `TestDollar(address minter)`.
    pub token: Code,
    /// `BatchSettlement()`.
    pub settlement: Code,
    /// `ERC3009DepositCollector(address settlement)`.
    pub collector: Code,
    /// `CheckpointAnchor()`.
    pub anchor: Code,
    /// `Multicall3()`.
    pub multicall: Code,
}

include!(concat!(env!("OUT_DIR"), "/artefacts.rs"));

/// The compiled contracts.
///
/// # Errors
/// [`Error::NotBuilt`] if `contracts/out` was empty when this crate was built.
pub fn artefacts() -> Result<Artefacts, Error> {
    EMBEDDED.ok_or(Error::NotBuilt)
}
