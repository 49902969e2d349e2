//! Where the contracts stand, and the two storage slots that a genesis must fill.

use alloy::primitives::{Address, U256, address, hex};

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

/// The deterministic deployment proxy: it creates a contract at an address that follows from its
/// init code (CREATE2), the same on every network.
pub const CREATE2_PROXY: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");

/// Its code, the same on every network that has it. Calldata is a salt and the init code.
pub(crate) const CREATE2_PROXY_CODE: [u8; 69] = hex!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe036016000816020823780358282"
    "34f58015156039578182fd5b8082525050506014600cf3"
);

/// The ERC-4337 entry point (0.7) that accounts trust besides their own key. Where nothing stands
/// there, as on an embedded chain, nobody can speak for it.
pub const ENTRY_POINT: Address = address!("0x0000000071727De22E5E9d8BAf0edAc6f37da032");

/// An address that nobody has a key of: owner of what must have one and should have none.
pub const NOBODY: Address = address!("0x000000000000000000000000000000000000dEaD");

/// Slot of `TestDollar.minter`.
pub(crate) const TOKEN_MINTER_SLOT: U256 = U256::ZERO;

/// Slot of `ERC3009DepositCollector.x402BatchSettlement`.
pub(crate) const COLLECTOR_SETTLEMENT_SLOT: U256 = U256::ZERO;
