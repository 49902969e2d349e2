//! The power goes at every disk operation: what was acknowledged is there, charged once.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::*;
use vouch_core::channel::{ChannelConfig, Mode};
use vouch_journal::testing::{Fault, MemoryDisk};
use vouch_store::{Acknowledged, EmbeddedStore, Error, FileTiles, Store};

fn open_store(disk: &MemoryDisk, tiles: &Path) -> vouch_store::Result<EmbeddedStore> {
    let tiles = Arc::new(FileTiles::open(tiles).unwrap());
    EmbeddedStore::open_on(Box::new(disk.clone()), tiles, config()).map(|(store, _)| store)
}

#[derive(Default)]
struct Told {
    /// Acknowledged calls, by number.
    calls: Vec<(u64, Acknowledged)>,
    checkpoint: u64,
}

/// Works until the disk fails.
fn work(disk: &MemoryDisk, tiles: &Path) -> Told {
    let mut told = Told::default();
    let Ok(store) = open_store(disk, tiles) else { return told };
    let configs = [channel(1), channel(2)];
    for config in configs {
        if store.open_channel(config, Mode::Session, deposit(1_000)).wait().is_err() {
            return told;
        }
    }
    for number in 0..8 {
        let charge = 5 + u128::from(number);
        match pay_for(&store, &configs[number as usize % 2], number, charge, &uses(number)) {
            Ok(acknowledged) => told.calls.push((number, acknowledged)),
            Err(Error::Stopped { .. }) => break,
            Err(error) => panic!("{error}"),
        }
        if number % 3 == 2 {
            match store.publish_checkpoint().wait() {
                Ok(published) => told.checkpoint = published.checkpoint.size,
                Err(_) => break,
            }
        }
    }
    told
}

/// What the answer to a call used: nothing, one owner's data, or two owners' and one of them twice.
fn uses(number: u64) -> Vec<(u8, u128)> {
    let all = [(0xa1, 1), (0xa2, 2), (0xa1, u128::from(number) % 3)];
    all[..(number % 4).min(3) as usize].to_vec()
}

/// Each owner's stream is without gaps, adds up, and is what its receipts' parents say.
fn check_streams(store: &EmbeddedStore) -> [(u64, u128); 2] {
    [0xa1, 0xa2].map(|owner| {
        let found = store.receipts_of(&stream(owner), 0, 1_000).unwrap();
        let mut total = 0;
        for (stored, sequence) in found.iter().zip(1..) {
            let receipt = &stored.acknowledged.receipt;
            total += receipt.charge;
            assert_eq!((receipt.sequence, receipt.cumulative), (sequence, total));
            assert_eq!(stored.answer, [owner; 3]);
            let parent = store.receipt_by_digest(&receipt.parent).unwrap().unwrap();
            assert!(parent.children.contains(&stored.acknowledged));
        }
        (found.len() as u64, total)
    })
}

fn check_all(store: &EmbeddedStore, told: &Told) {
    assert!(store.size() >= told.checkpoint);
    check_streams(store);
    for (number, acknowledged) in &told.calls {
        check(acknowledged);
        assert_eq!(store.receipt(acknowledged.promise.index).unwrap().as_ref(), Some(acknowledged));
        let (channel, request) = (acknowledged.receipt.channel, request(*number));
        let stored = store.answer(&channel, &request).unwrap().unwrap();
        assert_eq!(stored.answer, number.to_string().into_bytes());
        assert_eq!(stored.acknowledged, *acknowledged);
    }
    for view in store.channels() {
        let receipts: Vec<_> = (1..=view.sequence)
            .map(|sequence| store.receipt_by_sequence(&view.id, sequence).unwrap().unwrap().receipt)
            .collect();
        assert_eq!(receipts.iter().map(|receipt| receipt.charge).sum::<u128>(), view.charged);
        assert!(view.charged + view.reserved <= view.accepted);
    }
}

