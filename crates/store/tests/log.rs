//! The public log, read by implementations that are not ours.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use alloy_primitives::B256;
use common::place::Place;
use common::*;
use ed25519_dalek::SigningKey;
use signed_note::{StandardVerifier, VerifierList};
use tlog_tiles::{Hash, TileHashReader, TileReader};
use vouch_core::log::note::{self, Note, Verifier};
use vouch_core::log::{Checkpoint, merkle};
use vouch_journal::testing::MemoryDisk;
use vouch_store::{EmbeddedStore, Error, FileTiles, Store, TileStore};

/// Reads tiles as any client of the log would: from the public files.
struct Client<'a>(&'a dyn Store);

impl TileReader for Client<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // Their paths name the height first, C2SP's do not.
        let path = |tile: &tlog_tiles::Tile| tile.path().replacen("tile/8/", "tile/", 1);
        Ok(tiles
            .iter()
            .map(|tile| self.0.log_file(&path(tile)).unwrap().expect("the tile is served"))
            .collect())
    }

    fn save_tiles(&self, _tiles: &[tlog_tiles::Tile], _data: &[Vec<u8>]) {}
}

fn fill(store: &dyn Store, count: u64) {
    let from = store.size();
    let pending: Vec<_> = (from..from + count)
        .map(|number| {
            let channel = B256::ZERO;
            store.append(vouch_core::receipt::Receipt {
                channel,
                ..draft(&common::channel(1), number, 1)
            })
        })
        .collect();
    pending.into_iter().for_each(|pending| check(&pending.wait().unwrap()));
}

/// The newest checkpoint, as a foreign note reader and our own both accept it.
fn foreign_checkpoint(store: &dyn Store) -> tlog_tiles::Checkpoint {
    let bytes = store.log_file("checkpoint").unwrap().unwrap();
    let note = signed_note::Note::from_bytes(&bytes).unwrap();
    let verifier = StandardVerifier::new(&log_verifier().to_string()).unwrap();
    let (verified, _) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!(verified.len(), 1);
    let ours = Note::parse(std::str::from_utf8(&bytes).unwrap()).unwrap();
    Checkpoint::verify(&ours, &log_verifier(), provider()).unwrap();
    tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap()
}

fn a_foreign_reader_proves_inclusion_and_consistency_over_our_tiles(place: &Place) {
    let store = place.open(config()).unwrap();
    let mut seen: Vec<(u64, Hash)> = Vec::new();
    for count in [1, 2, 4, 200, 49, 1, 300, 0, 700] {
        fill(&*store, count);
        store.publish_checkpoint().wait().unwrap();
        let checkpoint = foreign_checkpoint(&*store);
        assert_eq!((checkpoint.origin(), checkpoint.size()), (ORIGIN, store.size()));
        let (size, root) = (checkpoint.size(), *checkpoint.hash());
        let client = Client(&*store);
        let hashes = TileHashReader::new(size, root, &client);
        for index in (0..size).step_by(97).chain([size - 1]) {
            let receipt = store.receipt(index).unwrap().unwrap().receipt;
            let proof = tlog_tiles::prove_record(size, index, &hashes).unwrap();
            let leaf = tlog_tiles::record_hash(&receipt.entry());
            tlog_tiles::check_record(&proof, size, root, index, leaf).unwrap();
            let ours = store.proof(index).unwrap().unwrap();
            merkle::verify_inclusion(
                receipt.leaf_hash(),
                index,
                size,
                &ours.path,
                B256::from(root.0),
            )
            .unwrap();
            assert_eq!(ours.path, proof.iter().map(|hash| B256::from(hash.0)).collect::<Vec<_>>());
        }
        for (old, old_root) in &seen {
            let proof = tlog_tiles::prove_tree(size, *old, &hashes).unwrap();
            tlog_tiles::check_tree(&proof, size, root, *old, *old_root).unwrap();
            let ours = store.consistency(*old, size).unwrap();
            merkle::verify_consistency(*old, old_root.0.into(), size, root.0.into(), &ours)
                .unwrap();
        }
        seen.push((size, root));
    }
}

