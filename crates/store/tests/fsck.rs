//! What is wrong with a store is found, named, and made again where the journal can.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use vouch_core::channel::Mode;
use vouch_core::log::note;
use vouch_core::signature::Signature;
use vouch_journal::{Directory, Disk, Journal, ReadOnly};
use vouch_store::fsck::{Checked, Remedy, check};
use vouch_store::{Config, EmbeddedStore, FileTiles, Store};

fn filled(dir: &Path, config: Config) {
    let (store, _) = EmbeddedStore::open(dir, config).unwrap();
    let channel = open(&store, 1, Mode::Session);
    store.accept(voucher(&channel, 900_000)).wait().unwrap();
    for sizes in [3, 300, 297] {
        let from = store.size();
        let paid: Vec<_> = (from..from + sizes)
            .map(|number| {
                let hold = new_call(&store, &call(&channel, number, 1, None));
                store.commit(hold, draft(&channel, number, 1), b"an answer".to_vec())
            })
            .collect();
        paid.into_iter().for_each(|paid| drop(paid.wait().unwrap()));
        store.publish_checkpoint().wait().unwrap();
    }
}

fn fsck(dir: &Path, rebuild: bool) -> Checked {
    let disk: Arc<dyn Disk> = Arc::new(Directory::open(&dir.join("journal")).unwrap());
    let options = config().journal;
    let (journal, _) =
        Journal::open_on(Box::new(ReadOnly::new(Arc::clone(&disk))), options).unwrap();
    let tiles = FileTiles::on(Box::new(Directory::unlocked(&dir.join("log"))));
    check(&journal, &disk, &tiles, rebuild).unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A way to change a file.
type Change = (&'static str, fn(&mut Vec<u8>));

fn changes() -> Vec<Change> {
    vec![
        ("truncated", |bytes| bytes.truncate(bytes.len() / 2)),
        ("flipped", |bytes| {
            let at = bytes.len() / 3;
            bytes[at] ^= 4;
        }),
        ("empty", Vec::clear),
        ("longer", |bytes| bytes.push(0)),
    ]
}

#[test]
fn every_public_file_that_is_changed_is_found_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), config());
    let sound = fsck(dir.path(), false);
    assert_eq!((sound.entries, sound.checkpoint, sound.channels), (600, 600, 1));
    assert_eq!(sound.damage, []);
    let log = dir.path().join("log");
    let all = files(&log);
    // Two full tiles and a partial one of hashes and entries each, one of level 1 and what is left
    // of it from 303 entries, the checkpoint.
    assert_eq!(all.len(), 9, "{all:?}");
    for path in &all {
        let right = std::fs::read(path).unwrap();
        let mut ways: Vec<(&str, Option<Vec<u8>>)> = Vec::new();
        if !path.ends_with("tile/1/000.p/1") {
            ways.push(("deleted", None));
        }
        for (name, change) in changes() {
            let mut bytes = right.clone();
            change(&mut bytes);
            ways.push((name, Some(bytes)));
        }
        for (name, bytes) in ways {
            match &bytes {
                None => std::fs::remove_file(path).unwrap(),
                Some(bytes) => std::fs::write(path, bytes).unwrap(),
            }
            let place = format!("log/{}", path.strip_prefix(&log).unwrap().display());
            for (rebuild, remedy) in [(false, Remedy::Rebuild), (true, Remedy::Rebuilt)] {
                let found = fsck(dir.path(), rebuild).damage;
                let [damage] = found.as_slice() else { panic!("{name} {place}: {found:?}") };
                assert_eq!((&damage.place, damage.remedy), (&place, remedy), "{name}");
            }
            assert_eq!(std::fs::read(path).unwrap(), right, "{name} {place}");
        }
    }
    std::fs::remove_dir_all(&log).unwrap();
    assert_eq!(fsck(dir.path(), false).damage.len(), 8);
    assert!(!log.exists(), "a look changes nothing");
    assert_eq!(fsck(dir.path(), true).damage.len(), 8);
    assert_eq!(files(&log).len(), 8);
    assert_eq!(fsck(dir.path(), false).damage, []);
}

#[test]
fn an_older_or_another_journal_than_was_released_is_named_and_nothing_is_made_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (long, short) = (dir.path().join("long"), dir.path().join("short"));
    filled(&long, config());
    let (store, _) = EmbeddedStore::open(&short, config()).unwrap();
    let channel = open(&store, 1, Mode::Session);
    pay(&store, &channel, 1, 1).unwrap();
    drop(store);
    std::fs::create_dir_all(short.join("log")).unwrap();
    std::fs::copy(long.join("log/checkpoint"), short.join("log/checkpoint")).unwrap();
    let found = fsck(&short, true).damage;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].remedy, Remedy::Restore);
    assert!(found[0].problem.contains("600 entries was already released"), "{}", found[0]);
    // Grown past it, it is another history.
    let (store, _) = EmbeddedStore::open_on(
        Box::new(Directory::open(&short.join("journal")).unwrap()),
        Arc::new(FileTiles::open(&dir.path().join("elsewhere")).unwrap()),
        config(),
    )
    .unwrap();
    store.accept(voucher(&channel, 900_000)).wait().unwrap();
    let paid: Vec<_> = (1000..1700)
        .map(|number| {
            let hold = new_call(&store, &call(&channel, number, 1, None));
            store.commit(hold, draft(&channel, number, 1), Vec::new())
        })
        .collect();
    paid.into_iter().for_each(|paid| drop(paid.wait().unwrap()));
    drop(store);
    let found = fsck(&short, true).damage;
    assert_eq!(found.len(), 1);
    assert!(found[0].problem.contains("another history"), "{}", found[0]);
}

#[test]
fn signatures_that_are_not_the_providers_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let other = secp256k1::SecretKey::from_byte_array([9; 32]).unwrap();
    let mut promises = config();
    promises.sign_promise =
        Arc::new(move |promise| Ok(Signature::sign(promise.digest(&DOMAIN), &other)));
    let mut checkpoints = config();
    checkpoints.sign_checkpoint = Arc::new(move |checkpoint| {
        let signature = Signature::sign(checkpoint.digest(), &other);
        Ok(vec![note::sign_eip712(ORIGIN, provider(), &signature)])
    });
    for (name, config, said) in [
        ("promises", promises, "a promise's signature is not the provider's"),
        ("checkpoints", checkpoints, "entries is not the provider's"),
    ] {
        let dir = dir.path().join(name);
        filled(&dir, config);
        let found = fsck(&dir, true).damage;
        assert!(!found.is_empty());
        for damage in found {
            assert!(damage.problem.contains(said), "{damage}");
            assert!(damage.place.starts_with("journal/journal-00000000.log, byte "), "{damage}");
            assert_eq!(damage.remedy, Remedy::Restore);
        }
    }
}
