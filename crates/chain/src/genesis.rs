//! The first block: who owns what when a chain begins.

use std::collections::BTreeSet;

use alloy::consensus::Header;
use alloy::consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy::eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy::eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Base fee of block 0, in wei (1 gwei, EIP-1559's initial value). Blocks below half of their gas
/// limit lower it by up to an eighth each, down to 7 wei.
const INITIAL_BASE_FEE_WEI: u64 = 1_000_000_000;
/// Gas limit of development chains. Far above mainnet's, so that a burst of transactions neither
/// waits nor raises the base fee; single transactions are capped by
/// [`TX_GAS_LIMIT_CAP`](crate::execute::TX_GAS_LIMIT_CAP).
const DEVELOPMENT_GAS_LIMIT: u64 = 1_000_000_000;
/// Chain ids stay below this, so that JavaScript numbers hold them exactly.
const CHAIN_ID_BITS: u32 = 52;
/// Random ids start here, clear of the registered ones.
const CHAIN_ID_RANDOM_FROM: u64 = 1 << 40;

/// A random chain id from 2^40 to below 2^52: signatures for one chain are worthless on another.
///
/// # Errors
/// [`Error::System`] if the system has no random numbers to give.
pub fn random_chain_id() -> Result<u64> {
    let random = getrandom::u64()
        .map_err(|e| Error::System { what: "random numbers", reason: e.to_string() })?;
    Ok(CHAIN_ID_RANDOM_FROM + random % ((1 << CHAIN_ID_BITS) - CHAIN_ID_RANDOM_FROM))
}

/// What block 0 says. Written to the journal once; later openings use the stored one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// EIP-155 chain id, 1 to 2^52 - 1.
    pub chain_id: u64,
    /// Timestamp of block 0, seconds since the Unix epoch.
    pub timestamp: u64,
    /// Gas limit of every block, at least 5,000.
    pub gas_limit: u64,
    /// Accounts that exist from the beginning; each address once.
    pub alloc: Vec<(Address, GenesisAccount)>,
}

/// One account of the genesis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenesisAccount {
    /// Balance in wei.
    pub balance: U256,
    /// Nonce; contracts have 1 on Ethereum.
    pub nonce: u64,
    /// Code, as deployed (not init code).
    pub code: Bytes,
    /// Storage: slot to value.
    pub storage: Vec<(U256, U256)>,
}

impl GenesisAccount {
    /// An account that owns `balance` wei and nothing else.
    pub fn funded(balance: U256) -> Self {
        Self { balance, ..Self::default() }
    }

    /// A contract with `code`, nonce 1.
    pub fn contract(code: Bytes) -> Self {
        Self { code, nonce: 1, ..Self::default() }
    }
}

impl Genesis {
    /// A chain with a high gas limit, for one machine. All it has is the contract in which
    /// Ethereum keeps block hashes (EIP-2935).
    pub fn development(chain_id: u64, timestamp: u64) -> Self {
        Self { chain_id, timestamp, gas_limit: DEVELOPMENT_GAS_LIMIT, alloc: Vec::new() }
            .with_account(
                HISTORY_STORAGE_ADDRESS,
                GenesisAccount::contract(HISTORY_STORAGE_CODE.clone()),
            )
    }

    /// Adds an account; for building in one expression.
    #[must_use]
    pub fn with_account(mut self, address: Address, account: GenesisAccount) -> Self {
        self.alloc.push((address, account));
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if self.chain_id == 0 || self.chain_id >> CHAIN_ID_BITS != 0 {
            return Err(Error::Genesis(format!(
                "chain id {} is not between 1 and 2^{CHAIN_ID_BITS} - 1",
                self.chain_id
            )));
        }
        if self.gas_limit < 5_000 || self.gas_limit > i64::MAX as u64 {
            return Err(Error::Genesis(format!("gas limit {} is out of range", self.gas_limit)));
        }
        let mut seen = BTreeSet::new();
        match self.alloc.iter().find(|(address, _)| !seen.insert(*address)) {
            Some((address, _)) => Err(Error::Genesis(format!("{address} is listed twice"))),
            None => Ok(()),
        }
    }

    pub(crate) fn header(&self, state_root: B256) -> Header {
        Header {
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            state_root,
            transactions_root: EMPTY_ROOT_HASH,
            receipts_root: EMPTY_ROOT_HASH,
            gas_limit: self.gas_limit,
            timestamp: self.timestamp,
            base_fee_per_gas: Some(INITIAL_BASE_FEE_WEI),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused() {
        let good = Genesis::development(random_chain_id().unwrap(), 1);
        assert!(good.validate().is_ok());
        assert!(Genesis { chain_id: 0, ..good.clone() }.validate().is_err());
        assert!(Genesis { chain_id: 1 << 52, ..good.clone() }.validate().is_err());
        assert!(Genesis { gas_limit: 10, ..good.clone() }.validate().is_err());
        let twice = good
            .with_account(Address::ZERO, GenesisAccount::default())
            .with_account(Address::ZERO, GenesisAccount::default());
        assert!(twice.validate().unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn random_ids_stay_below_the_limit() {
        for _ in 0..1000 {
            let id = random_chain_id().unwrap();
            assert!((CHAIN_ID_RANDOM_FROM..1 << CHAIN_ID_BITS).contains(&id));
        }
    }
}
