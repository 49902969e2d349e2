//! The compiled contracts, embedded when this crate was built.

use crate::Error;

/// One contract's code.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// Init code without constructor arguments, for a transaction that creates the contract.
    pub creation: &'static [u8],
    /// Code as it stands at an address; none of a genesis has immutables.
    pub runtime: &'static [u8],
}

/// The contracts of a genesis.
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

/// Init code of the economy's contracts, without constructor arguments. It is deployed, never placed
/// in a genesis: some have immutables.
#[derive(Debug, Clone, Copy)]
pub struct EconomyCode {
    /// `ConsentRegistry()`.
    pub consent: &'static [u8],
    /// `LineageRegistry()`.
    pub lineage: &'static [u8],
    /// `RoyaltyVault(address registry, address parameters)`.
    pub vault: &'static [u8],
    /// `ContributionRoot()`.
    pub contributions: &'static [u8],
    /// `ProtocolParameters(address owner)`.
    pub parameters: &'static [u8],
    /// `VouchVotes(address holder, uint256 supply)`.
    pub votes: &'static [u8],
    /// `VouchGovernor(address votes, uint48 delay, uint32 period, uint256 threshold,
    /// uint256 quorumPercent, uint256 timelockDelay)`; creates its timelock.
    pub governor: &'static [u8],
    /// `KeyRegistry()`.
    pub keys: &'static [u8],
    /// `Faults(address token, address parameters, address keys, address settlement)`; creates the
    /// vault of bonds.
    pub faults: &'static [u8],
    /// `SpendPerPeriodEnforcer()`.
    pub spend_per_period: &'static [u8],
    /// MetaMask's `DelegationManager(address owner)`.
    pub delegation_manager: &'static [u8],
    /// MetaMask's `EIP7702StatelessDeleGator(address delegationManager, address entryPoint)`.
    pub delegator: &'static [u8],
    /// MetaMask's `AllowedTargetsEnforcer()`.
    pub allowed_targets: &'static [u8],
    /// MetaMask's `AllowedMethodsEnforcer()`.
    pub allowed_methods: &'static [u8],
    /// MetaMask's `AllowedCalldataEnforcer()`.
    pub allowed_calldata: &'static [u8],
    /// MetaMask's `ExactCalldataEnforcer()`.
    pub exact_calldata: &'static [u8],
    /// MetaMask's `TimestampEnforcer()`.
    pub timestamp: &'static [u8],
    /// MetaMask's `LimitedCallsEnforcer()`.
    pub limited_calls: &'static [u8],
    /// MetaMask's `ERC20TransferAmountEnforcer()`.
    pub erc20_transfer_amount: &'static [u8],
    /// MetaMask's `ERC20PeriodTransferEnforcer()`.
    pub erc20_period_transfer: &'static [u8],
    /// MetaMask's `NativeTokenPeriodTransferEnforcer()`.
    pub native_period_transfer: &'static [u8],
    /// MetaMask's `ValueLteEnforcer()`.
    pub value_lte: &'static [u8],
    /// MetaMask's `RedeemerEnforcer()`.
    pub redeemer: &'static [u8],
    /// MetaMask's `NonceEnforcer()`.
    pub nonce: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/artefacts.rs"));

/// The compiled contracts.
///
/// # Errors
/// [`Error::NotBuilt`] if `contracts/out` was empty when this crate was built.
pub fn artefacts() -> Result<Artefacts, Error> {
    EMBEDDED.ok_or(Error::NotBuilt)
}

/// The economy's init code.
///
/// # Errors
/// [`Error::NotBuilt`] if `contracts/out` or MetaMask's package was missing when this crate was built.
pub fn economy_code() -> Result<EconomyCode, Error> {
    ECONOMY.ok_or(Error::NotBuilt)
}