fn entry_tiles_hold_the_entries(place: &Place) {
    let store = place.open(config()).unwrap();
    fill(&*store, 300);
    store.publish_checkpoint().wait().unwrap();
    for (path, first, count) in [
        ("tile/entries/000", 0, 256),
        ("tile/entries/001.p/44", 256, 44),
        ("tile/entries/000.p/9", 0, 9),
    ] {
        let bytes = store.log_file(path).unwrap().unwrap();
        let entries: Vec<_> = bytes.chunks(35).collect();
        assert_eq!(entries.len(), count);
        for (index, entry) in (first..).zip(entries) {
            assert_eq!(entry[..2], [0, 33]);
            assert_eq!(entry[2..], store.receipt(index).unwrap().unwrap().receipt.entry());
        }
    }
    for path in
        ["tile/entries/001", "tile/0/002", "tile/0/../../journal", "journal", "tile/1/000", ""]
    {
        assert!(store.log_file(path).unwrap().is_none(), "{path}");
    }
}

fn proofs_come_with_a_checkpoint_and_not_before(place: &Place) {
    let store = place.open(config()).unwrap();
    assert!(matches!(store.proof(0), Err(Error::Range { .. })));
    fill(&*store, 3);
    assert!(store.proof(0).unwrap().is_none());
    let first = store.publish_checkpoint().wait().unwrap();
    assert_eq!(store.publish_checkpoint().wait().unwrap(), first, "nothing new, the same again");
    assert_eq!(store.proof(2).unwrap().unwrap().checkpoint, first.note);
    assert!(matches!(store.consistency(3, 4), Err(Error::Range { asked: 4, .. })));
    assert!(matches!(store.inclusion(3, 3), Err(Error::Range { asked: 3, .. })));
}

fn cosignatures_join_the_current_checkpoint_and_survive(place: &Place) {
    let store = place.open(config()).unwrap();
    fill(&*store, 3);
    let text = store.publish_checkpoint().wait().unwrap().checkpoint.text();
    let key = SigningKey::from_bytes(&[5; 32]);
    for time in [100, 200] {
        let line = note::cosign("witness.test", &key, &text, time);
        store.add_cosignature(text.clone(), line).wait().unwrap();
    }
    let line = note::cosign("witness.test", &key, "other\n", 1);
    assert!(matches!(
        store.add_cosignature("other\n".to_owned(), line).wait(),
        Err(Error::Cosignature(_))
    ));
    drop(store);
    let store = place.open(config()).unwrap();
    let note = Note::parse(&store.checkpoint().unwrap().note).unwrap();
    assert_eq!(note.signatures.len(), 3, "the newer cosignature replaced the older");
    assert_eq!(Verifier::witness("witness.test", &key).verify(&note), Some(200));
    foreign_checkpoint(&*store);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = {
            let e = entry.unwrap();
            (e.path(), to.join(e.file_name()))
        };
        if path.is_dir() {
            copy(&path, &target)
        } else {
            std::fs::copy(&path, &target).map(|_| ()).unwrap()
        }
    }
}

