//! Bugs in the product's own code, planted one by one: the simulation finds each, and says what it
//! breaks. The same world without the bug is whole.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

use std::sync::{Mutex, PoisonError};

use vouch_simulation::{Bug, oracle::Invariant, plant, run};

const STEPS: u64 = 2_000;
/// Worlds in which a bug must show.
const SEEDS: u64 = 150;
/// A bug is planted for the whole process.
static PLANTED: Mutex<()> = Mutex::new(());

fn found(bug: Bug, breaks: &[Invariant]) {
    let _alone = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
    plant(Some(bug));
    let failure = (1..=SEEDS).find_map(|seed| run(seed, STEPS).err());
    plant(None);
    let failure = failure.expect("the bug shows");
    assert!(breaks.contains(&failure.violation.invariant), "{}", failure.violation);
    run(failure.seed, STEPS).unwrap();
}

#[test]
fn a_commit_without_its_sync() {
    found(Bug::LostSync, &[Invariant::AcknowledgedIsKept, Invariant::OneHistory]);
}

#[test]
fn a_voucher_above_the_deposit() {
    found(Bug::WrongComparison, &[Invariant::WithinDeposit]);
}

#[test]
fn a_reservation_released_twice() {
    // The channel's own assertion may come first.
    found(Bug::ReleasedTwice, &[Invariant::WithinSigned, Invariant::OwnAssertion]);
}

#[test]
fn a_voucher_for_another_chain() {
    found(Bug::ChainUnchecked, &[Invariant::WithinSigned]);
}

#[test]
fn a_deposit_whose_block_is_gone() {
    found(Bug::ReorgIgnored, &[Invariant::WithinDeposit]);
}

#[test]
fn an_expiry_far_ahead() {
    found(Bug::TimestampTrusted, &[Invariant::ChargedOnce]);
}
