//! Crashes at every operation, in every way the disk allows: what was synced is there, in order.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use proptest::prelude::*;
use vouch_journal::testing::{Fault, MemoryDisk};
use vouch_journal::{Error, Journal, Options};

/// Small, so that the workload crosses several segments and preallocations.
const OPTIONS: Options = Options { segment_bytes: 4096, preallocate_bytes: 1024 };

fn record(number: usize) -> Vec<u8> {
    let length = [1, 40, 700, 3, 1500, 0][number % 6] + number;
    (0..length).map(|index| (number * 31 + index) as u8 | 1).collect()
}

/// Appends records in batches of 1, 2, 3, 1, ... until one fails, and opens again after each fifth;
/// returns how many were synced and how many were appended.
fn work(disk: &MemoryDisk, batches: usize) -> (usize, usize) {
    let (mut synced, mut appended) = (0, 0);
    let Ok((mut journal, _)) = Journal::open_on(Box::new(disk.clone()), OPTIONS) else {
        return (0, 0);
    };
    for batch in 0..batches {
        for _ in 0..batch % 3 + 1 {
            if journal.append(&record(appended)).is_err() {
                // A failed append may have reached the disk before its segment was finished.
                return (synced, appended);
            }
            appended += 1;
        }
        if journal.sync().is_err() {
            assert!(matches!(journal.append(b"x"), Err(Error::Poisoned { .. })));
            assert!(matches!(journal.sync(), Err(Error::Poisoned { .. })));
            return (synced, appended);
        }
        synced = appended;
        if batch % 5 == 4 {
            drop(journal);
            journal = match Journal::open_on(Box::new(disk.clone()), OPTIONS) {
                Ok((journal, _)) => journal,
                Err(_) => return (synced, appended),
            };
        }
    }
    (synced, appended)
}

fn contents(journal: &Journal) -> Vec<Vec<u8>> {
    journal.iter().map(|item| item.unwrap().1).collect()
}

/// Opens after a crash, checks the promise, appends and opens once more.
fn check(disk: &MemoryDisk, synced: usize, appended: usize) {
    let (mut journal, recovery) = Journal::open_on(Box::new(disk.clone()), OPTIONS).unwrap();
    let found = contents(&journal);
    assert_eq!(found.len() as u64, recovery.records);
    assert!(found.len() >= synced, "{synced} synced, {} found", found.len());
    assert!(found.len() <= appended);
    assert!(found.iter().enumerate().all(|(number, bytes)| *bytes == record(number)));
    journal.append(b"after the crash").unwrap();
    journal.sync().unwrap();
    drop(journal);
    let disk = disk.power_loss(|_| 0);
    let (journal, recovery) = Journal::open_on(Box::new(disk), OPTIONS).unwrap();
    assert_eq!(recovery.truncated_bytes, 0);
    assert_eq!(contents(&journal)[..found.len()], found);
    assert_eq!(contents(&journal)[found.len()], b"after the crash");
}

/// How many times, from the environment.
fn times(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// SplitMix64: what survives, repeatable by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Cuts the power: each unsynced sector is dropped, kept or torn, each name kept or lost.
    fn power_loss(&mut self, disk: &MemoryDisk) -> MemoryDisk {
        disk.power_loss(|length| match self.below(3) {
            0 => 0,
            1 => length,
            _ => self.below(length as u64 + 1) as usize,
        })
    }
}

/// Killed just before (`Kill`) or just after (`PowerOff`) an operation.
fn stopped(operation: u64, fault: Fault, batches: usize) -> (MemoryDisk, usize, usize) {
    let disk = MemoryDisk::default();
    disk.fail_at(operation, fault);
    let (synced, appended) = work(&disk, batches);
    (disk, synced, appended)
}

#[test]
fn killed_before_and_after_every_operation() {
    let whole = MemoryDisk::default();
    work(&whole, 17);
    let kinds: Vec<_> = whole.operations_by_kind().into_keys().collect();
    assert_eq!(kinds, ["create", "resize", "sync", "sync names", "write"]);
    for operation in 0..whole.operations() {
        for fault in [Fault::Kill, Fault::PowerOff] {
            let (disk, synced, appended) = stopped(operation, fault, 17);
            check(&disk.killed(), synced, appended);
        }
    }
}