#[test]
fn a_log_behind_what_it_released_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let (live, old) = (dir.path().join("live"), dir.path().join("old"));
    let (store, _) = EmbeddedStore::open(&live, config()).unwrap();
    fill(&store, 3);
    let first = store.publish_checkpoint().wait().unwrap().checkpoint;
    drop(store);
    copy(&live.join("journal"), &old);
    let (store, _) = EmbeddedStore::open(&live, config()).unwrap();
    fill(&store, 2);
    let second = store.publish_checkpoint().wait().unwrap().checkpoint;
    store.check_extends(first.size, first.root).unwrap();
    assert!(matches!(store.check_extends(9, second.root), Err(Error::Behind { have: 5, seen: 9 })));
    assert!(matches!(store.check_extends(5, first.root), Err(Error::Forked { size: 5, .. })));
    drop(store);
    std::fs::remove_dir_all(live.join("journal")).unwrap();
    copy(&old, &live.join("journal"));
    let error = EmbeddedStore::open(&live, config()).unwrap_err();
    assert!(matches!(error, Error::Behind { have: 3, seen: 5 }), "{error}");
    // Without the released checkpoint nobody could know: an anchor or a witness does.
    std::fs::remove_file(live.join("log/checkpoint")).unwrap();
    let (store, _) = EmbeddedStore::open(&live, config()).unwrap();
    assert!(matches!(store.check_extends(second.size, second.root), Err(Error::Behind { .. })));
}

/// Files whose writing can be made to fail.
#[derive(Debug)]
struct FlakyTiles {
    files: FileTiles,
    /// Paths that start with this cannot be written.
    broken: Mutex<Option<&'static str>>,
}

impl TileStore for FlakyTiles {
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        match *self.broken.lock().unwrap() {
            Some(broken) if path.starts_with(broken) => Err(io::Error::other("unplugged")),
            _ => self.files.put(path, bytes),
        }
    }

    fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.files.get(path)
    }

    fn size(&self, path: &str) -> io::Result<Option<u64>> {
        self.files.size(path)
    }

    fn remove_partials(&self, path: &str) -> io::Result<()> {
        self.files.remove_partials(path)
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_released_later() {
    let dir = tempfile::tempdir().unwrap();
    let tiles = Arc::new(FlakyTiles {
        files: FileTiles::open(dir.path()).unwrap(),
        broken: Mutex::new(None),
    });
    let disk = Box::new(MemoryDisk::default());
    let (store, _) =
        EmbeddedStore::open_on(disk, Arc::clone(&tiles) as Arc<dyn TileStore>, config()).unwrap();
    for (size, broken) in [(300, "tile/0"), (600, "tile/entries"), (900, "checkpoint")] {
        fill(&store, 300);
        let before = store.checkpoint();
        *tiles.broken.lock().unwrap() = Some(broken);
        for _ in 0..2 {
            assert!(matches!(store.publish_checkpoint().wait(), Err(Error::Tiles { .. })));
            assert_eq!(store.checkpoint(), before, "nothing is released");
        }
        *tiles.broken.lock().unwrap() = None;
        assert_eq!(store.publish_checkpoint().wait().unwrap().checkpoint.size, size);
        foreign_checkpoint(&store);
    }
    // Stored but not released, and the log has grown since.
    fill(&store, 1);
    *tiles.broken.lock().unwrap() = Some("checkpoint");
    assert!(store.publish_checkpoint().wait().is_err());
    *tiles.broken.lock().unwrap() = None;
    fill(&store, 1);
    assert_eq!(store.publish_checkpoint().wait().unwrap().checkpoint.size, 902);
}

fn the_public_files_are_rebuilt_from_the_journal(place: &Place) {
    let store = place.open(config()).unwrap();
    fill(&*store, 600);
    store.publish_checkpoint().wait().unwrap();
    let paths =
        ["checkpoint", "tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/001"];
    let before = paths.map(|path| store.log_file(path).unwrap().unwrap());
    drop(store);
    std::fs::remove_dir_all(place.log()).unwrap();
    let store = place.open(config()).unwrap();
    assert_eq!(paths.map(|path| store.log_file(path).unwrap().unwrap()), before);
}

on_both! {
    a_foreign_reader_proves_inclusion_and_consistency_over_our_tiles,
    entry_tiles_hold_the_entries,
    proofs_come_with_a_checkpoint_and_not_before,
    cosignatures_join_the_current_checkpoint_and_survive,
    the_public_files_are_rebuilt_from_the_journal,
}
