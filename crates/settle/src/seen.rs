//! The blocks that were seen last, which tell a reorganisation from a node that lags.

use std::collections::BTreeMap;

use alloy_primitives::B256;

/// Deeper than a network that is well goes back.
const KEPT: usize = 256;

/// A block's number and hash.
pub(crate) type Block = (u64, B256);

/// The heads that were seen, by number.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeMap<u64, B256>);

impl Seen {
    pub(crate) fn newest(&self) -> Option<Block> {
        self.0.last_key_value().map(|(number, hash)| (*number, *hash))
    }

    /// The newest that is not above `number`.
    pub(crate) fn newest_to(&self, number: u64) -> Option<Block> {
        self.0.range(..=number).next_back().map(|(number, hash)| (*number, *hash))
    }

    /// Takes in a new head; what was seen at and above its number is not on its chain.
    pub(crate) fn add(&mut self, (number, hash): Block) {
        self.0.split_off(&number);
        self.0.insert(number, hash);
        while self.0.len() > KEPT {
            self.0.pop_first();
        }
    }

    /// Forgets what a reorganisation may have replaced: all.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_head_takes_the_place_of_what_was_above_it() {
        let hash = B256::repeat_byte;
        let mut seen = Seen::default();
        for number in 1..=300 {
            seen.add((number, hash(1)));
        }
        assert_eq!((seen.newest(), seen.newest_to(44)), (Some((300, hash(1))), None));
        seen.add((290, hash(2)));
        assert_eq!(seen.newest(), Some((290, hash(2))));
        assert_eq!(seen.newest_to(289), Some((289, hash(1))));
        seen.forget();
        assert_eq!(seen.newest(), None);
    }
}