/// The disk in the hands of a process that is killed while it opens, at each of its operations.
#[test]
fn killed_and_cut_again_while_it_recovers() {
    let whole = MemoryDisk::default();
    work(&whole, 8);
    let mut random = Random(2);
    for operation in 0..whole.operations() {
        let (disk, synced, appended) = stopped(operation, Fault::PowerOff, 8);
        let found = [disk.killed(), disk.power_loss(|_| 0), random.power_loss(&disk)];
        for found in found {
            for second in 0.. {
                let again = found.killed();
                again.fail_at(second, Fault::PowerOff);
                if Journal::open_on(Box::new(again.clone()), OPTIONS).is_ok() {
                    break;
                }
                check(&again.killed(), synced, appended);
                check(&random.power_loss(&again), synced, appended);
            }
        }
    }
}

/// `VOUCH_TEST_POWER_CUTS` says how many (2,000); the seed is the number of the cut.
#[test]
fn power_cuts_at_random() {
    let whole = MemoryDisk::default();
    work(&whole, 17);
    let mut told = Vec::new();
    for operation in 0..whole.operations() {
        told.push(stopped(operation, Fault::PowerOff, 17));
    }
    for seed in 0..times("VOUCH_TEST_POWER_CUTS", 2_000) {
        let mut random = Random(seed);
        let (disk, synced, appended) = &told[seed as usize % told.len()];
        check(&random.power_loss(disk), *synced, *appended);
    }
}

#[test]
fn power_loss_at_every_operation() {
    let whole = MemoryDisk::default();
    work(&whole, 12);
    assert!(whole.bytes("journal-00000002.log").is_some(), "the workload crosses segments");
    for operation in 0..whole.operations() {
        let disk = MemoryDisk::default();
        disk.fail_at(operation, Fault::PowerOff);
        let (synced, appended) = work(&disk, 12);
        check(&disk.power_loss(|_| 0), synced, appended);
        check(&disk.power_loss(|length| length), synced, appended);
        check(&disk.power_loss(|length| length / 2), synced, appended);
        let mut turn = 0;
        check(
            &disk.power_loss(|length| {
                turn += 1;
                length * (turn % 2)
            }),
            synced,
            appended,
        );
        let mut turn = 1;
        check(
            &disk.power_loss(|length| {
                turn += 1;
                length * (turn % 2)
            }),
            synced,
            appended,
        );
    }
}

#[test]
fn a_full_disk_at_every_operation_loses_nothing() {
    let whole = MemoryDisk::default();
    work(&whole, 12);
    for operation in 0..whole.operations() {
        let disk = MemoryDisk::default();
        disk.fail_at(operation, Fault::Full);
        let (synced, appended) = work(&disk, 12);
        disk.fail_at(u64::MAX, Fault::Full);
        check(&disk, synced, appended);
    }
}

#[test]
fn a_failed_sync_is_never_forgotten() {
    let whole = MemoryDisk::default();
    work(&whole, 12);
    for operation in 0..whole.operations() {
        let disk = MemoryDisk::default();
        disk.fail_at(operation, Fault::SyncLost);
        let (synced, appended) = work(&disk, 12);
        check(&disk.power_loss(|length| length), synced, appended);
    }
}

#[test]
fn what_opening_found_is_durable() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = Journal::open_on(Box::new(disk.clone()), OPTIONS).unwrap();
    journal.append(&record(0)).unwrap();
    // The process dies in the sync, the machine does not: the record is in the system's cache.
    disk.fail_at(disk.operations() + 2, Fault::PowerOff);
    assert!(journal.sync().is_err());
    drop(journal);
    disk.fail_at(u64::MAX, Fault::PowerOff);
    let (journal, _) = Journal::open_on(Box::new(disk.clone()), OPTIONS).unwrap();
    assert_eq!(contents(&journal), [record(0)]);
    check(&disk.power_loss(|_| 0), 1, 1);
}

#[test]
fn a_full_disk_is_said_in_words() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = Journal::open_on(Box::new(disk.clone()), OPTIONS).unwrap();
    let kept = journal.append(b"kept").unwrap();
    journal.sync().unwrap();
    disk.fail_at(0, Fault::Full);
    journal.append(&[7; 2000]).unwrap();
    let error = journal.sync().unwrap_err();
    assert!(matches!(error, Error::Full { .. }));
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(journal.read(kept).unwrap(), b"kept");
}

proptest! {
    #[test]
    fn what_was_synced_survives(
        operation in 0_u64..90,
        batches in 1_usize..14,
        luck in prop::collection::vec(0_usize..600, 1..40),
    ) {
        let disk = MemoryDisk::default();
        disk.fail_at(operation, Fault::PowerOff);
        let (synced, appended) = work(&disk, batches);
        let mut turn = 0;
        let found = disk.power_loss(|_| { turn += 1; luck[turn % luck.len()] });
        check(&found, synced, appended);
    }
}
