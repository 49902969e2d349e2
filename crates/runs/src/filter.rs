//! A blocked Bloom filter (Putze, Sanders, Singler 2007): all bits of a key are in one cache line.

/// Of a filter, for each key.
pub(crate) const BITS_PER_KEY: u64 = 10;
pub(crate) const BLOCK_BITS: u64 = 512;
pub(crate) const BLOCK_WORDS: u64 = 8;
/// Bits set for a key. Each takes nine bits of the hash to choose.
const PROBES: usize = 7;

#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Block([u64; 8]);

/// Keys that may be there; a key that was inserted always may. About one in a hundred others does
/// too, if keys are uniform: the upper bits of a key choose its block, so that keys in order fill
/// the blocks in order.
#[derive(Debug)]
pub(crate) struct Filter {
    blocks: Vec<Block>,
}

impl Filter {
    pub(crate) fn new(blocks: usize) -> Self {
        Self { blocks: vec![Block::default(); blocks] }
    }

    pub(crate) fn insert(&mut self, key: u64) {
        let at = self.block(key);
        if let Some(Block(words)) = self.blocks.get_mut(at) {
            words.iter_mut().zip(mask(key)).for_each(|(word, mask)| *word |= mask);
        }
    }

    pub(crate) fn may_contain(&self, key: u64) -> bool {
        let all = |Block(words): &Block| {
            words.iter().zip(mask(key)).fold(0, |missing, (word, mask)| missing | (mask & !word))
        };
        self.blocks.get(self.block(key)).is_none_or(|block| all(block) == 0)
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        self.blocks.iter().flat_map(|Block(words)| *words)
    }

    pub(crate) fn words_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.blocks.iter_mut().flat_map(|Block(words)| words)
    }

    fn block(&self, key: u64) -> usize {
        let blocks = u64::try_from(self.blocks.len()).unwrap_or(u64::MAX);
        let (_, block) = key.carrying_mul(blocks, 0);
        usize::try_from(block).unwrap_or(usize::MAX)
    }
}

/// The bits of a key in its block.
fn mask(key: u64) -> [u64; 8] {
    let mut mask = [0; 8];
    let mut hash = mix(key);
    for _ in 0..PROBES {
        let word = usize::try_from(hash >> 6 & 7).ok().and_then(|word| mask.get_mut(word));
        let bit = u32::try_from(hash & 63).unwrap_or_default();
        word.into_iter().for_each(|word| *word |= 1_u64.rotate_left(bit));
        hash >>= 9;
    }
    mask
}

/// The finalizer of SplitMix64. It decides where bits are in a file: a part of the format.
fn mix(key: u64) -> u64 {
    let key = (key ^ key >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ key >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ key >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_and_few_others_may_be_there() {
        let count = 100_000;
        let mut filter = Filter::new((count * BITS_PER_KEY).div_ceil(BLOCK_BITS) as usize);
        (0..count).for_each(|number| filter.insert(mix(number)));
        assert!((0..count).all(|number| filter.may_contain(mix(number))));
        let wrong = (count..11 * count).filter(|number| filter.may_contain(mix(*number))).count();
        assert!(wrong < 20_000, "{wrong} of 1,000,000");
        println!("false positives: {wrong} of 1,000,000");
    }
}
