//! The first block: who owns what when a chain begins, and which rules hold when.

use alloy::consensus::Header;
use alloy::consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy::eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy::eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy::eips::eip7840::BlobParams;
use alloy::genesis::{ChainConfig, GenesisAccount as Leaf};
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::primitives::hardfork::SpecId;
use serde::Deserialize;

use crate::block::INITIAL_BASE_FEE_WEI;
use crate::fork::ForkPoint;
use crate::rules::{self, Rules};
use crate::{Error, Result};

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

/// What block 0 says, in the form of geth's `genesis.json`, or what is changed after the block that
/// is forked from. Written to the journal once; later openings use the stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    geth: alloy::genesis::Genesis,
    fork: Option<ForkPoint>,
}

/// One account of the genesis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
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
    /// A chain by the rules of Osaka with a high gas limit, for one machine. All it has is the
    /// contract in which Ethereum keeps block hashes (EIP-2935).
    pub fn development(chain_id: u64, timestamp: u64) -> Self {
        let osaka = ChainConfig { osaka_time: Some(0), ..prague(chain_id) };
        let genesis = alloy::genesis::Genesis {
            config: osaka,
            timestamp,
            gas_limit: DEVELOPMENT_GAS_LIMIT,
            ..alloy::genesis::Genesis::default()
        };
        Self::new(genesis, None).with_account(
            HISTORY_STORAGE_ADDRESS,
            GenesisAccount::contract(HISTORY_STORAGE_CODE.clone()),
        )
    }

    /// A chain that goes on from a block of another, with its id, by the rules of Osaka. Accounts
    /// that are added get their balance; what else they are is as it is there.
    pub fn fork(point: ForkPoint) -> Self {
        let mut osaka = ChainConfig { osaka_time: Some(0), ..prague(point.chain_id()) };
        // As Ethereum's networks have it now: what blobs cost there goes on.
        osaka.blob_schedule.insert("osaka".to_owned(), BlobParams::bpo2());
        let header = point.header();
        let genesis = alloy::genesis::Genesis {
            config: osaka,
            timestamp: header.timestamp,
            gas_limit: header.gas_limit,
            ..alloy::genesis::Genesis::default()
        };
        Self::new(genesis, Some(point))
    }

    /// As a journal has it.
    pub(crate) fn new(geth: alloy::genesis::Genesis, fork: Option<ForkPoint>) -> Self {
        Self { geth, fork }
    }

    /// As geth has it.
    pub(crate) fn geth(&self) -> &alloy::genesis::Genesis {
        &self.geth
    }

    /// The block that is forked from.
    pub fn fork_point(&self) -> Option<&ForkPoint> {
        self.fork.as_ref()
    }

    /// The number of the first block: 0, or of that which is forked from.
    pub(crate) fn first_block(&self) -> u64 {
        self.fork.as_ref().map_or(0, ForkPoint::number)
    }

    /// Reads geth's `genesis.json`.
    ///
    /// # Errors
    /// [`Error::Genesis`] if it is none, contradicts itself, or names rules that are not supported.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let genesis = serde_json::from_slice(json).map_err(|e| Error::Genesis(e.to_string()))?;
        let genesis = Self::new(genesis, None);
        genesis.validate()?;
        Ok(genesis)
    }

    /// Adds an account; for building in one expression.
    #[must_use]
    pub fn with_account(mut self, address: Address, account: GenesisAccount) -> Self {
        let storage = account.storage.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        let leaf = Leaf::default()
            .with_balance(account.balance)
            .with_nonce(Some(account.nonce))
            .with_code(Some(account.code))
            .with_storage(Some(storage.collect()));
        self.geth.alloc.insert(address, leaf);
        self
    }

    /// With another chain id, 1 to 2^52 - 1; for building in one expression.
    #[must_use]
    pub fn with_chain_id(mut self, chain_id: u64) -> Self {
        self.geth.config.chain_id = chain_id;
        self
    }

    /// With another gas limit of a block, at least 5,000.
    #[must_use]
    pub fn with_gas_limit(mut self, gas_limit: u64) -> Self {
        self.geth.gas_limit = gas_limit;
        self
    }

    /// With another timestamp of block 0, in seconds since the Unix epoch.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: u64) -> Self {
        self.geth.timestamp = timestamp;
        self
    }

    /// Whether it begins with this account.
    pub fn has_account(&self, address: Address) -> bool {
        self.geth.alloc.contains_key(&address)
    }

    /// EIP-155 chain id, 1 to 2^52 - 1.
    pub fn chain_id(&self) -> u64 {
        self.geth.config.chain_id
    }

    /// Timestamp of the first block, seconds since the Unix epoch.
    pub fn timestamp(&self) -> u64 {
        self.geth.timestamp
    }

    /// Gas that a block may use at first.
    pub(crate) fn gas_limit(&self) -> u64 {
        self.geth.gas_limit
    }

    /// When which fork begins.
    pub(crate) fn config(&self) -> &ChainConfig {
        &self.geth.config
    }

    /// Accounts that exist from the beginning.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (Address, &Leaf)> {
        self.geth.alloc.iter().map(|(address, account)| (*address, account))
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let (chain_id, gas_limit) = (self.chain_id(), self.geth.gas_limit);
        if chain_id == 0 || chain_id >> CHAIN_ID_BITS != 0 {
            return Err(Error::Genesis(format!(
                "chain id {chain_id} is not between 1 and 2^{CHAIN_ID_BITS} - 1"
            )));
        }
        if gas_limit < 5_000 || gas_limit > i64::MAX as u64 {
            return Err(Error::Genesis(format!("gas limit {gas_limit} is out of range")));
        }
        if self.geth.number.is_some_and(|number| number > 0) {
            return Err(Error::Genesis("it is not of block 0".to_owned()));
        }
        rules::check(self.config())
    }

    pub(crate) fn header(&self, state_root: B256) -> Header {
        let genesis = &self.geth;
        let merged = rules::is_merged(self.config(), genesis.difficulty);
        let rules = Rules::of(self.config(), 0, genesis.timestamp, merged);
        let (london, cancun) = (rules.are(SpecId::LONDON), rules.are(SpecId::CANCUN));
        let base_fee = genesis.base_fee_per_gas.and_then(|fee| u64::try_from(fee).ok());
        Header {
            parent_hash: genesis.parent_hash.unwrap_or_default(),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: genesis.coinbase,
            state_root,
            transactions_root: EMPTY_ROOT_HASH,
            receipts_root: EMPTY_ROOT_HASH,
            difficulty: genesis.difficulty,
            gas_limit: genesis.gas_limit,
            timestamp: genesis.timestamp,
            extra_data: genesis.extra_data.clone(),
            mix_hash: genesis.mix_hash,
            nonce: genesis.nonce.into(),
            base_fee_per_gas: london.then(|| base_fee.unwrap_or(INITIAL_BASE_FEE_WEI)),
            withdrawals_root: rules.are(SpecId::SHANGHAI).then_some(EMPTY_WITHDRAWALS),
            blob_gas_used: cancun.then(|| genesis.blob_gas_used.unwrap_or_default()),
            excess_blob_gas: cancun.then(|| genesis.excess_blob_gas.unwrap_or_default()),
            parent_beacon_block_root: cancun.then_some(B256::ZERO),
            requests_hash: rules.are(SpecId::PRAGUE).then_some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        }
    }
}

