//! Accounts, storage and code: the newest state flat in memory, behind it the values before each
//! block.
//!
//! ```text
//! State  (flat, newest) ◀── apply(Changes) ── Overlay (one block's writes) ◀── EVM
//!   └ History (values before each block)
//! Tries  (the same content as Merkle-Patricia tries, for roots and proofs)
//! ```

mod history;
mod overlay;
mod patch;
#[cfg(test)]
mod tests;
mod trie;
mod tries;

use alloy_primitives::map::{AddressMap, B256Map, HashMap};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use revm::bytecode::Bytecode;

use crate::error::INDEX_UNREADABLE;
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
    pub(crate) fn retain_changed(&mut self, state: &State) {
        self.accounts.retain_mut(|change| {
            change.slots.retain(|(key, value)| state.slot(change.address, *key) != *value);
            change.account != state.account(change.address) || !change.slots.is_empty()
        });
    }

    /// What takes them back: what `state` has.
    pub(crate) fn undone(&self, state: &State) -> Self {
        let undone = |change: &AccountChange| {
            let address = change.address;
            let slots = change.slots.iter().map(|(key, _)| (*key, state.slot(address, *key)));
            AccountChange { address, account: state.account(address), slots: slots.collect() }
        };
        Self { accounts: self.accounts.iter().map(undone).collect(), codes: Vec::new() }
    }
}

/// The newest state and the values before it.
#[derive(Debug)]
pub(crate) struct State {
    number: u64,
    accounts: AddressMap<Account>,
    slots: AddressMap<HashMap<U256, U256>>,
    stored_slots: usize,
    /// By hash. Never removed: what a pruned block deployed may be deployed again.
    codes: B256Map<Bytecode>,
    code_bytes: usize,
    history: History,
}

impl State {
    /// The state before block 0.
    pub(crate) fn new(history: History) -> Self {
        Self {
            number: 0,
            accounts: AddressMap::default(),
            slots: AddressMap::default(),
            stored_slots: 0,
            codes: B256Map::default(),
            code_bytes: 0,
            history,
        }
    }

    /// The newest block's number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn account(&self, address: Address) -> Option<Account> {
        self.accounts.get(&address).copied()
    }

    pub(crate) fn slot(&self, address: Address, key: U256) -> U256 {
        self.slots.get(&address).and_then(|slots| slots.get(&key)).copied().unwrap_or_default()
    }

    pub(crate) fn code(&self, hash: B256) -> Result<Bytecode, StateError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        self.codes.get(&hash).cloned().ok_or(StateError::MissingCode(hash))
    }

    /// Keys of an account's storage, in order.
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
        Ok(before.unwrap_or_else(|| self.account(address)))
    }

    pub(crate) fn slot_at(
        &self,
        address: Address,
        key: U256,
        number: u64,
    ) -> Result<U256, StateError> {
        self.check(number)?;
        let before = self.history.slot(address, key, number)?;
        Ok(before.unwrap_or_else(|| self.slot(address, key)))
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
    pub(crate) fn apply(&mut self, number: u64, changes: Changes) {
        self.remember(number, &changes);
        self.set(number, changes);
    }

    /// Goes back to what was after block `number`, the newest or the one before it.
    pub(crate) fn undo(&mut self, number: u64, undone: Changes) {
        if number < self.number {
            self.history.forget_after(number);
        }
        self.set(number, undone);
    }

    /// Moves on without remembering what was before.
    pub(crate) fn set(&mut self, number: u64, changes: Changes) {
        self.number = number;
        for (hash, code) in changes.codes {
            self.code_bytes += code.original_byte_slice().len();
            if let Some(same) = self.codes.insert(hash, code) {
                self.code_bytes -= same.original_byte_slice().len();
            }
        }
        for change in changes.accounts {
            match change.account {
                Some(account) => self.accounts.insert(change.address, account),
                None => self.accounts.remove(&change.address),
            };
            if change.slots.is_empty() {
                continue;
            }
            let slots = self.slots.entry(change.address).or_default();
            self.stored_slots -= slots.len();
            for (key, value) in change.slots {
                match value.is_zero() {
                    true => slots.remove(&key),
                    false => slots.insert(key, value),
                };
            }
            self.stored_slots += slots.len();
            if slots.is_empty() {
                self.slots.remove(&change.address);
            }
        }
    }

    fn remember(&mut self, number: u64, changes: &Changes) {
        let mut values = Vec::with_capacity(changes.accounts.len());
        for change in &changes.accounts {
            let address = change.address;
            values.push(Before::Account(address, self.account(address)));
            let slots = change.slots.iter();
            values.extend(
                slots.map(|(key, _)| Before::Slot(address, *key, self.slot(address, *key))),
            );
        }
        match number == self.number {
            true => self.history.amend(number, values),
            false => self.history.record(number, values),
        }
    }

    /// All accounts, in no order.
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
