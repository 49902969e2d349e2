//! The state trie and one storage trie an account, kept in step with the flat state.

use std::borrow::Cow;
use std::sync::Arc;

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::EMPTY_ROOT_HASH;

use super::trie::Trie;
use super::{
    Account, Changes, LOOKED_THROUGH_BYTES, LOOKED_THROUGH_OFTEN_BYTES, State, StateError,
};
use crate::fork::Fork;

/// The tries at one block.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    number: u64,
    root: B256,
    accounts: Trie,
    storage: AddressMap<Trie>,
    /// Only what differs from it is in them.
    fork: Option<Arc<Fork>>,
}

/// An account and some of its slots with Merkle proofs, at one block.
#[derive(Debug)]
pub(crate) struct AccountProof {
    pub(crate) account: Account,
    pub(crate) account_proof: Vec<Bytes>,
    /// (slot, value, proof), in the order asked for.
    pub(crate) slots: Vec<(U256, U256, Vec<Bytes>)>,
}

impl Tries {
    /// Of nothing, or of nothing that differs from `fork`.
    pub(crate) fn new(fork: Option<Arc<Fork>>) -> Self {
        Self { fork, ..Self::default() }
    }

    /// Moves on to block `number`, fills in the storage roots and returns the state root.
    pub(crate) fn apply(&mut self, number: u64, changes: &mut Changes) -> Result<B256, StateError> {
        self.number = number;
        for change in &mut changes.accounts {
            if !change.slots.is_empty() {
                let root = self.apply_storage(change.address, &change.slots)?;
                if let Some(account) = &mut change.account {
                    account.storage_root = root;
                }
            }
            let fork = self.fork.as_deref();
            set_account(&mut self.accounts, change.address, change.account, fork)?;
        }
        self.root = self.accounts.root();
        Ok(self.root)
    }

    /// The state root that [`Self::apply`] has returned last.
    pub(crate) fn root(&self) -> B256 {
        self.root
    }

    fn apply_storage(
        &mut self,
        address: Address,
        slots: &[(U256, U256)],
    ) -> Result<B256, StateError> {
        let trie = self.storage.entry(address).or_default();
        for (key, value) in slots {
            set_slot(trie, address, *key, *value, self.fork.as_deref())?;
        }
        let root = trie.root();
        if root == EMPTY_ROOT_HASH {
            self.storage.remove(&address);
        }
        Ok(root)
    }

    /// Refuses a block that is not kept; or all, where a write has failed: the tries were ahead
    /// when the chain stopped.
    fn check(&self, state: &State, number: u64) -> Result<(), StateError> {
        if self.number != state.number() {
            return Err(StateError::Ahead);
        }
        state.check(number)
    }

    /// Proofs at block `number`, which may be older: then copies of the two tries are taken back.
    pub(crate) fn prove(
        &self,
        state: &State,
        address: Address,
        keys: &[U256],
        number: u64,
    ) -> Result<AccountProof, StateError> {
        if self.fork.is_some() {
            return Err(StateError::Unproven);
        }
        self.check(state, number)?;
        let account = state.account_at(address, number)?.unwrap_or_default();
        let accounts = self.accounts_at(state, number)?;
        let storage = self.storage_at(state, address, number, LOOKED_THROUGH_BYTES)?;
        let slots = keys
            .iter()
            .map(|key| {
                let value = state.slot_at(address, *key, number)?;
                Ok((*key, value, storage.proof(keccak256(key.to_be_bytes::<32>()))))
            })
            .collect::<Result<_, StateError>>()?;
        Ok(AccountProof { account, account_proof: accounts.proof(keccak256(address)), slots })
    }

    fn accounts_at(&self, state: &State, number: u64) -> Result<Cow<'_, Trie>, StateError> {
        let changed = state.history().accounts_changed_after(number)?;
        if changed.is_empty() {
            return Ok(Cow::Borrowed(&self.accounts));
        }
        let mut accounts = self.accounts.clone();
        for address in changed {
            let account = state.account_at(address, number)?;
            set_account(&mut accounts, address, account, self.fork.as_deref())?;
        }
        accounts.root();
        Ok(Cow::Owned(accounts))
    }

    fn storage_at(
        &self,
        state: &State,
        address: Address,
        number: u64,
        most_bytes: u64,
    ) -> Result<Cow<'_, Trie>, StateError> {
        let changed = state.history().slots_changed_after(address, number, most_bytes)?;
        let newest = self.storage.get(&address);
        if changed.is_empty() {
            return Ok(newest.map_or_else(|| Cow::Owned(Trie::default()), Cow::Borrowed));
        }
        let mut storage = newest.cloned().unwrap_or_default();
        for key in changed {
            let value = state.slot_at(address, key, number)?;
            set_slot(&mut storage, address, key, value, self.fork.as_deref())?;
        }
        storage.root();
        Ok(Cow::Owned(storage))
    }
}

/// Copies of the tries at one block, for what is tried out on top of it: that of the accounts, and
/// those of storage where something changes.
#[derive(Debug)]
pub(crate) struct Scratch {
    base: u64,
    accounts: Trie,
    storage: AddressMap<Trie>,
}

impl Scratch {
    /// At block `base`, which must still answer.
    pub(crate) fn new(tries: &Tries, state: &State, base: u64) -> Result<Self, StateError> {
        tries.check(state, base)?;
        let accounts = tries.accounts_at(state, base)?.into_owned();
        Ok(Self { base, accounts, storage: AddressMap::default() })
    }

