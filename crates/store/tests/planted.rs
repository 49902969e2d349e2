//! Bugs that are planted, and the checks that must catch them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::workload::{begun, power_cut_at_every_operation};
use common::*;
use vouch_core::channel::Mode;
use vouch_core::log::tile::Tile;
use vouch_core::planted::{Bug, plant};
use vouch_store::{EmbeddedStore, Store};

/// What the check says of the bug; without the bug it must hold.
fn caught(bug: Bug, check: impl Fn(Option<Bug>)) -> String {
    check(None);
    let outcome = catch_unwind(AssertUnwindSafe(|| check(Some(bug))));
    plant(None);
    let said = outcome.expect_err("the bug was not caught");
    said.downcast::<String>().map_or_else(|_| "no text".to_owned(), |text| *text)
}

#[test]
fn a_lost_sync_is_caught_by_a_power_cut() {
    let begun = begun();
    let said = caught(Bug::LostSync, |bug| power_cut_at_every_operation(&begun, bug));
    assert!(said.starts_with("250 entries after 3 calls"), "{said}");
}

#[test]
fn an_off_by_one_at_a_tile_boundary_is_caught_by_a_reader_of_the_log() {
    let said = caught(Bug::TileBoundary, every_tile_is_served_at_every_size);
    assert_eq!(said, "tile/0/000 of 256 entries is not served");
}

/// A checkpoint at every size around the ends of two tiles, and its tiles, with the right entries.
fn every_tile_is_served_at_every_size(bug: Option<Bug>) {
    plant(bug);
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(dir.path(), config()).unwrap();
    let channel = open(&store, 1, Mode::Session);
    store.accept(voucher(&channel, 900_000)).wait().unwrap();
    for size in (250..=260).chain(508..=516) {
        let fill = |number| {
            let hold = new_call(&store, &call(&channel, number, 1, None));
            store.commit(hold, draft(&channel, number, 1), Vec::new())
        };
        let filled: Vec<_> = (store.size()..size).map(fill).collect();
        filled.into_iter().for_each(|filled| drop(filled.wait().unwrap()));
        assert_eq!(store.publish_checkpoint().wait().unwrap().checkpoint.size, size);
        for tile in Tile::of_size(size) {
            let path = tile.path();
            let served = store.log_file(&path).unwrap();
            let served = served.unwrap_or_else(|| panic!("{path} of {size} entries is not served"));
            if tile.level.is_none() {
                let last = tile.index * 256 + u64::from(tile.width) - 1;
                let entry = store.receipt(last).unwrap().unwrap().receipt.entry();
                assert_eq!(served[served.len() - 33..], entry);
            }
        }
    }
}
