//! Where the contracts stand, and the two storage slots that a genesis must fill.

use alloy::primitives::{Address, U256, address};

/// x402's settlement contract, the same on every network: clients have it built in.
pub const SETTLEMENT: Address = address!("0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003");

/// x402's collector for ERC-3009 deposits.
pub const COLLECTOR: Address = address!("0x4020806089470a89826cB9fB1f4059150b550004");

/// Where libraries look for Multicall3.
pub const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// The test dollar of an embedded chain; the address begins with "Vouch" in ASCII.
pub const TOKEN: Address = address!("0x566f756368000000000000000000000000000001");

/// The checkpoint anchor of an embedded chain.
pub const ANCHOR: Address = address!("0x566f756368000000000000000000000000000002");

/// Slot of `TestDollar.minter`.
pub(crate) const TOKEN_MINTER_SLOT: U256 = U256::ZERO;

/// Slot of `ERC3009DepositCollector.x402BatchSettlement`.
pub(crate) const COLLECTOR_SETTLEMENT_SLOT: U256 = U256::ZERO;
