//! Bindings to the contracts, written out so that they need no artefacts to compile.
//!
//! `tests/abi.rs` holds them to the artefacts' own ABI, third parties' to the ABI in their packages.

pub mod delegation;
pub mod economy;
pub mod faults;
pub mod governance;
pub mod settlement;
pub mod uniswap;

pub use delegation::{
    DelegationManager, EIP7702StatelessDeleGator, ERC20PeriodTransferEnforcer,
    LimitedCallsEnforcer, SpendPerPeriodEnforcer,
};
pub use economy::{ConsentRegistry, ContributionRoot, LineageRegistry, RoyaltyVault};
pub use faults::{BondVault, Faults, KeyRegistry};
pub use governance::{ProtocolParameters, TimelockController, VouchGovernor, VouchVotes};
pub use settlement::{
    BatchSettlement, CheckpointAnchor, ClaimBatch, ClaimEntry, ERC3009DepositCollector, Erc20,
    ReceiveWithAuthorization, Refund, TestDollar,
};
pub use uniswap::{
    NonfungiblePositionManager, QuoterV2, SwapRouter02, UniswapV2Factory, UniswapV2Pair,
    UniswapV2Router02, UniswapV3Factory, UniswapV3Pool, WETH9,
};
