//! The writes of one block (or one call) over a state that stays as it is.

use std::collections::BTreeMap;

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::state::{Account as EvmAccount, AccountInfo};
use revm::{Database, DatabaseCommit, DatabaseRef};

use super::{Account, AccountChange, Changes, Patch, State, StateError, StateRead};

#[derive(Debug, Default)]
struct Written {
    /// `None`: does not exist. The storage root in it is not meaningful.
    account: Option<Account>,
    /// What the base has in storage no longer counts.
    wiped: bool,
    slots: BTreeMap<U256, U256>,
}

impl Written {
    /// Takes all storage away. What was written stays named, since tries may have it already.
    fn wipe(&mut self) {
        self.wiped = true;
        self.slots.values_mut().for_each(|value| *value = U256::ZERO);
    }
}

/// State plus writes. Each transaction is committed on its own, so `original_value` is always that
/// transaction's, and what a block changed is found by comparing with the base at the end.
#[derive(Debug)]
pub(crate) struct Overlay<R> {
    base: R,
    /// Ordered, so that nothing that follows depends on a hash seed.
    written: BTreeMap<Address, Written>,
    codes: BTreeMap<B256, Bytecode>,
    /// Until EIP-161 an account may be empty.
    pub(crate) keeps_empty: bool,
    /// Of blocks after the base.
    block_hashes: BTreeMap<u64, B256>,
}

impl<R: StateRead> Overlay<R> {
    pub(crate) fn new(base: R) -> Self {
        Self {
            base,
            written: BTreeMap::new(),
            codes: BTreeMap::new(),
            keeps_empty: false,
            block_hashes: BTreeMap::new(),
        }
    }

    /// Sets an account and its storage outside of any transaction; for the genesis.
    pub(crate) fn set(
        &mut self,
        address: Address,
        account: Account,
        code: Bytecode,
        slots: impl IntoIterator<Item = (U256, U256)>,
    ) {
        if account.has_code() {
            self.codes.insert(account.code_hash, code);
        }
        let slots: BTreeMap<U256, U256> = slots.into_iter().collect();
        self.written.insert(address, Written { account: Some(account), wiped: false, slots });
    }

    /// Changes parts of an account outside of any transaction.
    pub(crate) fn patch(&mut self, address: Address, patch: &Patch) -> Result<(), StateError> {
        if *patch == Patch::default() {
            return Ok(());
        }
        let mut account = self.account(address)?.unwrap_or_default();
        account.balance = patch.balance.unwrap_or(account.balance);
        account.nonce = patch.nonce.unwrap_or(account.nonce);
        if let Some((hash, code)) = &patch.code {
            account.code_hash = *hash;
            self.codes.insert(*hash, code.clone());
        }
        let written = self.written.entry(address).or_default();
        written.account = Some(account);
        if patch.replaces_storage {
            written.wipe();
        }
        written.slots.extend(&patch.slots);
        Ok(())
    }

    pub(crate) fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match self.written.get(&address) {
            Some(written) => Ok(written.account),
            None => self.base.account(address),
        }
    }

    /// Makes `BLOCKHASH` know a block after the base.
    pub(crate) fn set_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// Gives `wei` to an account outside of any transaction.
    pub(crate) fn pay(&mut self, address: Address, wei: U256) -> Result<(), StateError> {
        if wei.is_zero() {
            return Ok(());
        }
        let mut account = self.account(address)?.unwrap_or_default();
        account.balance = account.balance.saturating_add(wei);
        self.written.entry(address).or_default().account = Some(account);
        Ok(())
    }

    /// What the writes come to. `state` must be the base itself; storage roots are left as they
    /// were, for [`Tries`](super::Tries) to fill in.
    pub(crate) fn into_changes(self, state: &State) -> Result<Changes, StateError> {
        let mut changes = self.into_writes(state)?;
        changes.retain_changed(state)?;
        Ok(changes)
    }

    /// As [`Self::into_changes`], with what was written and is as before.
    pub(crate) fn into_writes(self, state: &State) -> Result<Changes, StateError> {
        let accounts = self.writes(state, state.number())?;
        Ok(Changes { accounts, codes: self.codes.into_iter().collect() })
    }

    /// The accounts of [`Self::into_writes`] so far. The base is the state at block `base`, which may
    /// be older than `state`'s newest.
    pub(crate) fn writes(
        &self,
        state: &State,
        base: u64,
    ) -> Result<Vec<AccountChange>, StateError> {
        let changes = self.written.iter().map(|(address, written)| {
            let storage_root = state.account(*address)?.unwrap_or_default().storage_root;
            Ok(AccountChange {
                address: *address,
                account: written.account.map(|account| Account { storage_root, ..account }),
                slots: written_slots(state, *address, written, base)?,
            })
        });
        changes.collect()
    }

    fn commit_account(&mut self, address: Address, evm: EvmAccount) {
        if !evm.is_touched() {
            return;
        }
        let written = self.written.entry(address).or_default();
        if evm.is_selfdestructed() || (evm.is_empty() && !self.keeps_empty) {
            written.account = None;
            written.wipe();
            return;
        }
        if evm.is_created() {
            written.wipe();
        }
        written.account = Some(Account {
            nonce: evm.info.nonce,
            balance: evm.info.balance,
            code_hash: evm.info.code_hash,
            ..Account::default()
        });
        let changed = evm.storage.into_iter().filter(|(_, slot)| slot.is_changed());
        written.slots.extend(changed.map(|(key, slot)| (key, slot.present_value)));
        if let Some(code) = evm.info.code.filter(|code| !code.is_empty()) {
            self.codes.entry(evm.info.code_hash).or_insert(code);
        }
    }
}

fn written_slots(
    state: &State,
    address: Address,
    written: &Written,
    base: u64,
) -> Result<Vec<(U256, U256)>, StateError> {
    let mut slots: BTreeMap<U256, U256> = match written.wiped {
        true => state.keys_at(address, base)?.into_iter().map(|key| (key, U256::ZERO)).collect(),
        false => BTreeMap::new(),
    };
    slots.extend(&written.slots);
    Ok(slots.into_iter().collect())
}

impl<R: StateRead> Database for Overlay<R> {
    type Error = StateError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        self.basic_ref(address)
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, StateError> {
        self.code_by_hash_ref(hash)
    }

    fn storage(&mut self, address: Address, key: U256) -> Result<U256, StateError> {
        self.storage_ref(address, key)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        self.block_hash_ref(number)
    }
}

impl<R: StateRead> DatabaseRef for Overlay<R> {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        Ok(self.account(address)?.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: None,
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, StateError> {
        match self.codes.get(&hash) {
            Some(code) => Ok(code.clone()),
            None => self.base.code(hash),
        }
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, StateError> {
        if let Some(written) = self.written.get(&address) {
            if let Some(value) = written.slots.get(&key) {
                return Ok(*value);
            }
            if written.wiped {
                return Ok(U256::ZERO);
            }
        }
        self.base.slot(address, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
        self.block_hashes
            .get(&number)
            .map_or_else(|| self.base.block_hash(number), |hash| Ok(*hash))
    }
}

impl<R: StateRead> DatabaseCommit for Overlay<R> {
    fn commit(&mut self, changes: AddressMap<EvmAccount>) {
        changes.into_iter().for_each(|(address, account)| self.commit_account(address, account));
    }
}