/// Goes on: makes all calls again, the told ones come back unchanged and uncharged.
fn go_on(store: &EmbeddedStore, told: &Told) {
    let configs: [ChannelConfig; 2] = [open_again(store, 1), open_again(store, 2)];
    for number in 0..8 {
        let (config, charge) = (&configs[number as usize % 2], 5 + u128::from(number));
        let again = pay_for(store, config, number, charge, &uses(number)).unwrap();
        if let Some((_, first)) = told.calls.iter().find(|(told, _)| *told == number) {
            assert_eq!(again, *first);
        }
    }
    // 8 calls; 0, 1, 2, 3 uses of data in turn.
    assert_eq!(store.size(), 8 + 12, "each call and each use is in the log once");
    assert_eq!(check_streams(store), [(8, 6 + 1), (4, 4 * 2)]);
    let charged: u128 = store.channels().iter().map(|view| view.charged).sum();
    assert_eq!(charged, (5..13).sum::<u128>());
    assert_eq!(store.publish_checkpoint().wait().unwrap().checkpoint.size, 20);
}

fn open_again(store: &EmbeddedStore, payer: u8) -> ChannelConfig {
    let config = channel(payer);
    store.open_channel(config, Mode::Session, deposit(1_000)).wait().unwrap();
    config
}

#[test]
fn power_loss_at_every_operation() {
    let dir = tempfile::tempdir().unwrap();
    let whole = MemoryDisk::default();
    assert_eq!(work(&whole, &dir.path().join("whole")).calls.len(), 8);
    for operation in 0..whole.operations() {
        for (name, keep) in [("none", 0), ("some", 1), ("all", 2)] {
            let tiles = dir.path().join(format!("{operation}-{name}"));
            let disk = MemoryDisk::default();
            disk.fail_at(operation, Fault::PowerOff);
            let told = work(&disk, &tiles);
            let disk = disk.power_loss(|length| length * keep / 2);
            let store = open_store(&disk, &tiles).unwrap();
            check_all(&store, &told);
            go_on(&store, &told);
        }
    }
}

#[test]
fn a_full_disk_stops_the_store_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = MemoryDisk::default();
    let store = open_store(&disk, dir.path()).unwrap();
    let config = open_again(&store, 1);
    let kept = pay(&store, &config, 0, 5).unwrap();
    disk.fail_at(0, Fault::Full);
    let mut told = Told { calls: vec![(0, kept)], checkpoint: 0 };
    let error = loop {
        let number = told.calls.len() as u64;
        let hold = new_call(&store, &call(&config, number, 5, Some(5 * (u128::from(number) + 1))));
        let answer = store.commit(hold, draft(&config, number, 5), number.to_string().into_bytes());
        match answer.wait() {
            Ok(acknowledged) => told.calls.push((number, acknowledged)),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("free some space"), "{error}");
    assert!(matches!(pay(&store, &config, 900, 5), Err(Error::Stopped { .. })));
    assert_eq!(store.receipt(0).unwrap().as_ref(), Some(&told.calls[0].1), "reading goes on");
    assert_eq!(store.size(), told.calls.len() as u64);
    drop(store);
    disk.fail_at(u64::MAX, Fault::Full);
    let store = open_store(&disk, dir.path()).unwrap();
    check_all(&store, &told);
    pay(&store, &config, 900, 5).unwrap();
}

#[test]
fn a_copy_of_the_files_at_each_acknowledgement_opens() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(&dir.path().join("live"), config()).unwrap();
    let config = open_again(&store, 1);
    let mut told = Told::default();
    for number in 0..12 {
        told.calls.push((number, pay(&store, &config, number, 3).unwrap()));
        let copy = dir.path().join(format!("copy-{number}"));
        std::fs::create_dir_all(copy.join("journal")).unwrap();
        for entry in std::fs::read_dir(dir.path().join("live/journal")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join("journal").join(entry.file_name())).unwrap();
        }
        let (reopened, opened) = EmbeddedStore::open(&copy, common::config()).unwrap();
        assert_eq!(opened.size, number + 1);
        check_all(&reopened, &told);
    }
}
