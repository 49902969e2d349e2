//! Worlds without a planted bug: nothing is broken, whatever breaks in them.
//!
//! `VOUCH_TEST_STEPS` says how many steps in all (80,000), `VOUCH_TEST_SEED` the first seed.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

use vouch_simulation::{Report, run};

/// Steps of one world.
const STEPS: u64 = 2_000;
/// Seeds at which something was found once, in the product or in what judges it; the world has grown
/// since, so that they are other worlds now.
const FOUND: [u64; 6] = [29, 328, 1317, 1345, 2685, 2727];

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn whole(seed: u64) -> Report {
    match run(seed, STEPS) {
        Ok(report) => report,
        Err(failure) => panic!(
            "seed {seed}, step {}: {}; again: cargo xtask simulate --steps {STEPS} --seed {seed}",
            failure.step, failure.violation
        ),
    }
}

#[test]
fn no_violation() {
    let (steps, first) = (variable("VOUCH_TEST_STEPS", 80_000), variable("VOUCH_TEST_SEED", 1));
    let mut all = Report::default();
    for seed in first..first + (steps / STEPS).max(1) {
        all.add(&whole(seed));
    }
    println!("{all:?}");
    // A world in which little happens would prove little.
    let seeds = (steps / STEPS).max(1);
    assert!(all.receipts > 20 * seeds, "{all:?}");
    assert!(all.crashes > 3 * seeds && all.reorganisations > 2 * seeds, "{all:?}");
    assert!(all.claims > 5 * seeds && all.checkpoints > 5 * seeds, "{all:?}");
    assert!(seeds < 20 || all.older_copies > 0, "{all:?}");
}

#[test]
fn seeds_that_found_something() {
    for seed in FOUND {
        whole(seed);
    }
}

#[test]
fn a_seed_is_a_run() {
    assert_eq!(whole(7), whole(7));
    assert_ne!(whole(7), whole(8));
}
