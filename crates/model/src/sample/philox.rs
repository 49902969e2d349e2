//! Philox4x32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as
//! 1, 2, 3", SC 2011): random bits at any index without a state.

use alloy_primitives::keccak256;

/// Random words indexed by (position, token id).
#[derive(Debug, Clone)]
pub(super) struct Philox {
    key: [u32; 2],
    /// The upper half of the counter: more of the seed.
    nonce: u32,
}

impl Philox {
    /// Key and upper counter are the first twelve bytes of keccak-256 of the seed, little-endian.
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        let hash = keccak256(seed);
        let word =
            |at: usize| u32::from_le_bytes([hash[at], hash[at + 1], hash[at + 2], hash[at + 3]]);
        Self { key: [word(0), word(4)], nonce: word(8) }
    }

    /// The word of a token at a position: four neighbouring ids share one evaluation's output.
    pub(super) fn word(&self, position: u64, id: u32) -> u32 {
        let counter = [id >> 2, position as u32, (position >> 32) as u32, self.nonce];
        philox(counter, self.key)[(id & 3) as usize]
    }
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let first = u64::from(counter[0]) * 0xd251_1f53;
        let second = u64::from(counter[2]) * 0xcd9e_8d57;
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of Random123 (`kat_vectors`, philox4x32 10).
    #[test]
    fn known_answers() {
        let ones = u32::MAX;
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([ones; 4], [ones; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn positions_ids_and_seeds_are_apart() {
        let (one, two) = (Philox::new(&[1; 32]), Philox::new(&[2; 32]));
        let mut words = vec![];
        for position in [0, 1, 1 << 32] {
            for id in 0..16 {
                words.extend([one.word(position, id), two.word(position, id)]);
            }
        }
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }
}
