//! On real files.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::io::{self, ErrorKind};

use vouch_journal::testing::MemoryDisk;
use vouch_journal::{Directory, Disk, Error, File, Journal, Options, Position, replace};

#[test]
fn records_come_back_from_real_files() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 1 << 16, ..Options::default() };
    let path = dir.path().join("a/b");
    let (mut journal, recovery) = Journal::open(&path, options).unwrap();
    assert_eq!((recovery.records, recovery.segments), (0, 1));
    let reader = journal.reader();
    let mut written = Vec::new();
    for number in 0..2000_u32 {
        let bytes = number.to_be_bytes().repeat(1 + number as usize % 50);
        let position = journal.append(&bytes).unwrap();
        assert_eq!(journal.read(position).unwrap(), bytes, "before the sync");
        assert!(matches!(reader.read(position), Err(Error::NoRecord(_))));
        if number % 100 == 99 {
            journal.sync().unwrap();
            assert_eq!(reader.read(position).unwrap(), bytes, "after the sync");
            assert_eq!(reader.read_part(position.part(2), 2).unwrap(), bytes[2..4]);
            assert!(reader.read_part(position.part(2), 1 << 14).is_err(), "beyond what is durable");
        }
        written.push((position, bytes));
    }
    journal.sync().unwrap();
    drop(journal);
    let (journal, recovery) = Journal::open(&path, Options::default()).unwrap();
    assert_eq!((recovery.records, recovery.truncated_bytes), (2000, 0));
    assert!(recovery.segments > 3);
    assert_eq!(journal.iter().map(Result::unwrap).collect::<Vec<_>>(), written);
    for (position, bytes) in &written {
        assert_eq!(journal.read(*position).unwrap(), *bytes);
    }
}

#[test]
fn a_second_opener_is_refused_and_told_who() {
    let dir = tempfile::tempdir().unwrap();
    let first = Journal::open(dir.path(), Options::default()).unwrap();
    let error = Journal::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(error, Error::Locked { pid: Some(pid), .. } if pid == std::process::id()));
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
    drop(first);
    Journal::open(dir.path(), Options::default()).unwrap();
}

#[test]
fn sizes_and_positions_out_of_range_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 4096, ..Options::default() };
    let (mut journal, _) = Journal::open(dir.path(), options).unwrap();
    assert!(matches!(journal.append(&[]), Err(Error::RecordSize { size_bytes: 0, .. })));
    assert!(matches!(journal.append(&[1; 4017]), Err(Error::RecordSize { max_bytes: 4016, .. })));
    journal.append(&[1; 4016]).unwrap();
    let second = journal.append(&[2; 4016]).unwrap();
    let elsewhere = Position(second.0 + (6 << 32));
    assert!(matches!(journal.read(elsewhere), Err(Error::NoRecord(_))), "no such segment");
    journal.sync().unwrap();
    assert_eq!(journal.read(second).unwrap(), [2; 4016]);
    for position in [0, 63, 65, 4096, 1 << 32, (1 << 32) + 4096, 7 << 32, u64::MAX] {
        assert!(journal.read(Position(position)).is_err(), "{position}");
    }
    let bad = Options { segment_bytes: 100, ..Options::default() };
    let other = tempfile::tempdir().unwrap();
    assert!(matches!(Journal::open(other.path(), bad), Err(Error::Options { .. })));
}

#[test]
fn a_directory_is_made_wherever_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::env::set_current_dir(dir.path()).unwrap();
    Journal::open("of-the-working-directory".as_ref(), Options::default()).unwrap();
    assert!(dir.path().join("of-the-working-directory").is_dir());
    // Where it cannot be made, the error is of the name that was asked for, not of one above it.
    fs::write(dir.path().join("file"), "").unwrap();
    let below = dir.path().join("file/journal");
    match Journal::open(&below, Options::default()).unwrap_err() {
        Error::Io { action: "create", path, source } => {
            assert_eq!((path, source.kind()), (below, ErrorKind::NotADirectory));
        }
        other => panic!("{other}"),
    }
}

