//! Torn tails are cut, whatever their length; changed bytes in front of them are refused.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::ErrorKind;
use std::sync::Arc;

use vouch_journal::testing::MemoryDisk;
use vouch_journal::{Disk, Error, Journal, Known, Options, ReadOnly, Recovery, Result, salvage};

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

/// Every bit of two segments: what lies behind the last synced batch is cut, what lies before is
/// refused, and nothing that was changed is ever read as if it were right.
#[test]
fn every_flipped_bit_is_cut_at_the_tail_and_refused_before_it() {
    let disk = MemoryDisk::default();
    let options = Options { segment_bytes: 4096, preallocate_bytes: 256 };
    let (mut journal, _) = Journal::open_on(Box::new(disk.clone()), options).unwrap();
    let payloads: Vec<Vec<u8>> = [1, 700, 63, 2500, 640, 5, 300]
        .into_iter()
        .enumerate()
        .map(|(number, size)| vec![number as u8 + 1; size])
        .collect();
    let mut last = 0;
    for payload in &payloads {
        last = journal.append(payload).unwrap().0 as usize & 0xffff;
        journal.sync().unwrap();
    }
    drop(journal);
    let names = disk.names();
    assert_eq!(names.len(), 2);
    let (mut refused, mut cut) = (0, 0);
    for name in &names {
        let whole = disk.bytes(name).unwrap();
        for at in 0..whole.len() * 8 {
            let flipped = disk.killed();
            let mut bytes = whole.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            flipped.replace(name, bytes.clone());
            let tail = *name == names[1] && at / 8 >= last;
            match Journal::open_on(Box::new(flipped.clone()), options) {
                Ok((journal, recovery)) => {
                    assert!(tail && recovery.truncated_bytes > 0, "{name} bit {at}");
                    let found: Vec<_> = journal.iter().map(|item| item.unwrap().1).collect();
                    assert!(found == payloads || found == payloads[..6], "{name} bit {at}");
                    cut += 1;
                }
                Err(error) => {
                    assert!(!tail, "{name} bit {at}: {error}");
                    let text = error.to_string();
                    for part in ["memory/journal-0000000", "byte ", "`vouch fsck`"] {
                        assert!(text.contains(part), "{text}");
                    }
                    assert_eq!(flipped.bytes(name).unwrap(), bytes, "nothing was changed");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 8 * 4000 && cut > 8 * 300, "{refused} refused, {cut} cut");
}

/// What a damaged journal still holds is given, and what is lost is named; a torn tail is neither.
#[test]
fn what_is_left_of_a_damaged_journal_can_be_read() {
    let (disk, start, _) = filled(5);
    let mut bytes = disk.bytes(NAME).unwrap();
    let second = 64 + 16 + 56;
    bytes[second + 20] ^= 1;
    disk.replace(NAME, bytes);
    let (found, lost) = salvaged(&disk);
    assert_eq!(found, [payload(0), payload(2), payload(3), payload(4)]);
    assert_eq!(lost, [(second as u64, second as u64 + 72)]);
    // The tail, which nothing synced follows, may never have been acknowledged.
    let mut bytes = disk.bytes(NAME).unwrap();
    bytes[start + 20] ^= 1;
    disk.replace(NAME, bytes);
    let (found, lost) = salvaged(&disk);
    assert_eq!((found.len(), lost.len()), (3, 1));
    let mut bytes = disk.bytes(NAME).unwrap();
    for bit in 0..8 {
        bytes[20] ^= 1 << bit;
        disk.replace(NAME, bytes.clone());
        let (found, lost) = salvaged(&disk);
        assert_eq!(found.len(), 3, "one bit of a header is known by its checksum");
        assert_eq!((lost.len(), lost[0]), (2, (0, 64)), "and told");
        bytes[20] ^= 1 << bit;
    }
    bytes[20] ^= 1;
    bytes[21] ^= 1;
    disk.replace(NAME, bytes);
    let (found, lost) = salvaged(&disk);
    assert_eq!((found.len(), lost.len()), (0, 1), "no header, no checksums");
}

#[test]
fn a_file_without_records_has_nothing_to_lose() {
    let (disk, ..) = filled(0);
    let mut bytes = disk.bytes(NAME).unwrap();
    assert_eq!(bytes.len(), 64);
    for changed in [20, 21] {
        bytes[changed] ^= 1;
        disk.replace(NAME, bytes.clone());
        assert_eq!(salvaged(&disk), (vec![], vec![]), "one bit, or more than a checksum mends");
    }
}

fn salvaged(disk: &MemoryDisk) -> (Vec<Vec<u8>>, Vec<(u64, u64)>) {
    let mut found = Vec::new();
    let lost = salvage(disk, &mut |_, record| {
        found.push(record.to_vec());
        Ok(())
    });
    (found, lost.unwrap().into_iter().map(|lost| (lost.from, lost.to)).collect())
}

/// A journal with a torn tail is read whole, and its files stay as they are.
#[test]
fn a_read_only_disk_changes_nothing() {
    let (disk, start, _) = filled(4);
    let mut torn = disk.bytes(NAME).unwrap();
    torn[start + 16] ^= 1;
    disk.replace(NAME, torn.clone());
    disk.replace("journal-00000001.log", vec![0; 64]);
    let before = disk.operations();
    let looked = ReadOnly::new(Arc::new(disk.clone()));
    let (mut journal, recovery) = Journal::open_on(Box::new(looked), OPTIONS).unwrap();
    assert_eq!((recovery.records, recovery.segments), (3, 1));
    assert_eq!(journal.iter().map(Result::unwrap).count(), 3);
    journal.append(b"new").unwrap();
    assert!(journal.sync().is_err());
    assert_eq!((disk.operations(), disk.bytes(NAME).unwrap()), (before, torn));
    assert_eq!(disk.names().len(), 2);
}

#[test]
fn a_read_only_disk_cuts_and_removes_in_memory_and_refuses_the_rest() {
    let disk = MemoryDisk::default();
    disk.replace("top", b"123456".to_vec());
    disk.replace("in/side", vec![1]);
    let looked = ReadOnly::new(Arc::new(disk.clone()));
    let read_only = ErrorKind::ReadOnlyFilesystem;
    assert_eq!(looked.open("none", false).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(looked.open("none", true).unwrap_err().kind(), read_only);
    assert_eq!(looked.rename("top", "new").unwrap_err().kind(), read_only);
    let file = looked.open("top", true).unwrap();
    assert_eq!(file.write_all_at(b"x", 0).unwrap_err().kind(), read_only);
    assert_eq!(file.set_size(7).unwrap_err().kind(), read_only);
    file.set_size(6).unwrap();
    file.set_size(4).unwrap();
    assert_eq!(file.set_size(5).unwrap_err().kind(), read_only, "what is cut is gone");
    let mut bytes = [0; 8];
    assert_eq!((file.size().unwrap(), file.read_at(&mut bytes, 1).unwrap()), (4, 3));
    assert_eq!(bytes[..4], *b"234\0");
    for (name, directory) in [("top", ""), ("in/side", "in")] {
        assert_eq!(looked.list(directory).unwrap().len(), 1);
        looked.remove(name).unwrap();
        assert_eq!(looked.list(directory).unwrap(), [""; 0]);
    }
    assert_eq!((disk.operations(), disk.bytes("top").unwrap()), (0, b"123456".to_vec()));
}

#[test]
fn a_sound_journal_is_opened_as_it_is() {
    let (disk, ..) = filled(3);
    let (bytes, resized) = (disk.bytes(NAME), disk.operations_by_kind()["resize"]);
    open(&disk).unwrap();
    assert_eq!((disk.bytes(NAME), disk.operations_by_kind()["resize"]), (bytes, resized));
    // A file of which no header became durable has no record: it is removed.
    disk.replace("journal-00000001.log", vec![0; 64]);
    assert_eq!(open(&disk).unwrap().1.segments, 1);
    assert_eq!(disk.names(), [NAME]);
}

/// `records` records over several segments, synced at the end.
fn of_segments(records: u8) -> (MemoryDisk, Vec<u64>) {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open(&disk).unwrap();
    let append = |number| journal.append(&[number + 1; 300]).unwrap().0;
    let positions = (0..records).map(append).collect();
    journal.sync().unwrap();
    (disk, positions)
}

#[test]
fn a_file_of_another_journal_is_refused_in_its_place() {
    const SECOND: &str = "journal-00000001.log";
    let ((disk, _), (other, _)) = (of_segments(40), of_segments(40));
    disk.replace(SECOND, other.bytes(SECOND).unwrap());
    let text = open(&disk).unwrap_err().to_string();
    assert!(text.contains(SECOND) && text.contains("another journal"), "{text}");
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
    assert!(matches!(open(&disk), Err(Error::Newer { found: 9, supported: 2, .. })));
    let disk = MemoryDisk::default();
    disk.replace("journal-00000001.log", bytes);
    assert!(matches!(open(&disk), Err(Error::Damaged { .. })));
}

#[test]
fn a_finished_segment_that_lost_its_end_is_refused() {
    let (disk, positions) = of_segments(40);
    let first = positions.iter().filter(|position| **position >> 32 == 0).count();
    let last = positions[first - 1];
    let mut bytes = disk.bytes(NAME).unwrap();
    bytes.truncate(last as usize);
    disk.replace(NAME, bytes);
    let text = open(&disk).unwrap_err().to_string();
    assert!(text.contains("journal-00000001.log") && text.contains("missing"), "{text}");
    let (found, lost) = salvaged(&disk);
    assert_eq!((found.len(), lost), (39, vec![(last, last + 16 + 304)]));
}

#[test]
fn what_is_known_is_not_read_again_and_must_be_there() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = Journal::open_on(Box::new(disk.clone()), OPTIONS).unwrap();
    let records: Vec<_> = (0..400_u32)
        .map(|number| {
            let position = journal.append(&number.to_be_bytes().repeat(16)).unwrap();
            journal.sync().unwrap();
            position
        })
        .collect();
    let id = journal.id();
    drop(journal);
    let known = |journal, record| Some(Known { journal, record });
    let open = |disk: &MemoryDisk, known| {
        Journal::open_known(Box::new(disk.clone()), OPTIONS, known).map(|(_, found)| found.records)
    };
    for (count, position) in (1..).zip(&records) {
        let left = open(&disk, known(id, *position)).unwrap();
        // Those behind it, and itself where its file has others before it.
        assert!((400 - count..=400 - count + 1).contains(&left), "{count}: {left}");
    }
    assert_eq!(open(&disk, known([0; 16], records[399])).unwrap(), 400, "of another journal");
    // A bit flips early: a start from a record behind it goes on, one from the beginning does not.
    let flipped = disk.killed();
    let mut bytes = disk.bytes(NAME).unwrap();
    bytes[records[3].0 as usize + 20] ^= 1;
    flipped.replace(NAME, bytes);
    assert!(matches!(open(&flipped, None), Err(Error::Damaged { .. })));
    assert!(matches!(open(&flipped, known(id, records[3])), Err(Error::Damaged { .. })));
    assert!(open(&flipped, known(id, records[4])).is_ok());
    // An older copy of the files does not have it, though it is whole.
    let older = MemoryDisk::default();
    older.replace(NAME, disk.bytes(NAME).unwrap());
    assert!(matches!(open(&older, known(id, records[399])), Err(Error::Damaged { .. })));
    let older = MemoryDisk::default();
    older.replace(NAME, disk.bytes(NAME).unwrap()[..records[0].0 as usize].to_vec());
    assert!(matches!(open(&older, known(id, records[0])), Err(Error::Damaged { .. })));
}
