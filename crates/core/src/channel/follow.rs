use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;

use crate::planted::{Bug, planted};

/// Deeper than a network that is well goes back.
const KEPT: usize = 256;

/// A block of the settlement chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// Which channels a look at the chain reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// None: nothing happened.
    Nothing,
    /// Those that events name in these blocks, both included.
    Events {
        /// The first block.
        from: u64,
        /// The last block.
        to: u64,
    },
    /// Every one: nothing that is known of the chain holds.
    All,
}

/// How far a provider has followed the chain: pure, so that it can be driven through any
/// reorganisation.
#[derive(Debug, Clone, Default)]
pub struct Following {
    /// The heads that were seen, by number.
    seen: BTreeMap<u64, B256>,
    /// Channels to read again once this block is final: deposits count only then.
    unfinal: BTreeMap<B256, u64>,
    /// Channels that were read between looks.
    apart: BTreeSet<B256>,
}

impl Following {
    /// The block seen last.
    #[must_use]
    pub fn newest(&self) -> Option<Block> {
        self.newest_to(u64::MAX)
    }

    /// The newest block that was seen and is not above `number`: where it is still on the chain, a
    /// lower head is a node that lags, not a reorganisation.
    #[must_use]
    pub fn newest_to(&self, number: u64) -> Option<Block> {
        let last = self.seen.range(..=number).next_back();
        last.map(|(&number, &hash)| Block { number, hash })
    }

    /// What to read now that `head` is the newest block. `still_there` tells whether the block seen
    /// last is on the chain that ends in it.
    #[must_use]
    pub fn look(&self, head: Block, still_there: bool) -> Look {
        match self.newest() {
            Some(last) if last == head => Look::Nothing,
            Some(last) if still_there || planted(Bug::ReorgIgnored) => {
                Look::Events { from: last.number.saturating_add(1), to: head.number }
            }
            // The first look, or a chain that went back.
            _ => Look::All,
        }
    }

    /// Takes in that a channel was read apart from a look. The next look reads it again: the block
    /// it was read at may be gone by then, and only blocks that looks have seen are missed.
    pub fn read_apart(&mut self, channels: impl IntoIterator<Item = B256>) {
        self.apart.extend(channels);
    }

    /// What a look reads in all: the channels it names, those that were read apart from looks, and
    /// those that were read before and may be final by now.
    #[must_use]
    pub fn reads(&self, named: &BTreeSet<B256>, newest_final: u64) -> BTreeSet<B256> {
        let due = self.unfinal.iter().filter(|(_, block)| **block <= newest_final);
        named.iter().chain(&self.apart).chain(due.map(|(id, _)| id)).copied().collect()
    }

    /// Takes in that a look has ended, and all was read. What was seen at and above its head is not
    /// on its chain.
    pub fn looked(&mut self, look: Look, named: BTreeSet<B256>, head: Block, newest_final: u64) {
        self.unfinal.retain(|_, block| *block > newest_final);
        let fresh = named.into_iter().chain(std::mem::take(&mut self.apart));
        if head.number > newest_final {
            self.unfinal.extend(fresh.map(|id| (id, head.number)));
        }
        if look == Look::All {
            self.seen.clear();
        }
        self.seen.split_off(&head.number);
        self.seen.insert(head.number, head.hash);
        while self.seen.len() > KEPT {
            self.seen.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64, hash: u8) -> Block {
        Block { number, hash: B256::repeat_byte(hash) }
    }

    fn looked(following: &mut Following, look: Look, head: Block) {
        following.looked(look, BTreeSet::new(), head, head.number);
    }

    #[test]
    fn a_chain_that_went_back_is_read_whole() {
        let mut following = Following::default();
        assert_eq!(following.look(block(7, 1), true), Look::All);
        looked(&mut following, Look::All, block(7, 1));
        assert_eq!(following.look(block(7, 1), true), Look::Nothing);
        assert_eq!(following.look(block(9, 2), true), Look::Events { from: 8, to: 9 });
        assert_eq!(following.look(block(9, 2), false), Look::All);
        assert_eq!(following.look(block(7, 3), false), Look::All);
    }

    #[test]
    fn a_channel_is_read_again_when_its_block_is_final() {
        let mut following = Following::default();
        let (one, none) = (BTreeSet::from([B256::repeat_byte(1)]), BTreeSet::new());
        let look = Look::Events { from: 10, to: 10 };
        assert_eq!(following.reads(&one, 7), one);
        following.looked(look, one.clone(), block(10, 1), 7);
        assert_eq!(following.reads(&none, 9), none);
        following.looked(look, none.clone(), block(11, 1), 9);
        assert_eq!(following.reads(&none, 10), one, "until a look has ended");
        assert_eq!(following.reads(&none, 10), one);
        following.looked(look, none.clone(), block(13, 1), 10);
        assert_eq!(following.reads(&none, 11), none);
        following.looked(look, one, block(15, 1), 15);
        assert_eq!(following.reads(&none, 15), none);
    }

    #[test]
    fn a_channel_that_was_read_between_looks_is_read_by_the_next() {
        let mut following = Following::default();
        let one = BTreeSet::from([B256::repeat_byte(1)]);
        following.read_apart(one.clone());
        assert_eq!(following.reads(&BTreeSet::new(), 0), one);
        looked(&mut following, Look::Nothing, block(1, 1));
        assert!(following.reads(&BTreeSet::new(), 1).is_empty());
    }

    #[test]
    fn a_lower_head_takes_the_place_of_what_was_above_it() {
        let mut following = Following::default();
        for number in 1..=300 {
            looked(&mut following, Look::Nothing, block(number, 1));
        }
        assert_eq!(following.newest(), Some(block(300, 1)));
        assert_eq!(following.newest_to(44), None);
        assert_eq!(following.newest_to(45), Some(block(45, 1)), "256 are kept");
        looked(&mut following, Look::Nothing, block(290, 2));
        assert_eq!(following.newest(), Some(block(290, 2)));
        assert_eq!(following.newest_to(289), Some(block(289, 1)));
        looked(&mut following, Look::All, block(299, 3));
        assert_eq!(following.newest_to(298), None);
    }
}
