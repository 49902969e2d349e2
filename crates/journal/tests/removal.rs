//! A journal of which the beginning was removed on purpose.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use vouch_journal::testing::{Fault, MemoryDisk};
use vouch_journal::{Error, Journal, Options, Position, Recovery, Result, salvage};

const OPTIONS: Options = Options { segment_bytes: 4096, preallocate_bytes: 1024 };
const FIRST: &str = "journal-00000000.log";
const RECORDS: u8 = 60;

fn open(disk: &MemoryDisk) -> Result<(Journal, Recovery)> {
    Journal::open_on(Box::new(disk.clone()), OPTIONS)
}

fn payload(number: u8) -> Vec<u8> {
    vec![number + 1; 300]
}

/// Records over several segments, with where each is.
fn filled(disk: &MemoryDisk) -> (Journal, Vec<Position>) {
    let (mut journal, _) = open(disk).unwrap();
    let positions = (0..RECORDS).map(|number| journal.append(&payload(number)).unwrap()).collect();
    journal.sync().unwrap();
    (journal, positions)
}

/// The numbers of the records that are there.
fn numbers(journal: &Journal) -> Vec<u8> {
    journal.iter().map(|item| item.unwrap().1[0] - 1).collect()
}

fn files(disk: &MemoryDisk) -> usize {
    disk.names().iter().filter(|name| name.ends_with(".log")).count()
}

/// The first record, and those from the segment of record `of` on.
fn left(positions: &[Position], of: usize) -> Vec<u8> {
    let segment = positions[of].0 >> 32;
    let kept = (1..RECORDS).filter(|number| positions[usize::from(*number)].0 >> 32 >= segment);
    [0].into_iter().chain(kept).collect()
}

#[test]
fn the_first_record_and_all_from_a_segment_on_stay() {
    let disk = MemoryDisk::default();
    let (mut journal, positions) = filled(&disk);
    let all = files(&disk);
    assert_eq!((all > 4, journal.resumes()), (true, None));
    let reader = journal.reader();
    journal.remove_before(positions[5]).unwrap();
    assert_eq!((files(&disk), journal.resumes()), (all, None), "it is in the first");
    // To the second segment, where only the first gets smaller, and again, and further.
    for of in [14, 14, 40, 20, 59] {
        journal.remove_before(positions[of]).unwrap();
        let kept = left(&positions, of.max(if of == 20 { 40 } else { 0 }));
        assert_eq!(numbers(&journal), kept);
        let (opened, recovery) = open(&disk).unwrap();
        assert_eq!(numbers(&opened), kept);
        assert_eq!(recovery.records, kept.len() as u64);
        assert_eq!(recovery.segments as usize, files(&disk));
        assert_eq!(opened.resumes(), journal.resumes());
        assert_eq!(opened.id(), journal.id());
    }
    assert!(matches!(reader.read(positions[20]), Err(Error::NoRecord(_))));
    assert_eq!(reader.read(positions[0]).unwrap(), payload(0));
    assert_eq!(reader.read(positions[59]).unwrap(), payload(59));
    assert!(matches!(journal.remove_before(Position(u64::MAX)), Err(Error::NoRecord(_))));
    // It goes on as before, and a segment may be begun early.
    let before = journal.end();
    journal.begin_segment().unwrap();
    let next = journal.append(&payload(60)).unwrap();
    assert_eq!(next.0 >> 32, (before.0 >> 32) + 1);
    journal.sync().unwrap();
    journal.remove_before(next).unwrap();
    assert_eq!(numbers(&journal), [0, 60]);
    assert_eq!(numbers(&open(&disk).unwrap().0), [0, 60]);
    assert_eq!(files(&disk), 2);
}

#[test]
fn what_is_missing_by_accident_is_refused() {
    let disk = MemoryDisk::default();
    let (mut journal, positions) = filled(&disk);
    let whole: Vec<_> = disk.names();
    journal.remove_before(positions[30]).unwrap();
    drop(journal);
    let names: Vec<_> = disk.names().into_iter().filter(|name| name.ends_with(".log")).collect();
    assert!(names.len() > 3 && names.len() < whole.len());
    let without = |gone: &[String]| {
        let left = MemoryDisk::default();
        for name in names.iter().filter(|name| !gone.contains(name)) {
            left.replace(name, disk.bytes(name).unwrap());
        }
        left
    };
    assert!(open(&without(&[])).is_ok());
    // The last one cannot be known to be missing, but for one alone behind the first.
    for gone in names[..names.len() - 1].iter().map(std::slice::from_ref).chain([&names[1..]]) {
        let error = open(&without(gone)).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{gone:?}: {error}");
        let mut found = 0;
        let lost = salvage(&without(gone), &mut |_, _| {
            found += 1;
            Ok(())
        });
        // Without the first it is not known what was removed on purpose.
        let missed = lost.unwrap().len();
        assert!(missed == 1 || gone[0] == FIRST && missed > 1, "{gone:?}: {missed}");
        assert!(found > 0);
    }
    // Each bit of the first segment counts.
    let bytes = disk.bytes(FIRST).unwrap();
    for bit in 0..bytes.len() * 8 {
        let flipped = without(&[]);
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        flipped.replace(FIRST, changed);
        assert!(open(&flipped).is_err(), "bit {bit}");
    }
    let mut found = Vec::new();
    let lost = salvage(&disk, &mut |_, record| {
        found.push(record[0] - 1);
        Ok(())
    });
    assert_eq!((found, lost.unwrap().len()), (left(&positions, 30), 0));
}

#[test]
fn killed_or_cut_at_every_operation_it_is_whole_or_removed() {
    let whole = MemoryDisk::default();
    let (mut journal, positions) = filled(&whole);
    let before = whole.operations();
    journal.remove_before(positions[20]).unwrap();
    journal.remove_before(positions[45]).unwrap();
    let operations = whole.operations();
    let all: Vec<u8> = (0..RECORDS).collect();
    let states = [all, left(&positions, 20), left(&positions, 45)];
    let mut random = 7_u64;
    for operation in before..operations {
        for fault in [Fault::Kill, Fault::PowerOff] {
            let disk = MemoryDisk::default();
            let (mut journal, positions) = filled(&disk);
            disk.fail_at(operation, fault);
            let failed = journal.remove_before(positions[20]).is_err();
            if !failed {
                assert!(journal.remove_before(positions[45]).is_err());
            }
            let torn = disk.power_loss(|bytes| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) as usize % (bytes + 1)
            });
            let nothing = disk.power_loss(|_| 0);
            for found in [disk.killed(), nothing, disk.power_loss(|bytes| bytes), torn] {
                let (mut journal, recovery) = open(&found).unwrap();
                let numbers = numbers(&journal);
                assert!(states.contains(&numbers), "{operation}: {numbers:?}");
                assert_eq!(numbers.len() as u64, recovery.records);
                assert_eq!(recovery.segments as usize, files(&found), "what was left is removed");
                // It goes on from there.
                journal.remove_before(positions[45]).unwrap();
                journal.append(&payload(RECORDS)).unwrap();
                journal.sync().unwrap();
                drop(journal);
                let (journal, _) = open(&found.power_loss(|_| 0)).unwrap();
                let expected: Vec<u8> = states[2].iter().copied().chain([RECORDS]).collect();
                assert_eq!(self::numbers(&journal), expected);
            }
        }
    }
}