    /// As [`Tries::apply`]; `tries` and `state` are those of the newest block.
    pub(crate) fn apply(
        &mut self,
        tries: &Tries,
        state: &State,
        changes: &Changes,
    ) -> Result<B256, StateError> {
        tries.check(state, self.base)?;
        for change in &changes.accounts {
            let address = change.address;
            let mut account = change.account;
            if !change.slots.is_empty() && !self.storage.contains_key(&address) {
                let copy = tries
                    .storage_at(state, address, self.base, LOOKED_THROUGH_OFTEN_BYTES)?
                    .into_owned();
                self.storage.insert(address, copy);
            }
            let storage_root = match self.storage.get_mut(&address) {
                Some(trie) => {
                    for (key, value) in &change.slots {
                        set_slot(trie, address, *key, *value, tries.fork.as_deref())?;
                    }
                    trie.root()
                }
                None => state.account_at(address, self.base)?.unwrap_or_default().storage_root,
            };
            if let Some(account) = &mut account {
                account.storage_root = storage_root;
            }
            set_account(&mut self.accounts, address, account, tries.fork.as_deref())?;
        }
        Ok(self.accounts.root())
    }
}

fn set_account(
    trie: &mut Trie,
    address: Address,
    account: Option<Account>,
    fork: Option<&Fork>,
) -> Result<(), StateError> {
    let before = fork.map(|fork| fork.account(address)).transpose()?.flatten();
    let key = keccak256(address);
    match account {
        _ if account == before => trie.remove(key),
        Some(account) => trie.insert(key, alloy_rlp::encode(account.leaf())),
        // That it is gone is a difference, too.
        None => trie.insert(key, alloy_rlp::encode("")),
    }
    Ok(())
}

fn set_slot(
    trie: &mut Trie,
    address: Address,
    key: U256,
    value: U256,
    fork: Option<&Fork>,
) -> Result<(), StateError> {
    let before = fork.map(|fork| fork.slot(address, key)).transpose()?.unwrap_or_default();
    let key = keccak256(key.to_be_bytes::<32>());
    if value == before {
        trie.remove(key);
        return Ok(());
    }
    let mut rlp = Vec::with_capacity(value.length());
    value.encode(&mut rlp);
    trie.insert(key, rlp);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::state::{AccountChange, History};
    use alloy_trie::TrieAccount;
    use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
    use proptest::prelude::*;

    /// What a block does to one account: `None` destroys it, storage and all.
    type Step = (u8, Option<(u64, Vec<(u8, u8)>)>);
    type Model = BTreeMap<Address, (u64, BTreeMap<U256, U256>)>;

    fn model_root(model: &Model) -> B256 {
        state_root_unhashed(model.iter().map(|(address, (balance, slots))| {
            let slots = slots.iter().map(|(key, value)| (B256::from(*key), *value));
            let account = Account::default();
            let root = storage_root_unhashed(slots);
            (*address, TrieAccount::new(1, U256::from(*balance), root, account.code_hash))
        }))
    }

    fn step() -> impl Strategy<Value = Step> {
        let write = (any::<u64>(), prop::collection::vec((0u8..12, 0u8..4), 0..10));
        (0u8..6, prop::option::weighted(0.85, write))
    }

    fn apply(state: &State, model: &mut Model, (who, write): Step) -> AccountChange {
        let address = Address::repeat_byte(who);
        let Some((balance, writes)) = write else {
            model.remove(&address);
            let slots = state.keys(address).into_iter().map(|key| (key, U256::ZERO)).collect();
            return AccountChange { address, account: None, slots };
        };
        let entry = model.entry(address).or_default();
        entry.0 = balance;
        let mut slots = BTreeMap::new();
        for (key, value) in writes {
            slots.insert(U256::from(key), U256::from(value));
        }
        slots.retain(|key, value| state.slot(address, *key).unwrap() != *value);
        for (key, value) in &slots {
            entry.1.insert(*key, *value);
        }
        entry.1.retain(|_, value| !value.is_zero());
        let storage_root = state.account(address).unwrap().unwrap_or_default().storage_root;
        let account =
            Account { nonce: 1, balance: U256::from(balance), storage_root, ..Account::default() };
        AccountChange { address, account: Some(account), slots: slots.into_iter().collect() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn roots_and_old_proofs_equal_alloy_trie(blocks in prop::collection::vec(step(), 1..40)) {
            let mut state = State::new(History::default(), None);
            let (mut tries, mut model) = (Tries::default(), Model::new());
            let mut roots = vec![alloy_trie::EMPTY_ROOT_HASH];
            for (number, step) in (1..).zip(blocks) {
                let change = apply(&state, &mut model, step);
                let mut changes = Changes { accounts: vec![change], codes: Vec::new() };
                roots.push(tries.apply(number, &mut changes).unwrap());
                state.apply(number, changes).unwrap();
                prop_assert_eq!(roots[number as usize], model_root(&model));
            }
            for (number, root) in (0u64..).zip(&roots) {
                let address = Address::repeat_byte(2);
                let proof = tries.prove(&state, address, &[U256::from(3)], number).unwrap();
                let account = state.account_at(address, number).unwrap().map(|account| {
                    alloy_rlp::encode(account.leaf())
                });
                let path = alloy_trie::Nibbles::unpack(keccak256(address));
                prop_assert!(alloy_trie::proof::verify_proof(*root, path, account, &proof.account_proof).is_ok());
                let (key, value, nodes) = &proof.slots[0];
                let path = alloy_trie::Nibbles::unpack(keccak256(key.to_be_bytes::<32>()));
                let value = (!value.is_zero()).then(|| alloy_rlp::encode(value));
                prop_assert!(alloy_trie::proof::verify_proof(proof.account.storage_root, path, value, nodes).is_ok());
            }
        }
    }
}