/// What every disk does with names and bytes; returns what is left.
fn used(disk: &dyn Disk) -> io::Result<Vec<String>> {
    assert_eq!(disk.list("tile/0")?, [""; 0]);
    assert_eq!(disk.open("tile/0/001", false).unwrap_err().kind(), ErrorKind::NotFound);
    replace(disk, "tile/0/001", b"first")?;
    replace(disk, "tile/0/002", b"second")?;
    let mut names = disk.list("tile/0")?;
    names.sort();
    assert_eq!(names, ["001", "002"]);
    disk.rename("tile/0/002", "tile/0/001")?;
    assert_eq!(disk.list("tile/0")?, ["001"]);
    let file = disk.open("tile/0/001", true)?;
    let mut bytes = [7; 8];
    assert_eq!((file.size()?, file.read_at(&mut bytes, 0)?), (6, 6), "the bytes of the other");
    assert_eq!((&bytes, file.read_at(&mut [0], 6)?), (b"second\x07\x07", 0));
    file.set_size(2)?;
    file.set_size(4)?;
    assert_eq!((file.size()?, file.read_at(&mut bytes, 1)?), (4, 3));
    assert_eq!(bytes[..3], *b"e\0\0", "what is grown reads as zeros");
    disk.open("top", true)?;
    disk.open("tile/0/003", true)?;
    disk.remove("tile/0/003")?;
    assert_eq!(disk.list("tile/0")?, ["001"]);
    disk.remove("tile/0/001")?;
    assert_eq!(disk.remove("tile/0/001").unwrap_err().kind(), ErrorKind::NotFound);
    disk.sync()?;
    disk.list("")
}

#[test]
fn a_real_disk_does_what_the_one_in_memory_does() {
    assert_eq!(used(&MemoryDisk::default()).unwrap(), ["top"]);
    let dir = tempfile::tempdir().unwrap();
    let disk = Directory::unlocked(dir.path());
    let mut left = used(&disk).unwrap();
    left.sort();
    assert_eq!(left, ["tile", "top"]);
    assert!(!dir.path().join("tile/0").exists(), "a directory goes with its last name");
    disk.remove("top").unwrap();
    fs::remove_dir(dir.path().join("tile")).unwrap();
    disk.open("only", true).unwrap();
    disk.remove("only").unwrap();
    assert!(dir.path().is_dir(), "but not the disk's own");
}

#[test]
fn what_the_system_refuses_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Directory::unlocked(dir.path());
    disk.open("of/names/file", true).unwrap();
    // Somebody has put a file in the place of the directory whose names are to be synced.
    fs::remove_dir_all(dir.path().join("of")).unwrap();
    fs::write(dir.path().join("of"), "").unwrap();
    assert_eq!(disk.sync().unwrap_err().kind(), ErrorKind::NotADirectory);
    assert_eq!(disk.list("of").unwrap_err().kind(), ErrorKind::NotADirectory);
    let directory = fs::File::open(dir.path()).unwrap();
    let read = File::read_at(&directory, &mut [0; 8], 0);
    assert_eq!(read.unwrap_err().kind(), ErrorKind::IsADirectory);
    // A device without a medium has nothing to sync.
    let device = fs::File::open("/dev/null").unwrap();
    assert_eq!(File::sync(&device).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_segment_is_filled_to_its_last_byte() {
    let opened = |segment_bytes| {
        let options = Options { segment_bytes, ..Options::default() };
        Journal::open_on(Box::new(MemoryDisk::default()), options).unwrap().0
    };
    let mut journal = opened(4096);
    assert_eq!(journal.append(&[1; 984]).unwrap(), Position(64));
    assert_eq!(journal.append(&[2; 3016]).unwrap(), Position(1064), "it just fits");
    assert_eq!(journal.append(&[3]).unwrap(), Position((1 << 32) + 64));
    // The longest record's padding goes beyond a size that is no multiple of 8: no file is skipped.
    assert_eq!(opened(4100).append(&[1; 4020]).unwrap(), Position(64));
}

#[test]
fn a_part_may_end_where_what_is_durable_ends() {
    let disk = Box::new(MemoryDisk::default());
    let (mut journal, _) = Journal::open_on(disk, Options::default()).unwrap();
    let position = journal.append(b"12345678").unwrap();
    journal.sync().unwrap();
    let reader = journal.reader();
    assert_eq!(reader.read_part(position.part(0), 8).unwrap(), b"12345678");
    assert!(matches!(reader.read_part(position.part(0), 9), Err(Error::NoRecord(_))));
}

#[test]
fn what_changes_under_an_open_journal_is_damage_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), Options::default()).unwrap();
    let first = journal.append(&[1; 100]).unwrap();
    let second = journal.append(&[2; 100]).unwrap();
    journal.sync().unwrap();
    let path = dir.path().join("journal-00000000.log");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    File::write_all_at(&file, &[3], first.0 + 20).unwrap();
    File::write_all_at(&file, &[0; 120], second.0).unwrap();
    let named = |error: Error, position: Position| match error {
        Error::Damaged { path: found, offset, .. } => {
            assert_eq!((found, offset), (path.clone(), position.0));
        }
        other => panic!("{other}"),
    };
    named(journal.read(first).unwrap_err(), first);
    named(journal.iter().next().unwrap().unwrap_err(), first);
    File::write_all_at(&file, &[1], first.0 + 20).unwrap();
    let mut items = journal.iter();
    assert_eq!(items.next().unwrap().unwrap().1, [1; 100]);
    named(items.next().unwrap().unwrap_err(), second);
    assert!(items.next().is_none(), "it ends after an error");
}
