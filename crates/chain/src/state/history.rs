//! Values as they were before each recent block.
//!
//! For each key, the blocks that changed it and the value before; the value at block `n` is the
//! one before the first change after `n`. So a read costs one search however old the block is.

use std::collections::VecDeque;
use std::hash::Hash;

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, U256};

use super::Account;

/// Bound on remembered values over all blocks, about 150 bytes each: 80 MB at most.
pub(crate) const HISTORY_ENTRIES: usize = 1 << 19;

type SlotKey = (Address, U256);

/// One key's earlier values, oldest first: (block that changed it, value before that block).
type Versions<V> = VecDeque<(u64, V)>;

#[derive(Debug)]
struct Touched {
    number: u64,
    accounts: Vec<Address>,
    slots: Vec<SlotKey>,
}

/// The window; see the module.
#[derive(Debug)]
pub(crate) struct History {
    accounts: HashMap<Address, Versions<Option<Account>>>,
    slots: HashMap<SlotKey, Versions<U256>>,
    blocks: VecDeque<Touched>,
    entries: usize,
    max_blocks: usize,
    max_entries: usize,
}

impl History {
    /// A window of at most `max_blocks` blocks and `max_entries` values.
    pub(crate) fn new(max_blocks: usize, max_entries: usize) -> Self {
        Self {
            accounts: HashMap::default(),
            slots: HashMap::default(),
            blocks: VecDeque::new(),
            entries: 0,
            max_blocks,
            max_entries,
        }
    }

    /// The oldest block whose state can be told, given the newest.
    pub(crate) fn oldest(&self, newest: u64) -> u64 {
        self.blocks.front().map_or(newest, |block| block.number - 1)
    }

    /// The account at block `number`, if it has changed since; `None` means it has not.
    pub(crate) fn account(&self, address: Address, number: u64) -> Option<Option<Account>> {
        value_at(self.accounts.get(&address)?, number)
    }

    /// The slot's value at block `number`, if it has changed since.
    pub(crate) fn slot(&self, address: Address, key: U256, number: u64) -> Option<U256> {
        value_at(self.slots.get(&(address, key))?, number)
    }

