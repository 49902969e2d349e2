//! The process is killed, and the power goes, at every disk operation of journal and public log:
//! what was acknowledged is there, charged once, and the store goes on.
//!
//! `VOUCH_TEST_KILLS` says how often at random moments (200), `VOUCH_TEST_POWER_CUTS` how many
//! images of cut power are tried (200). Seeds are the numbers of the trials.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::workload::*;
use common::*;
use vouch_journal::testing::{Fault, MemoryDisk};
use vouch_store::{EmbeddedStore, Error, Store};

#[test]
fn killed_before_and_after_every_operation() {
    let begun = begun();
    let whole = begun.killed();
    assert_eq!(work(&whole).calls.len(), 8);
    let kinds: Vec<_> = whole.operations_by_kind().into_keys().collect();
    assert_eq!(kinds, ["create", "remove", "rename", "resize", "sync", "sync names", "write"]);
    for operation in 0..whole.operations() {
        for fault in [Fault::Kill, Fault::PowerOff] {
            let (disk, told) = stopped(&begun, operation, fault);
            check_disk(&disk.killed(), &told);
        }
    }
}

#[test]
fn the_power_goes_at_every_operation() {
    power_cut_at_every_operation(&begun(), None);
}

#[test]
fn killed_and_cut_again_while_it_recovers() {
    let begun = begun();
    let whole = begun.killed();
    work(&whole);
    let mut random = Random(1);
    for operation in (0..whole.operations()).step_by(17) {
        let (disk, told) = stopped(&begun, operation, Fault::PowerOff);
        let found = [disk.killed(), disk.power_loss(|_| 0), random.power_loss(&disk)];
        for found in found {
            for second in 0.. {
                let again = found.killed();
                again.fail_at(second, Fault::PowerOff);
                if open_store(&again).is_ok() {
                    break;
                }
                check_disk(&again.killed(), &told);
                check_disk(&random.power_loss(&again), &told);
            }
        }
    }
}

/// One store after another on one disk, each killed, or its power cut, at a random moment of its
/// start or its work.
#[test]
fn killed_at_random_moments_of_many_lives() {
    let begun = begun();
    let whole = begun.killed();
    work(&whole);
    let most = whole.operations();
    let (mut life, mut deaths) = (0, 0);
    while deaths < times("VOUCH_TEST_KILLS", 200) {
        let mut random = Random(life);
        let (mut disk, mut told) = (begun.killed(), Told::default());
        while told.calls.len() < 8 {
            let fault = [Fault::Kill, Fault::PowerOff][random.below(2) as usize];
            let moment = random.below(most);
            disk.fail_at(moment, fault);
            resume(&disk, &mut told);
            deaths += u64::from(disk.operations() > moment);
            disk = if random.below(2) == 0 { disk.killed() } else { random.power_loss(&disk) };
        }
        check_disk(&disk, &told);
        life += 1;
    }
}

#[test]
fn the_power_goes_at_random() {
    let begun = begun();
    let whole = begun.killed();
    work(&whole);
    let cuts = times("VOUCH_TEST_POWER_CUTS", 200);
    // Each moment in turn, with as many images of it as come to its share.
    let each = cuts.div_ceil(whole.operations());
    let mut cut = 0;
    for operation in (0..whole.operations()).filter(|at| cuts > *at) {
        let (disk, told) = stopped(&begun, operation, Fault::PowerOff);
        for _ in 0..each {
            check_disk(&Random(cut).power_loss(&disk), &told);
            cut += 1;
        }
    }
}

#[test]
fn a_full_disk_stops_the_store_and_loses_nothing() {
    let disk = MemoryDisk::default();
    let store = open_store(&disk).unwrap();
    let config = open_again(&store, 1);
    let kept = pay(&store, &config, 0, 5).unwrap();
    disk.fail_at(0, Fault::Full);
    let mut told = vec![(0, kept)];
    let error = loop {
        let number = told.len() as u64;
        let hold = new_call(&store, &call(&config, number, 5, Some(5 * (u128::from(number) + 1))));
        let answer = store.commit(hold, draft(&config, number, 5), number.to_string().into_bytes());
        match answer.wait() {
            Ok(acknowledged) => told.push((number, acknowledged)),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("free some space"), "{error}");
    assert!(matches!(pay(&store, &config, 900, 5), Err(Error::Stopped { .. })));
    assert_eq!(store.receipt(0).unwrap().as_ref(), Some(&told[0].1), "reading goes on");
    assert_eq!(store.size(), told.len() as u64);
    drop(store);
    disk.fail_at(u64::MAX, Fault::Full);
    let store = open_store(&disk).unwrap();
    check_calls(&store, &told);
    pay(&store, &config, 900, 5).unwrap();
}

#[test]
fn a_copy_of_the_files_at_each_acknowledgement_opens() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(&dir.path().join("live"), config()).unwrap();
    let config = open_again(&store, 1);
    let mut told = Vec::new();
    for number in 0..12 {
        told.push((number, pay(&store, &config, number, 3).unwrap()));
        let copy = dir.path().join(format!("copy-{number}"));
        std::fs::create_dir_all(copy.join("journal")).unwrap();
        for entry in std::fs::read_dir(dir.path().join("live/journal")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join("journal").join(entry.file_name())).unwrap();
        }
        let (reopened, opened) = EmbeddedStore::open(&copy, common::config()).unwrap();
        assert_eq!(opened.size, number + 1);
        check_calls(&reopened, &told);
    }
}
