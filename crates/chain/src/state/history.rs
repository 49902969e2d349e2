//! Values as they were before each block: of the newest blocks in memory, of all others on disk.
//!
//! For each key, the blocks that changed it and the value before; the value at block `n` is the
//! one before the first change after `n`. So a read costs one search however old the block is.

use std::collections::VecDeque;
use std::hash::Hash;
use std::io;

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, U256};

use super::{Account, StateError};
use crate::index::{Before, Kept};

/// About what a value takes in memory, with what finds it.
const VALUE_BYTES: usize = 250;
/// What has changed since a block is looked through for its tries (proofs, simulations), on disk up
/// to this many bytes: some tenths of a second, in which no block appears.
pub(crate) const LOOKED_THROUGH_BYTES: u64 = 16 << 20;
/// The same where one request may look again and again.
pub(crate) const LOOKED_THROUGH_OFTEN_BYTES: u64 = 64 << 10;

type SlotKey = (Address, U256);

/// One key's earlier values, oldest first: (block that changed it, value before that block).
type Versions<V> = VecDeque<(u64, V)>;

/// What a block has changed, or what was changed by hand after it.
#[derive(Debug)]
struct Touched {
    number: u64,
    values: Vec<Before>,
}

/// The history; see the module.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// None of a state that is executed only to be checked: then what memory lets go is gone.
    kept: Option<Kept>,
    accounts: HashMap<Address, Versions<Option<Account>>>,
    slots: HashMap<SlotKey, Versions<U256>>,
    touched: VecDeque<Touched>,
    values: usize,
    /// How many of `touched` are on their way to the disk.
    handed: usize,
    /// For how many blocks back old state answers.
    max_blocks: Option<u64>,
    /// Of earlier blocks nothing is known, where nothing is kept.
    first: u64,
}

impl History {
    /// That lets go what memory cannot hold to `kept`, and answers for `max_blocks` blocks back, and
    /// not before block `first`.
    pub(crate) fn new(kept: Option<Kept>, max_blocks: Option<u64>, first: u64) -> Self {
        Self { kept, max_blocks, first, ..Self::default() }
    }

    /// The oldest block whose state can be told, given the newest.
    pub(crate) fn oldest(&self, newest: u64) -> u64 {
        let told = self.max_blocks.map_or(0, |blocks| newest.saturating_sub(blocks));
        told.max(self.kept.as_ref().map_or(self.first, |kept| kept.oldest(newest)))
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.values * VALUE_BYTES
    }

    /// The account at block `number`, if it has changed since; `None` means it has not.
    pub(crate) fn account(
        &self,
        address: Address,
        number: u64,
    ) -> Result<Option<Option<Account>>, StateError> {
        if let Some(kept) = &self.kept
            && let Some(before) = kept.account(address, number)?
        {
            return Ok(Some(before));
        }
        Ok(self.accounts.get(&address).and_then(|versions| value_at(versions, number)))
    }

    /// The slot's value at block `number`, if it has changed since.
    pub(crate) fn slot(
        &self,
        address: Address,
        key: U256,
        number: u64,
    ) -> Result<Option<U256>, StateError> {
        if let Some(kept) = &self.kept
            && let Some(before) = kept.slot(address, key, number)?
        {
            return Ok(Some(before));
        }
        Ok(self.slots.get(&(address, key)).and_then(|versions| value_at(versions, number)))
    }

    /// All accounts changed after block `number`, each once, in order.
    pub(crate) fn accounts_changed_after(&self, number: u64) -> Result<Vec<Address>, StateError> {
        self.changed_after(number, LOOKED_THROUGH_BYTES, |value| match value {
            Before::Account(address, _) => Some(address),
            Before::Slot(..) => None,
        })
    }

    /// All slots of `address` changed after block `number`, each once, in order.
    pub(crate) fn slots_changed_after(
        &self,
        address: Address,
        number: u64,
        most_bytes: u64,
    ) -> Result<Vec<U256>, StateError> {
        self.changed_after(number, most_bytes, |value| match value {
            Before::Slot(owner, key, _) => (owner == address).then_some(key),
            Before::Account(..) => None,
        })
    }

    fn changed_after<T: Ord>(
        &self,
        number: u64,
        most: u64,
        meant: impl Fn(Before) -> Option<T>,
    ) -> Result<Vec<T>, StateError> {
        let mut changed = Vec::new();
        if let Some(kept) = &self.kept {
            let bytes = kept.bytes_after(number)?;
            if bytes > most {
                return Err(StateError::TooFar { number, bytes, most });
            }
            kept.changed_after(number, |value| changed.extend(meant(value)))?;
        }
        let from = self.touched.partition_point(|touched| touched.number <= number);
        let newer = self.touched.iter().skip(from).flat_map(|touched| &touched.values);
        changed.extend(newer.filter_map(|value| meant(*value)));
        changed.sort_unstable();
        changed.dedup();
        Ok(changed)
    }

    /// Adds the values before block `number`.
    pub(crate) fn record(&mut self, number: u64, values: Vec<Before>) {
        values.iter().for_each(|value| self.remember(number, *value));
        self.values += values.len();
        self.touched.push_back(Touched { number, values });
    }

    /// Adds the values before what was changed after block `number` without a block of its own,
    /// where the block itself has not changed them.
    pub(crate) fn amend(&mut self, number: u64, mut values: Vec<Before>) {
        // Nobody asks for what was before the first block.
        if number <= self.first {
            return;
        }
        values.retain(|value| !self.has(number, value));
        if !values.is_empty() {
            self.record(number, values);
        }
    }

