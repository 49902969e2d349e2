//! Accounts, storage and code: the newest state flat in memory, behind it the values before each
//! block.
//!
//! ```text
//! State  (flat, newest) ◀── apply(Changes) ── Overlay (one block's writes) ◀── EVM
//!   ├ History (values before each block)
//!   └ Fork    (what a chain that goes on from another has not changed)
//! Tries  (the same content as Merkle-Patricia tries, for roots and proofs)
//! ```
//! On a fork, state and tries hold only what differs from the other chain: zeros and accounts that
//! are gone, too, and nothing that was changed back. So a root says what the difference is, however
//! it came about; it is not the root that the other network would have.

mod history;
mod overlay;
mod patch;
#[cfg(test)]
mod tests;
mod trie;
mod tries;

use std::sync::Arc;

use alloy_primitives::map::{AddressMap, AddressSet, B256Map, HashMap};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use revm::bytecode::Bytecode;

use crate::error::INDEX_UNREADABLE;
use crate::fork::Fork;
use crate::index::Before;

pub(crate) use history::{History, LOOKED_THROUGH_BYTES, LOOKED_THROUGH_OFTEN_BYTES};
pub(crate) use overlay::Overlay;
pub(crate) use patch::Patch;
pub(crate) use tries::{Scratch, Tries};

/// An account as the state trie's leaf has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) storage_root: B256,
    pub(crate) code_hash: B256,
}

impl Account {
    pub(crate) fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }

    /// As EIP-161 has it: whatever is stored.
    pub(crate) fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && !self.has_code()
    }
}

impl Account {
    /// As the state's trie has it.
    pub(crate) fn leaf(&self) -> TrieAccount {
        TrieAccount::new(self.nonce, self.balance, self.storage_root, self.code_hash)
    }
}

impl From<TrieAccount> for Account {
    fn from(leaf: TrieAccount) -> Self {
        Self {
            nonce: leaf.nonce,
            balance: leaf.balance,
            storage_root: leaf.storage_root,
            code_hash: leaf.code_hash,
        }
    }
}

impl Default for Account {
    fn default() -> Self {
        Self {
            nonce: 0,
            balance: U256::ZERO,
            storage_root: EMPTY_ROOT_HASH,
            code_hash: KECCAK256_EMPTY,
        }
    }
}

/// Why state cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    #[error("the state of block {number} is no longer kept (the oldest kept is {oldest})")]
    Pruned { number: u64, oldest: u64 },
    #[error("block {number} does not exist yet (the latest is {latest})")]
    Future { number: u64, latest: u64 },
    #[error("the code with hash {0} is missing")]
    MissingCode(B256),
    #[error("the chain has stopped: roots and proofs are not available")]
    Ahead,
    #[error(
        "too much has changed since block {number} to prove anything of it: {bytes} bytes of \
         earlier values, at most {most} are looked through"
    )]
    TooFar { number: u64, bytes: u64, most: u64 },
    #[error("proofs are not possible on a fork: most of its state is with the other chain's node")]
    Unproven,
    #[error("the fork cannot be read: {0}")]
    Fork(String),
    #[error("{INDEX_UNREADABLE} ({0})")]
    Index(String),
}

impl revm::database_interface::DBErrorMarker for StateError {}

/// State at one block, for the EVM and for queries.
pub(crate) trait StateRead {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError>;
    /// Zero where nothing is stored.
    fn slot(&self, address: Address, key: U256) -> Result<U256, StateError>;
    fn code(&self, hash: B256) -> Result<Bytecode, StateError>;
    /// Zero for blocks that `BLOCKHASH` does not know.
    fn block_hash(&self, number: u64) -> Result<B256, StateError>;
}

/// What one account became in one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountChange {
    pub(crate) address: Address,
    /// `None`: it is gone, and so is its storage (`slots` has a zero for each).
    pub(crate) account: Option<Account>,
    /// New values of slots that differ from before, zero where cleared; each key once.
    pub(crate) slots: Vec<(U256, U256)>,
}

/// All that one block changed, by address; nothing that stayed as it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    pub(crate) accounts: Vec<AccountChange>,
    pub(crate) codes: Vec<(B256, Bytecode)>,
}

impl Changes {
    /// Drops what `state` has already. Storage roots must be those of `state`, or filled in.
    pub(crate) fn retain_changed(&mut self, state: &State) -> Result<(), StateError> {
        if let Some(fork) = &state.fork {
            // What follows asks for all of it, and must not fail.
            let addresses: Vec<Address> = self.accounts.iter().map(|c| c.address).collect();
            fork.prefetch(&addresses)?;
            fork.prefetch_slots(&self.slots())?;
        }
        let mut failed = Ok(());
        let mut differs = |outcome: Result<bool, StateError>| {
            outcome.unwrap_or_else(|error| {
                failed = Err(error);
                true
            })
        };
        self.accounts.retain_mut(|change| {
            let address = change.address;
            change.slots.retain(|(key, value)| {
                differs(state.slot(address, *key).map(|before| before != *value))
            });
            let account = state.account(address).map(|before| before != change.account);
            differs(account) || !change.slots.is_empty()
        });
        failed
    }

