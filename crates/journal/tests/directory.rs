//! On real files.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use vouch_journal::{Error, Journal, Options, Position};

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
    journal.sync().unwrap();
    assert_eq!(journal.read(second).unwrap(), [2; 4016]);
    for position in [0, 63, 65, 4096, 1 << 32, (1 << 32) + 4096, 7 << 32, u64::MAX] {
        assert!(journal.read(Position(position)).is_err(), "{position}");
    }
    let bad = Options { segment_bytes: 100, ..Options::default() };
    let other = tempfile::tempdir().unwrap();
    assert!(matches!(Journal::open(other.path(), bad), Err(Error::Options { .. })));
}
