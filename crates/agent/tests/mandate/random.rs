//! Seeded choices: a failure prints its seed.

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// From nothing over a few units to beyond what exists; often around `edge`.
    pub(crate) fn amount(&mut self, edge: u128) -> u128 {
        match self.below(10) {
            0 => 0,
            1 => 1,
            2 => edge,
            3 => edge + 1,
            4 => edge - 1,
            5 => u128::MAX,
            6 => u128::from(self.next()),
            _ => u128::from(self.next()) % (edge / 4) + 1,
        }
    }
}

/// Steps of a long test: `VOUCH_TEST_STEPS`, or `default`.
pub(crate) fn steps(default: usize) -> usize {
    std::env::var("VOUCH_TEST_STEPS").map_or(default, |text| text.parse().unwrap())
}

pub(crate) fn seed() -> u64 {
    let seed = std::env::var("VOUCH_TEST_SEED").map_or(0x5eed, |text| text.parse().unwrap());
    eprintln!("VOUCH_TEST_SEED={seed}");
    seed
}