    /// All slots that they name.
    pub(crate) fn slots(&self) -> Vec<(Address, U256)> {
        let of = |change: &AccountChange| {
            let address = change.address;
            change.slots.iter().map(move |(key, _)| (address, *key)).collect::<Vec<_>>()
        };
        self.accounts.iter().flat_map(of).collect()
    }

    /// What takes them back: what `state` has.
    pub(crate) fn undone(&self, state: &State) -> Result<Self, StateError> {
        let undone = |change: &AccountChange| {
            let address = change.address;
            let slots = change.slots.iter();
            let slots = slots.map(|(key, _)| Ok((*key, state.slot(address, *key)?)));
            let slots = slots.collect::<Result<_, StateError>>()?;
            Ok(AccountChange { address, account: state.account(address)?, slots })
        };
        let accounts = self.accounts.iter().map(undone).collect::<Result<_, StateError>>()?;
        Ok(Self { accounts, codes: Vec::new() })
    }
}

/// The newest state and the values before it.
#[derive(Debug)]
pub(crate) struct State {
    number: u64,
    accounts: AddressMap<Account>,
    /// Accounts of the fork that exist no more.
    gone: AddressSet,
    /// Zeros, too, where the fork has something.
    slots: AddressMap<HashMap<U256, U256>>,
    stored_slots: usize,
    /// By hash. Never removed: what a pruned block deployed may be deployed again.
    codes: B256Map<Bytecode>,
    code_bytes: usize,
    history: History,
    fork: Option<Arc<Fork>>,
}

impl State {
    /// The state before the first block: of nothing, or after the block that is forked from.
    pub(crate) fn new(history: History, fork: Option<Arc<Fork>>) -> Self {
        Self {
            number: fork.as_ref().map_or(0, |fork| fork.point().number()),
            accounts: AddressMap::default(),
            gone: AddressSet::default(),
            slots: AddressMap::default(),
            stored_slots: 0,
            codes: B256Map::default(),
            code_bytes: 0,
            history,
            fork,
        }
    }

    /// The newest block's number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The other chain that this one goes on from.
    pub(crate) fn fork(&self) -> Option<&Arc<Fork>> {
        self.fork.as_ref()
    }

