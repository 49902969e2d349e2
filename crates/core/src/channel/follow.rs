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

    /// What is read in all: beside the channels that a look names, those that were read before and
    /// may be final by now.
    #[must_use]
    pub fn reads(
        &mut self,
        named: BTreeSet<B256>,
        head: Block,
        newest_final: u64,
    ) -> BTreeSet<B256> {
        let mut reads = named;
        if head.number > newest_final {
            self.unfinal.extend(reads.iter().map(|id| (*id, head.number)));
        }
        reads.extend(
            self.unfinal.extract_if(.., |_, block| *block <= newest_final).map(|(id, _)| id),
        );
        reads
    }

    /// Takes in that a look has ended: what was seen at and above its head is not on its chain.
    pub fn looked(&mut self, look: Look, head: Block) {
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

    #[test]
    fn a_chain_that_went_back_is_read_whole() {
        let mut following = Following::default();
        assert_eq!(following.look(block(7, 1), true), Look::All);
        following.looked(Look::All, block(7, 1));
        assert_eq!(following.look(block(7, 1), true), Look::Nothing);
        assert_eq!(following.look(block(9, 2), true), Look::Events { from: 8, to: 9 });
        assert_eq!(following.look(block(9, 2), false), Look::All);
        assert_eq!(following.look(block(7, 3), false), Look::All);
    }

    #[test]
    fn a_channel_is_read_again_when_its_block_is_final() {
        let mut following = Following::default();
        let one = BTreeSet::from([B256::repeat_byte(1)]);
        assert_eq!(following.reads(one.clone(), block(10, 1), 7), one);
        assert!(following.reads(BTreeSet::new(), block(12, 1), 9).is_empty());
        assert_eq!(following.reads(BTreeSet::new(), block(13, 1), 10), one);
        assert!(following.reads(BTreeSet::new(), block(14, 1), 11).is_empty());
        assert_eq!(following.reads(one.clone(), block(15, 1), 15), one);
        assert!(following.reads(BTreeSet::new(), block(15, 1), 15).is_empty());
    }

    #[test]
    fn a_lower_head_takes_the_place_of_what_was_above_it() {
        let mut following = Following::default();
        for number in 1..=300 {
            following.looked(Look::Nothing, block(number, 1));
        }
        assert_eq!(following.newest(), Some(block(300, 1)));
        assert_eq!(following.newest_to(44), None);
        following.looked(Look::Nothing, block(290, 2));
        assert_eq!(following.newest(), Some(block(290, 2)));
        assert_eq!(following.newest_to(289), Some(block(289, 1)));
        following.looked(Look::All, block(299, 3));
        assert_eq!(following.newest_to(298), None);
    }
}
