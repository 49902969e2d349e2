//! Torn tails are cut, whatever their length; changed bytes in front of them are refused.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use vouch_journal::testing::MemoryDisk;
use vouch_journal::{Error, Journal, Options, Recovery, Result};

const NAME: &str = "journal-00000000.log";
const OPTIONS: Options = Options { segment_bytes: 8192, preallocate_bytes: 1024 };

fn open(disk: &MemoryDisk) -> Result<(Journal, Recovery)> {
    Journal::open_on(Box::new(disk.clone()), OPTIONS)
}

fn payload(number: u8) -> Vec<u8> {
    vec![number + 1; 50 + usize::from(number)]
}

/// `records` records, each synced on its own; with where the last one starts and ends.
fn filled(records: u8) -> (MemoryDisk, usize, usize) {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open(&disk).unwrap();
    let mut start = 0;
    for number in 0..records {
        start = journal.append(&payload(number)).unwrap().0 as usize;
        journal.sync().unwrap();
    }
    let end = journal.end().0 as usize;
    (disk, start, end)
}

fn count(disk: &MemoryDisk) -> usize {
    open(disk).unwrap().0.iter().map(Result::unwrap).count()
}

#[test]
fn a_tail_torn_at_any_byte_is_cut() {
    let (disk, start, end) = filled(4);
    let whole = disk.bytes(NAME).unwrap();
    for length in start + 1..end {
        for grown in [false, true] {
            let mut bytes = whole[..length].to_vec();
            if grown {
                bytes.resize(whole.len(), 0);
            }
            let disk = MemoryDisk::default();
            disk.replace(NAME, bytes);
            let kept = count(&disk);
            // Zeros behind a complete payload may be the very padding that was cut.
            assert!(
                kept == 3 || (grown && kept == 4 && length >= start + 16 + 53),
                "{length}: {kept}"
            );
            assert_eq!(open(&disk).unwrap().1.truncated_bytes, 0, "cut once");
        }
    }
}

#[test]
fn a_flipped_bit_before_the_last_record_is_refused() {
    let (disk, start, _) = filled(5);
    let whole = disk.bytes(NAME).unwrap();
    let mut refused = 0;
    for offset in 0..start {
        for bit in [0, 3, 7] {
            let mut bytes = whole.clone();
            bytes[offset] ^= 1 << bit;
            let disk = MemoryDisk::default();
            disk.replace(NAME, bytes.clone());
            match open(&disk) {
                // Padding carries nothing and is not read.
                Ok((journal, _)) => {
                    let found: Vec<_> = journal.iter().map(|item| item.unwrap().1).collect();
                    assert_eq!(found, (0..5).map(payload).collect::<Vec<_>>(), "{offset}");
                }
                Err(Error::Damaged { .. } | Error::Newer { .. }) => refused += 1,
                Err(error) => panic!("{offset}: {error}"),
            }
            assert_eq!(disk.bytes(NAME).unwrap(), bytes, "nothing was changed");
        }
    }
    assert!(refused > start * 2, "{refused} of {}", start * 3);
}

#[test]
fn damage_names_the_file_the_byte_and_the_way_out() {
    let (disk, _, _) = filled(5);
    let mut bytes = disk.bytes(NAME).unwrap();
    bytes[64 + 20] ^= 1;
    disk.replace(NAME, bytes);
    let text = open(&disk).unwrap_err().to_string();
    assert!(text.contains(NAME) && text.contains("byte 64") && text.contains("restore"), "{text}");
}

#[test]
fn a_zeroed_record_in_the_middle_is_refused() {
    let (disk, start, _) = filled(5);
    let mut bytes = disk.bytes(NAME).unwrap();
    bytes[64..start].fill(0);
    disk.replace(NAME, bytes);
    assert!(matches!(open(&disk), Err(Error::Damaged { offset: 64, .. })));
}

#[test]
fn a_batch_that_survives_out_of_order_is_cut_whole() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open(&disk).unwrap();
    journal.append(b"synced").unwrap();
    journal.sync().unwrap();
    let first = journal.append(&[1; 200]).unwrap().0 as usize;
    journal.append(&[2; 200]).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let mut bytes = disk.bytes(NAME).unwrap();
    bytes[first..first + 100].fill(0);
    disk.replace(NAME, bytes);
    let (journal, recovery) = open(&disk).unwrap();
    assert_eq!((recovery.records, recovery.truncated_bytes), (1, 432));
    assert_eq!(journal.iter().map(|item| item.unwrap().1).collect::<Vec<_>>(), [b"synced"]);
}

#[test]
fn blocks_of_another_place_or_journal_do_not_pass() {
    let (disk, start, end) = filled(4);
    let (other, ..) = filled(4);
    let (mine, theirs) = (disk.bytes(NAME).unwrap(), other.bytes(NAME).unwrap());
    let mut stale = mine.clone();
    stale[start..end].copy_from_slice(&theirs[start..end]);
    disk.replace(NAME, stale);
    assert_eq!(count(&disk), 3, "another journal's record is not ours");
    let mut moved = mine.clone();
    moved.truncate(end);
    moved.extend_from_slice(&mine[start..end]);
    disk.replace(NAME, moved);
    assert_eq!(count(&disk), 4, "a record repeated elsewhere is not read");
}

#[test]
fn a_newer_format_and_a_missing_file_are_refused() {
    let (disk, ..) = filled(2);
    let mut bytes = disk.bytes(NAME).unwrap();
    bytes[8] = 9;
    let crc = crc32c::crc32c(&bytes[..60]).to_le_bytes();
    bytes[60..64].copy_from_slice(&crc);
    disk.replace(NAME, bytes.clone());
    assert!(matches!(open(&disk), Err(Error::Newer { found: 9, supported: 1, .. })));
    let disk = MemoryDisk::default();
    disk.replace("journal-00000001.log", bytes);
    assert!(matches!(open(&disk), Err(Error::Damaged { .. })));
}

#[test]
fn a_finished_segment_that_lost_its_end_is_refused() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open(&disk).unwrap();
    let mut last = 0;
    for number in 0..40 {
        let position = journal.append(&[number + 1; 300]).unwrap().0;
        if position >> 32 == 0 {
            last = position as usize;
        }
    }
    journal.sync().unwrap();
    drop(journal);
    let mut bytes = disk.bytes(NAME).unwrap();
    bytes.truncate(last);
    disk.replace(NAME, bytes);
    let text = open(&disk).unwrap_err().to_string();
    assert!(text.contains("journal-00000001.log") && text.contains("missing"), "{text}");
}