    fn remember(&mut self, number: u64, value: Before) {
        match value {
            Before::Account(address, before) => {
                self.accounts.entry(address).or_default().push_back((number, before));
            }
            Before::Slot(address, key, before) => {
                self.slots.entry((address, key)).or_default().push_back((number, before));
            }
        }
    }

    fn has(&self, number: u64, value: &Before) -> bool {
        match value {
            Before::Account(address, _) => has(&self.accounts, address, number),
            Before::Slot(address, key, _) => has(&self.slots, &(*address, *key), number),
        }
    }

    /// Takes away what is newer than block `number`.
    pub(crate) fn forget_after(&mut self, number: u64) {
        while let Some(newest) = self.touched.pop_back_if(|newest| newest.number > number) {
            self.forget(&newest, End::Newest);
        }
        if let Some(kept) = &mut self.kept {
            *kept = kept.cut(number);
        }
    }

    /// All that is in memory, by blocks, to be kept on disk; what comes from now on is apart.
    pub(crate) fn hand_over(&mut self) -> Vec<(u64, Vec<Before>)> {
        self.handed = self.touched.len();
        self.touched.iter().map(|touched| (touched.number, touched.values.clone())).collect()
    }

    /// What was handed over is in `kept`.
    pub(crate) fn keep(&mut self, kept: Kept) {
        self.kept = Some(kept);
        self.forget_oldest(self.handed);
        self.handed = 0;
    }

    /// Lets all go, where nothing is kept: no state before the newest block is known any more.
    pub(crate) fn let_go(&mut self, newest: u64) {
        self.forget_oldest(self.touched.len());
        self.first = newest;
    }

    fn forget_oldest(&mut self, count: usize) {
        for oldest in self.touched.drain(..count).collect::<Vec<_>>() {
            self.forget(&oldest, End::Oldest);
        }
    }

    fn forget(&mut self, touched: &Touched, end: End) {
        self.values -= touched.values.len();
        for value in &touched.values {
            match value {
                Before::Account(address, _) => forget(&mut self.accounts, address, end),
                Before::Slot(address, key, _) => forget(&mut self.slots, &(*address, *key), end),
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    Oldest,
    Newest,
}

fn value_at<V: Copy>(versions: &Versions<V>, number: u64) -> Option<V> {
    let first_after = versions.partition_point(|(changed, _)| *changed <= number);
    versions.get(first_after).map(|(_, before)| *before)
}

fn has<K: Eq + Hash, V>(versions: &HashMap<K, Versions<V>>, key: &K, number: u64) -> bool {
    versions.get(key).and_then(VecDeque::back).is_some_and(|(changed, _)| *changed == number)
}

fn forget<K: Eq + Hash, V>(versions: &mut HashMap<K, Versions<V>>, key: &K, end: End) {
    if let Some(of_key) = versions.get_mut(key) {
        match end {
            End::Oldest => of_key.pop_front(),
            End::Newest => of_key.pop_back(),
        };
        if of_key.is_empty() {
            versions.remove(key);
        }
    }
}

impl From<io::Error> for StateError {
    fn from(error: io::Error) -> Self {
        Self::Index(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Address = Address::repeat_byte(1);

    fn slot(key: u64, before: u64) -> Before {
        Before::Slot(OWNER, U256::from(key), U256::from(before))
    }

    fn at(history: &History, key: u64, number: u64) -> Option<u64> {
        history.slot(OWNER, U256::from(key), number).unwrap().map(|value| value.to())
    }

    #[test]
    fn old_values_answer_until_they_leave_the_window() {
        let mut history = History { max_blocks: Some(3), ..History::default() };
        assert_eq!(history.oldest(0), 0);
        for number in 1..=5u64 {
            history.record(number, vec![slot(7, number - 1)]);
        }
        // What blocks 3, 4 and 5 changed is known, so states 2 to 5 are.
        assert_eq!(history.oldest(5), 2);
        assert_eq!((at(&history, 7, 2), at(&history, 7, 4)), (Some(2), Some(4)));
        assert_eq!(at(&history, 7, 5), None, "unchanged since");
        let changed = |number| history.slots_changed_after(OWNER, number, 0).unwrap();
        assert_eq!(changed(4), vec![U256::from(7)]);
        assert!(changed(5).is_empty());
        history.forget_after(3);
        assert_eq!((at(&history, 7, 2), at(&history, 7, 3)), (Some(2), None));
        history.let_go(3);
        assert_eq!((history.oldest(3), history.values), (3, 0));
        assert!(history.slots.is_empty());
    }

    #[test]
    fn what_is_changed_after_a_block_is_not_seen_before_it() {
        let mut history = History::default();
        history.amend(0, vec![slot(7, 0)]);
        assert_eq!(history.values, 0, "there is nothing before it");
        history.record(1, vec![slot(7, 5)]);
        assert_eq!(history.hand_over().len(), 1);
        history.amend(1, vec![slot(7, 6), slot(8, 9)]);
        assert_eq!((at(&history, 7, 0), at(&history, 8, 0)), (Some(5), Some(9)));
        assert_eq!(at(&history, 7, 1), None, "it is as it is now");
        history.forget_oldest(history.handed);
        assert_eq!((at(&history, 7, 0), at(&history, 8, 0)), (None, Some(9)));
        history.forget_after(0);
        assert_eq!(history.values, 0);
        assert!(history.slots.is_empty());
    }
}
