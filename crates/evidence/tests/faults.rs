//! Contradictions are proofs that anyone can check again; agreement never is.
#![allow(clippy::unwrap_used, reason = "a test that cannot make its input fails")]

mod common;

use common::{Draft, checkpoint, log_key, provider, statement};
use vouch_core::{
    B256,
    log::{Checkpoint, merkle, note::Verifier},
};
use vouch_evidence::{
    Error,
    fault::{Fault, check_consistency, double_receipt, split_log, wrong_charge},
};

fn checks_again(fault: &Fault) {
    let json = serde_json::to_string(fault).unwrap();
    let read: Fault = serde_json::from_str(&json).unwrap();
    assert_eq!(read.verify().unwrap(), provider());
}

#[test]
fn one_size_with_two_roots() {
    let key = Verifier::log(common::ORIGIN, &log_key());
    let note = |size, byte| checkpoint(size, B256::repeat_byte(byte));
    checks_again(&split_log(provider(), &key, &note(7, 1), &note(7, 2)).unwrap());
    let none = |first, second| split_log(provider(), &key, &first, &second).unwrap_err();
    assert!(matches!(none(note(7, 1), note(7, 1)), Error::NoFault(_)));
    assert!(matches!(none(note(7, 1), note(8, 2)), Error::NoFault(_)));
    let mut forged = note(7, 2);
    forged.signatures.remove(1);
    assert!(matches!(none(note(7, 1), forged), Error::Core(_)));
}

#[test]
fn one_place_with_two_receipts() {
    let honest = Draft::default();
    let other = Draft { max_charge: 1, output_ids: vec![6, 7, 9], ..Draft::default() };
    let elsewhere = Draft { sequence: 4, ..other.clone() };

    let fault = double_receipt(&statement(&honest, 4), &statement(&other, 9)).unwrap();
    assert!(matches!(fault, Fault::DoubleSequence { .. }));
    checks_again(&fault);

    let fault = double_receipt(&statement(&honest, 4), &statement(&elsewhere, 4)).unwrap();
    assert!(matches!(fault, Fault::DoubleIndex { .. }));
    checks_again(&fault);

    let none = double_receipt(&statement(&honest, 4), &statement(&elsewhere, 9));
    assert!(matches!(none, Err(Error::NoFault(_))));
    let none = double_receipt(&statement(&honest, 4), &statement(&honest, 9));
    assert!(matches!(none, Err(Error::NoFault(_))));
}

#[test]
fn one_index_of_two_logs_is_no_fault() {
    let mut other = Draft { sequence: 4, ..Draft::default() };
    other.terms.log.origin = "provider.example/other".into();
    let none = double_receipt(&statement(&Draft::default(), 4), &statement(&other, 4));
    assert!(matches!(none, Err(Error::NoFault(_))));
}

#[test]
fn a_charge_that_contradicts_its_terms() {
    let draft = Draft { overcharge: 1, ..Draft::default() };
    checks_again(&wrong_charge(&statement(&draft, 4)).unwrap());
    assert!(matches!(wrong_charge(&statement(&Draft::default(), 4)), Err(Error::NoFault(_))));
    let mut forged = statement(&draft, 4);
    forged.receipt.charge += 1;
    assert!(matches!(wrong_charge(&forged), Err(Error::Core(_))));
}

#[test]
fn a_log_begins_with_what_it_was() {
    let leaves: Vec<_> = (0..9u8).map(|n| merkle::leaf_hash(&[n])).collect();
    let at = |size: usize| Checkpoint {
        origin: common::ORIGIN.into(),
        size: size as u64,
        root: merkle::root(&leaves[..size]),
    };
    let path = merkle::consistency_path(&leaves, 4);
    assert!(check_consistency(&at(4), &at(9), &path).is_ok());
    assert!(check_consistency(&at(5), &at(9), &path).is_err());
    assert!(check_consistency(&at(9), &at(4), &path).is_err());
    let other = Checkpoint { origin: "other".into(), ..at(9) };
    assert!(matches!(check_consistency(&at(4), &other, &path), Err(Error::NoFault(_))));
}
