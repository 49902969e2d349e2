//! What varies from run to run, repeatable by its seed.

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

/// SplitMix64.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// That gives the same for the same seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next one, less than `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}

/// The seed of a test: `VOUCH_TEST_SEED`, or by the clock; printed, so that it can be repeated.
///
/// # Panics
/// If the variable is no number.
#[must_use]
#[allow(clippy::print_stdout, reason = "a test that fails is to be repeated")]
pub fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |at| at.as_nanos());
    let by_clock = || u64::try_from(now % u128::from(u64::MAX)).unwrap_or_default();
    let seed = variable("VOUCH_TEST_SEED").unwrap_or_else(by_clock);
    println!("VOUCH_TEST_SEED={seed}");
    seed
}

/// A number of the environment.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}