    pub(crate) fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match (self.accounts.get(&address), &self.fork) {
            (Some(account), _) => Ok(Some(*account)),
            (None, Some(fork)) if !self.gone.contains(&address) => fork.account(address),
            (None, _) => Ok(None),
        }
    }

    pub(crate) fn slot(&self, address: Address, key: U256) -> Result<U256, StateError> {
        let here = self.slots.get(&address).and_then(|slots| slots.get(&key));
        match (here, &self.fork) {
            (Some(value), _) => Ok(*value),
            (None, Some(fork)) if !self.gone.contains(&address) => fork.slot(address, key),
            (None, _) => Ok(U256::ZERO),
        }
    }

    /// The fork, where it has to be asked for this account.
    pub(crate) fn fork_of(&self, address: Address) -> Option<&Arc<Fork>> {
        let is_here = self.accounts.contains_key(&address) || self.gone.contains(&address);
        self.fork.as_ref().filter(|_| !is_here)
    }

    /// The fork, where it has to be asked for this slot.
    pub(crate) fn fork_of_slot(&self, address: Address, key: U256) -> Option<&Arc<Fork>> {
        let is_here = self.slots.get(&address).is_some_and(|slots| slots.contains_key(&key));
        self.fork.as_ref().filter(|_| !is_here)
    }

    pub(crate) fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        let here = self.codes.get(&hash).cloned();
        let code = here.or_else(|| self.fork.as_ref()?.code(hash));
        code.ok_or(StateError::MissingCode(hash))
    }

    /// Keys of an account's storage, in order; on a fork, of what differs from it.
    pub(crate) fn keys(&self, address: Address) -> Vec<U256> {
        let mut keys: Vec<U256> =
            self.slots.get(&address).map(|s| s.keys().copied().collect()).unwrap_or_default();
        keys.sort_unstable();
        keys
    }

    /// As [`Self::keys`], after block `number`, which must still answer; some that were
    /// empty then may be among them.
    pub(crate) fn keys_at(&self, address: Address, number: u64) -> Result<Vec<U256>, StateError> {
        let mut keys = self.keys(address);
        if number < self.number {
            keys.extend(self.history.slots_changed_after(
                address,
                number,
                LOOKED_THROUGH_OFTEN_BYTES,
            )?);
            keys.sort_unstable();
            keys.dedup();
        }
        Ok(keys)
    }

    pub(crate) fn account_at(
        &self,
        address: Address,
        number: u64,
    ) -> Result<Option<Account>, StateError> {
        self.check(number)?;
        let before = self.history.account(address, number)?;
        before.map_or_else(|| self.account(address), Ok)
    }

    pub(crate) fn slot_at(
        &self,
        address: Address,
        key: U256,
        number: u64,
    ) -> Result<U256, StateError> {
        self.check(number)?;
        let before = self.history.slot(address, key, number)?;
        before.map_or_else(|| self.slot(address, key), Ok)
    }

    /// The oldest block whose state can be told.
    pub(crate) fn oldest(&self) -> u64 {
        self.history.oldest(self.number)
    }

    pub(crate) fn check(&self, number: u64) -> Result<(), StateError> {
        if number > self.number {
            return Err(StateError::Future { number, latest: self.number });
        }
        let oldest = self.oldest();
        if number < oldest {
            return Err(StateError::Pruned { number, oldest });
        }
        Ok(())
    }

    /// The values that were before.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    /// Moves on to block `number`; or, if that is the newest, changes what is after it (as the
    /// genesis does, and who changes state by hand).
    pub(crate) fn apply(&mut self, number: u64, changes: Changes) -> Result<(), StateError> {
        self.remember(number, &changes)?;
        self.set(number, changes)
    }

    /// Goes back to what was after block `number`, the newest or the one before it.
    pub(crate) fn undo(&mut self, number: u64, undone: Changes) -> Result<(), StateError> {
        if number < self.number {
            self.history.forget_after(number);
        }
        self.set(number, undone)
    }

    /// Moves on without remembering what was before.
    pub(crate) fn set(&mut self, number: u64, changes: Changes) -> Result<(), StateError> {
        self.number = number;
        for (hash, code) in changes.codes {
            self.code_bytes += code.original_byte_slice().len();
            if let Some(same) = self.codes.insert(hash, code) {
                self.code_bytes -= same.original_byte_slice().len();
            }
        }
        for change in changes.accounts {
            let address = change.address;
            match change.account {
                Some(account) => self.accounts.insert(address, account),
                None => self.accounts.remove(&address),
            };
            if let Some(fork) = &self.fork {
                let before = fork.account(address)?;
                if before == change.account {
                    self.accounts.remove(&address);
                }
                match change.account.is_none() && before.is_some() {
                    true => self.gone.insert(address),
                    false => self.gone.remove(&address),
                };
            }
            if change.slots.is_empty() {
                continue;
            }
            let slots = self.slots.entry(address).or_default();
            self.stored_slots -= slots.len();
            for (key, value) in change.slots {
                let before = self.fork.as_ref().map(|fork| fork.slot(address, key)).transpose()?;
                match value == before.unwrap_or_default() {
                    true => slots.remove(&key),
                    false => slots.insert(key, value),
                };
            }
            self.stored_slots += slots.len();
            if slots.is_empty() {
                self.slots.remove(&address);
            }
        }
        Ok(())
    }

    fn remember(&mut self, number: u64, changes: &Changes) -> Result<(), StateError> {
        let mut values = Vec::with_capacity(changes.accounts.len());
        for change in &changes.accounts {
            let address = change.address;
            values.push(Before::Account(address, self.account(address)?));
            for (key, _) in &change.slots {
                values.push(Before::Slot(address, *key, self.slot(address, *key)?));
            }
        }
        match number == self.number {
            true => self.history.amend(number, values),
            false => self.history.record(number, values),
        }
        Ok(())
    }

    /// Accounts of the fork that exist no more, in no order.
    pub(crate) fn gone(&self) -> impl ExactSizeIterator<Item = Address> + '_ {
        self.gone.iter().copied()
    }

    /// All accounts, in no order; on a fork, those that differ from it.
    pub(crate) fn accounts(&self) -> impl ExactSizeIterator<Item = (Address, Account)> + '_ {
        self.accounts.iter().map(|(address, account)| (*address, *account))
    }

    /// What an account has in storage, if it has anything.
    pub(crate) fn slots(&self, address: Address) -> Option<&HashMap<U256, U256>> {
        self.slots.get(&address)
    }

    /// All code that there has been, in no order.
    pub(crate) fn codes(&self) -> impl ExactSizeIterator<Item = (B256, &Bytecode)> + '_ {
        self.codes.iter().map(|(hash, code)| (*hash, code))
    }

    /// About what it takes when it is written down.
    pub(crate) fn bytes(&self) -> usize {
        self.accounts.len() * 132 + self.stored_slots * 64 + self.code_bytes
    }
}