/// All forks up to Prague, from the beginning.
fn prague(chain_id: u64) -> ChainConfig {
    ChainConfig {
        chain_id,
        homestead_block: Some(0),
        eip150_block: Some(0),
        eip155_block: Some(0),
        eip158_block: Some(0),
        byzantium_block: Some(0),
        constantinople_block: Some(0),
        petersburg_block: Some(0),
        istanbul_block: Some(0),
        berlin_block: Some(0),
        london_block: Some(0),
        merge_netsplit_block: Some(0),
        shanghai_time: Some(0),
        cancun_time: Some(0),
        prague_time: Some(0),
        terminal_total_difficulty: Some(U256::ZERO),
        terminal_total_difficulty_passed: true,
        ..ChainConfig::default()
    }
}

/// What the first version stored: chains by the rules of Prague.
#[derive(Debug, Deserialize)]
pub(crate) struct FirstGenesis {
    chain_id: u64,
    timestamp: u64,
    gas_limit: u64,
    alloc: Vec<(Address, GenesisAccount)>,
}

impl From<FirstGenesis> for Genesis {
    fn from(first: FirstGenesis) -> Self {
        let genesis = alloy::genesis::Genesis {
            config: prague(first.chain_id),
            timestamp: first.timestamp,
            gas_limit: first.gas_limit,
            ..alloy::genesis::Genesis::default()
        };
        let genesis = Self::new(genesis, None);
        let accounts = first.alloc.into_iter();
        accounts.fold(genesis, |genesis, (address, account)| genesis.with_account(address, account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused() {
        let good = Genesis::development(random_chain_id().unwrap(), 1);
        assert!(good.validate().is_ok());
        let changed = |change: fn(&mut alloy::genesis::Genesis)| {
            let mut genesis = good.clone();
            change(&mut genesis.geth);
            genesis.validate()
        };
        assert!(changed(|genesis| genesis.config.chain_id = 0).is_err());
        assert!(changed(|genesis| genesis.config.chain_id = 1 << 52).is_err());
        assert!(changed(|genesis| genesis.gas_limit = 10).is_err());
        assert!(changed(|genesis| genesis.number = Some(3)).is_err());
        assert!(changed(|genesis| genesis.config.prague_time = None).is_err());
    }

    #[test]
    fn what_is_stored_is_read_as_it_was() {
        let account = GenesisAccount {
            balance: U256::from(7),
            storage: vec![(U256::from(1), U256::from(2))],
            ..GenesisAccount::contract(Bytes::from_static(&[0x5f]))
        };
        let genesis = Genesis::development(9, 5).with_account(Address::ZERO, account);
        let stored = serde_json::to_vec(genesis.geth()).unwrap();
        assert_eq!(Genesis::from_json(&stored).unwrap(), genesis);
        assert!(Genesis::from_json(b"{}").is_err());
    }

    #[test]
    fn random_ids_stay_below_the_limit() {
        for _ in 0..1000 {
            let id = random_chain_id().unwrap();
            assert!((CHAIN_ID_RANDOM_FROM..1 << CHAIN_ID_BITS).contains(&id));
        }
    }
}