    /// All accounts changed after block `number`, each once, in order.
    pub(crate) fn accounts_changed_after(&self, number: u64) -> Vec<Address> {
        let mut changed: Vec<Address> =
            self.after(number).flat_map(|block| block.accounts.iter().copied()).collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// All slots of `address` changed after block `number`, each once, in order.
    pub(crate) fn slots_changed_after(&self, address: Address, number: u64) -> Vec<U256> {
        let mut changed: Vec<U256> = self
            .after(number)
            .flat_map(|block| block.slots.iter())
            .filter_map(|(owner, key)| (*owner == address).then_some(*key))
            .collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    fn after(&self, number: u64) -> impl Iterator<Item = &Touched> {
        let from = self.blocks.partition_point(|block| block.number <= number);
        self.blocks.iter().skip(from)
    }

    /// Adds block `number` with the values before it; forgets the oldest beyond the bounds.
    pub(crate) fn record(
        &mut self,
        number: u64,
        accounts: Vec<(Address, Option<Account>)>,
        slots: Vec<(SlotKey, U256)>,
    ) {
        self.entries += accounts.len() + slots.len();
        self.blocks.push_back(Touched {
            number,
            accounts: accounts.iter().map(|(address, _)| *address).collect(),
            slots: slots.iter().map(|(key, _)| *key).collect(),
        });
        for (address, before) in accounts {
            self.accounts.entry(address).or_default().push_back((number, before));
        }
        for (key, before) in slots {
            self.slots.entry(key).or_default().push_back((number, before));
        }
        while self.blocks.len() > self.max_blocks || self.entries > self.max_entries {
            self.forget_oldest();
        }
    }

    /// Adds to the newest block what was changed after it without a block of its own: the values
    /// before it, for what it did not change itself.
    pub(crate) fn amend(
        &mut self,
        accounts: Vec<(Address, Option<Account>)>,
        slots: Vec<(SlotKey, U256)>,
    ) {
        // Without one the newest state is the oldest that is known.
        let Some(newest) = self.blocks.back_mut() else { return };
        for (address, before) in accounts {
            if amend(&mut self.accounts, address, newest.number, before) {
                newest.accounts.push(address);
                self.entries += 1;
            }
        }
        for (key, before) in slots {
            if amend(&mut self.slots, key, newest.number, before) {
                newest.slots.push(key);
                self.entries += 1;
            }
        }
    }

    /// Takes the newest block away again.
    pub(crate) fn forget_newest(&mut self) {
        let Some(block) = self.blocks.pop_back() else { return };
        self.entries -= block.accounts.len() + block.slots.len();
        for address in &block.accounts {
            forget(&mut self.accounts, address, VecDeque::pop_back);
        }
        for key in &block.slots {
            forget(&mut self.slots, key, VecDeque::pop_back);
        }
    }

    fn forget_oldest(&mut self) {
        let Some(block) = self.blocks.pop_front() else {
            self.entries = 0;
            return;
        };
        self.entries -= block.accounts.len() + block.slots.len();
        for address in &block.accounts {
            forget(&mut self.accounts, address, VecDeque::pop_front);
        }
        for key in &block.slots {
            forget(&mut self.slots, key, VecDeque::pop_front);
        }
    }
}

fn value_at<V: Copy>(versions: &Versions<V>, number: u64) -> Option<V> {
    let first_after = versions.partition_point(|(changed, _)| *changed <= number);
    versions.get(first_after).map(|(_, before)| *before)
}

/// False if block `number` has the key's value before it already.
fn amend<K: Eq + Hash, V>(
    versions: &mut HashMap<K, Versions<V>>,
    key: K,
    number: u64,
    before: V,
) -> bool {
    let of_key = versions.entry(key).or_default();
    let is_new = of_key.back().is_none_or(|(changed, _)| *changed < number);
    if is_new {
        of_key.push_back((number, before));
    }
    is_new
}

fn forget<K: Eq + Hash, V>(
    versions: &mut HashMap<K, Versions<V>>,
    key: &K,
    pop: fn(&mut Versions<V>) -> Option<(u64, V)>,
) {
    if let Some(of_key) = versions.get_mut(key) {
        pop(of_key);
        if of_key.is_empty() {
            versions.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_values_answer_until_they_leave_the_window() {
        let mut history = History::new(3, 100);
        let (owner, key) = (Address::repeat_byte(1), U256::from(7));
        assert_eq!(history.oldest(0), 0);
        for number in 1..=5u64 {
            let before = U256::from(number - 1);
            history.record(number, Vec::new(), vec![((owner, key), before)]);
        }
        // Blocks 3, 4 and 5 are kept, so states 2 to 5 are known.
        assert_eq!(history.oldest(5), 2);
        assert_eq!(history.slot(owner, key, 2), Some(U256::from(2)));
        assert_eq!(history.slot(owner, key, 4), Some(U256::from(4)));
        assert_eq!(history.slot(owner, key, 5), None, "unchanged since");
        assert_eq!(history.slots_changed_after(owner, 4), vec![key]);
        assert!(history.slots_changed_after(owner, 5).is_empty());
        assert_eq!(history.entries, 3);
    }

    #[test]
    fn what_is_changed_after_a_block_is_not_seen_before_it() {
        let mut history = History::new(3, 100);
        let (owner, key, other) = (Address::repeat_byte(1), U256::from(7), U256::from(8));
        history.amend(Vec::new(), vec![((owner, key), U256::ZERO)]);
        assert_eq!(history.entries, 0, "there is nothing before it");
        history.record(1, Vec::new(), vec![((owner, key), U256::from(5))]);
        let now = vec![((owner, key), U256::from(6)), ((owner, other), U256::from(9))];
        history.amend(Vec::new(), now);
        assert_eq!(history.slot(owner, key, 0), Some(U256::from(5)));
        assert_eq!(history.slot(owner, other, 0), Some(U256::from(9)));
        assert_eq!(history.slot(owner, key, 1), None, "it is as it is now");
        history.forget_newest();
        assert_eq!((history.entries, history.oldest(0)), (0, 0));
        assert!(history.slots.is_empty());
    }

    #[test]
    fn the_entry_bound_holds_even_for_one_large_block() {
        let mut history = History::new(10, 4);
        let slots = (0..9u64).map(|k| ((Address::ZERO, U256::from(k)), U256::ZERO)).collect();
        history.record(1, Vec::new(), slots);
        assert_eq!((history.entries, history.oldest(1)), (0, 1));
        assert!(history.slots.is_empty());
    }
}
