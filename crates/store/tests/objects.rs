//! The log's public files in an object store: the reference one in memory, of the library itself.

#![cfg(feature = "objects")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;

use common::*;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use vouch_core::channel::Mode;
use vouch_journal::testing::MemoryDisk;
use vouch_store::{EmbeddedStore, ObjectTiles, Store, TileStore};

#[test]
fn files_are_put_found_and_removed() {
    let tiles = ObjectTiles::new(Arc::new(InMemory::new())).unwrap();
    assert_eq!(tiles.get("checkpoint").unwrap(), None);
    assert_eq!(tiles.size("tile/0/000").unwrap(), None);
    for path in ["checkpoint", "tile/0/000.p/3", "tile/0/000.p/7", "tile/0/000", "tile/0/001.p/2"] {
        tiles.put(path, b"old").unwrap();
        tiles.put(path, path.as_bytes()).unwrap();
        assert_eq!(tiles.get(path).unwrap().unwrap(), path.as_bytes());
        assert_eq!(tiles.size(path).unwrap(), Some(path.len() as u64));
    }
    tiles.remove_partials("tile/0/000").unwrap();
    tiles.remove_partials("tile/0/000").unwrap();
    let left = ["tile/0/000.p/3", "tile/0/000", "tile/0/001.p/2"];
    let left = left.map(|path| tiles.get(path).unwrap().is_some());
    assert_eq!(left, [false, true, true]);
}

#[test]
fn a_log_is_published_there_and_found_again() {
    let objects = Arc::new(InMemory::new());
    let tiles = || {
        let below = PrefixStore::new(Arc::clone(&objects), "provider/log");
        Arc::new(ObjectTiles::new(Arc::new(below)).unwrap())
    };
    let disk = MemoryDisk::default();
    let open_here = || EmbeddedStore::open_on(Box::new(disk.clone()), tiles(), config()).unwrap().0;
    let store = open_here();
    let channel = open(&store, 1, Mode::Session);
    for number in 0..300 {
        pay(&store, &channel, number, 1).unwrap();
    }
    let published = store.publish_checkpoint().wait().unwrap();
    drop(store);
    let store = open_here();
    assert_eq!(store.checkpoint(), Some(published));
    for path in ["checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/entries/000.p/9"] {
        assert!(store.log_file(path).unwrap().is_some(), "{path}");
    }
}

#[test]
fn an_address_that_is_no_bucket_is_refused() {
    for wrong in ["s3://", "s3:///log", "https://bucket/log", "bucket"] {
        let error = ObjectTiles::s3(wrong, []).unwrap_err().to_string();
        assert!(error.contains("s3://bucket/prefix"), "{error}");
    }
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let settings = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let settings = settings.map(|name| (name.to_owned(), "hidden".to_owned()));
    let tiles = ObjectTiles::s3("s3://bucket/log", settings).unwrap();
    assert!(!format!("{tiles:?}").contains("hidden"));
}
