//! What a disk may give back.

use std::{fs, path::PathBuf, sync::Arc};

use alloy_primitives::Address;
use vouch_core::domain::Domain;
use vouch_journal::{Disk, Journal, Options, testing::MemoryDisk};
use vouch_store::{Config, EmbeddedStore, FileTiles};

fn options() -> Options {
    Options { segment_bytes: 1 << 14, preallocate_bytes: 1 << 12 }
}

/// A whole journal, overwritten from the place that the first two bytes name.
pub(crate) fn journal(bytes: &[u8]) {
    let Some((at, over)) = bytes.split_first_chunk() else { return };
    let disk = MemoryDisk::default();
    let (mut journal, _) =
        Journal::open_on(Box::new(disk.clone()), options()).expect("it is empty");
    for length in [1_usize, 700, 40, 3] {
        journal.append(&vec![7; length]).expect("it fits");
    }
    journal.sync().expect("memory does not fail");
    drop(journal);
    let names = disk.list("").expect("memory does not fail");
    let name = names.first().expect("it has a segment");
    let mut content = disk.bytes(name).expect("it is there");
    let at = usize::from(u16::from_be_bytes(*at)) % (content.len() + 1);
    content.truncate(content.len().max(at + over.len()));
    let end = (at + over.len()).max(content.len());
    content.resize(end, 0);
    content[at..at + over.len()].copy_from_slice(over);
    disk.replace(name, content);
    let Ok((journal, _)) = Journal::open_on(Box::new(disk.clone()), options()) else { return };
    let read: Vec<_> = journal.iter().map_while(Result::ok).map(|(_, record)| record).collect();
    drop(journal);
    let (again, _) = Journal::open_on(Box::new(disk), options()).expect("it was mended");
    let found: Vec<_> = again.iter().map_while(Result::ok).map(|(_, record)| record).collect();
    assert_eq!(found, read, "what was kept once is kept");
}

/// A journal whose records are sound and say anything: one for each line, in hexadecimal or not.
pub(crate) fn store(bytes: &[u8]) {
    let disk = MemoryDisk::default();
    let (mut journal, _) =
        Journal::open_on(Box::new(disk.clone()), options()).expect("it is empty");
    for record in bytes.split(|byte| *byte == b'\n').filter(|record| !record.is_empty()).take(8) {
        if journal.append(record).is_err() {
            return;
        }
    }
    journal.sync().expect("memory does not fail");
    drop(journal);
    let domain = Domain { chain: 1, settlement: Address::ZERO };
    let config = Config::new(
        domain,
        "o".into(),
        Arc::new(|| 0),
        Arc::new(|_| Err("nobody signs".into())),
        Arc::new(|_| Err("nobody signs".into())),
    );
    let config = Config { journal: options(), ..config };
    let tiles = tiles();
    let tiles_store = Arc::new(FileTiles::open(&tiles).expect("a directory"));
    let opened = EmbeddedStore::open_on(Box::new(disk), tiles_store, config);
    drop(opened);
}

/// A directory of this process.
fn tiles() -> PathBuf {
    let path = std::env::temp_dir().join(format!("vouch-fuzz-{}", std::process::id()));
    fs::create_dir_all(&path).expect("a temporary directory");
    path
}
