use std::collections::BTreeSet;

use alloy_primitives::B256;

use crate::planted::{Bug, planted};

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

/// How far a provider has followed the chain, and what cannot wait: pure, so that it can be driven
/// through any reorganisation.
#[derive(Debug, Clone, Default)]
pub struct Following {
    seen: Option<Block>,
    urgent: BTreeSet<B256>,
}

impl Following {
    /// The block seen last.
    #[must_use]
    pub fn seen(&self) -> Option<Block> {
        self.seen
    }

    /// What to read now that `head` is the newest block. `still_there` tells whether the block seen
    /// last is on the chain that ends in it.
    #[must_use]
    pub fn look(&self, head: Block, still_there: bool) -> Look {
        match self.seen {
            Some(last) if last == head => Look::Nothing,
            Some(last) if still_there || planted(Bug::ReorgIgnored) => {
                Look::Events { from: last.number.saturating_add(1), to: head.number }
            }
            // The first look, or a chain that went back.
            _ => Look::All,
        }
    }

    /// Takes in that a channel was read; `due` if it is frozen and has something to claim: because
    /// that froze it, because who froze it before a restart did not come to claim, or because the
    /// claim went with a block that is gone.
    pub fn observed(&mut self, channel: B256, due: bool) {
        if due {
            self.urgent.insert(channel);
        }
    }

    /// Takes in that a look has ended.
    pub fn looked(&mut self, head: Block) {
        self.seen = Some(head);
    }

    /// Frozen channels whose claim has not gone through yet.
    #[must_use]
    pub fn urgent(&self) -> &BTreeSet<B256> {
        &self.urgent
    }

    /// Takes in that the claims of all urgent channels went through.
    pub fn claimed(&mut self) {
        self.urgent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_went_back_is_read_whole() {
        let block = |number, hash| Block { number, hash: B256::repeat_byte(hash) };
        let mut following = Following::default();
        assert_eq!(following.look(block(7, 1), true), Look::All);
        following.looked(block(7, 1));
        assert_eq!(following.look(block(7, 1), true), Look::Nothing);
        assert_eq!(following.look(block(9, 2), true), Look::Events { from: 8, to: 9 });
        assert_eq!(following.look(block(9, 2), false), Look::All);
        assert_eq!(following.look(block(7, 3), false), Look::All);
    }

    #[test]
    fn what_is_due_is_urgent_until_it_is_claimed() {
        let mut following = Following::default();
        let [one, two] = [1, 2].map(B256::repeat_byte);
        following.observed(one, true);
        following.observed(two, false);
        following.looked(Block { number: 1, hash: B256::ZERO });
        assert_eq!(following.urgent(), &BTreeSet::from([one]));
        following.claimed();
        assert!(following.urgent().is_empty());
    }
}
