//! What memory has forgotten is found in the index, as long as it may be asked for, and damage to
//! the index is never taken for "not there".

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::*;
use vouch_core::channel::{ChannelConfig, Mode};
use vouch_core::log::merkle;
use vouch_core::receipt::entry_of;
use vouch_journal::Disk;
use vouch_journal::testing::MemoryDisk;
use vouch_store::{Acknowledged, Begun, EmbeddedStore, FileTiles, Opened, Store};

const CALLS: u64 = 700;

struct Place {
    disk: MemoryDisk,
    tiles: MemoryDisk,
    clock: Arc<AtomicU64>,
}

impl Place {
    fn new() -> Self {
        Self { disk: MemoryDisk::default(), tiles: MemoryDisk::default(), clock: clock() }
    }

    fn open(&self) -> vouch_store::Result<(EmbeddedStore, Opened)> {
        let tiles = Arc::new(FileTiles::on(Box::new(self.tiles.clone())));
        EmbeddedStore::open_on(Box::new(self.disk.clone()), tiles, config_at(&self.clock))
    }

    /// With so many answered calls, all of them indexed, and the store closed.
    fn filled() -> (Self, ChannelConfig, Vec<Acknowledged>) {
        let place = Self::new();
        let (store, _) = place.open().unwrap();
        let channel = open(&store, 1, Mode::Session);
        let told = pay(&store, &channel, 0..CALLS);
        store.publish_checkpoint().wait().unwrap();
        drop(store);
        (place, channel, told)
    }
}

fn answer(number: u64) -> Vec<u8> {
    format!("answer {number}").into_bytes()
}

fn pay(
    store: &EmbeddedStore,
    channel: &ChannelConfig,
    numbers: std::ops::Range<u64>,
) -> Vec<Acknowledged> {
    let commit = |number| {
        let signed = store.channel(&channel.id(&DOMAIN)).unwrap();
        let signed = signed.charged + signed.reserved + 1;
        let hold = new_call(store, &call(channel, number, 1, Some(signed)));
        store.commit(hold, draft(channel, number, 1), answer(number))
    };
    let paid: Vec<_> = numbers.map(commit).collect();
    paid.into_iter().map(|paid| paid.wait().unwrap()).collect()
}

#[test]
fn whatever_was_told_is_found_again() {
    let (place, channel, told) = Place::filled();
    let (store, _) = place.open().unwrap();
    let size = store.size();
    let root = store.checkpoint().unwrap().checkpoint.root;
    for (number, told) in (0..).zip(&told) {
        let index = told.promise.index;
        assert_eq!(store.receipt(index).unwrap().as_ref(), Some(told));
        let digest = told.receipt.digest();
        assert_eq!(store.receipt_by_digest(&digest).unwrap().as_ref(), Some(told));
        let id = channel.id(&DOMAIN);
        let sequence = told.receipt.sequence;
        assert_eq!(store.receipt_by_sequence(&id, sequence).unwrap().as_ref(), Some(told));
        let stored = store.answer(&id, &request(number)).unwrap().unwrap();
        assert_eq!((&stored.acknowledged, stored.answer), (told, answer(number)));
        let path = store.inclusion(index, size).unwrap();
        let leaf = merkle::leaf_hash(&entry_of(&digest));
        merkle::verify_inclusion(leaf, index, size, &path, root).unwrap();
    }
    let all = store.receipts_of(&channel.id(&DOMAIN), 5, 10).unwrap();
    let sequences: Vec<_> = all.iter().map(|one| one.acknowledged.receipt.sequence).collect();
    assert_eq!(sequences, (6..16).collect::<Vec<_>>());
    assert_eq!(store.receipt_by_digest(&request(1)).unwrap(), None);
    assert_eq!(store.receipt_by_sequence(&channel.id(&DOMAIN), CALLS + 1).unwrap(), None);
}

#[test]
fn a_repeated_call_is_charged_once_until_its_answer_is_forgotten() {
    let (place, channel, _) = Place::filled();
    let (store, _) = place.open().unwrap();
    let charged = || store.channel(&channel.id(&DOMAIN)).unwrap().charged;
    for number in 0..CALLS {
        let again = store.reserve(&call(&channel, number, 1, None)).unwrap();
        assert!(matches!(again, Begun::Repeat(_)), "{number}");
    }
    assert_eq!(charged(), u128::from(CALLS));
    place.clock.fetch_add(24 * 60 * 60 * 1000 + 1, Ordering::Relaxed);
    pay(&store, &channel, 0..20);
    store.publish_checkpoint().wait().unwrap();
    assert_eq!(charged(), u128::from(CALLS) + 20);
    for number in 0..20 {
        let again = store.reserve(&call(&channel, number, 1, None)).unwrap();
        assert!(matches!(again, Begun::Repeat(_)), "{number} was answered anew");
    }
    let id = channel.id(&DOMAIN);
    assert_eq!(store.answer(&id, &request(20)).unwrap(), None, "it is too old");
    let oldest = store.receipt_by_sequence(&id, 1).unwrap().unwrap();
    assert_eq!(oldest.receipt.request, request(0), "receipts stay");
}

#[test]
fn a_start_reads_what_is_not_indexed() {
    let (place, channel, _) = Place::filled();
    let (store, opened) = place.open().unwrap();
    assert_eq!(opened.size, CALLS);
    assert!(opened.journal.records <= 2, "{opened:?}");
    // Few enough that the next start has to read them.
    pay(&store, &channel, CALLS..CALLS + 5);
    drop(store);
    let (store, opened) = place.open().unwrap();
    assert_eq!((opened.size, store.size()), (CALLS + 5, CALLS + 5));
    assert!((2..10).contains(&opened.journal.records), "{opened:?}");
    let view = store.channel(&channel.id(&DOMAIN)).unwrap();
    assert_eq!((view.charged, view.sequence), (u128::from(CALLS) + 5, CALLS + 5));
}

#[test]
fn an_index_that_is_gone_or_of_another_journal_is_made_again() {
    let (place, channel, told) = Place::filled();
    let (other, ..) = Place::filled();
    let names = || place.disk.list("index").unwrap();
    for snapshot in [None, Some(&other)] {
        assert!(names().contains(&"snapshot".to_owned()));
        for name in names() {
            place.disk.remove(&format!("index/{name}")).unwrap();
        }
        if let Some(other) = snapshot {
            for name in other.disk.list("index").unwrap() {
                let name = format!("index/{name}");
                place.disk.replace(&name, other.disk.bytes(&name).unwrap());
            }
        }
        let (store, _) = place.open().unwrap();
        let first = told[0].receipt.digest();
        assert_eq!(store.receipt_by_digest(&first).unwrap().as_ref(), Some(&told[0]));
        let again = store.reserve(&call(&channel, 3, 1, None)).unwrap();
        assert!(matches!(again, Begun::Repeat(_)));
    }
}

#[test]
fn no_changed_byte_of_the_index_lets_a_call_be_charged_twice() {
    let (place, channel, _) = Place::filled();
    let mut tried = 0;
    for name in place.disk.list("index").unwrap() {
        let name = format!("index/{name}");
        let bytes = place.disk.bytes(&name).unwrap();
        // A third of what is small; of the rest every 251st byte, which is in each field of a row.
        let every = if bytes.len() < 4096 { 3 } else { 251 };
        for at in (0..bytes.len()).step_by(every) {
            let changed = Place {
                disk: place.disk.killed(),
                tiles: place.tiles.killed(),
                clock: Arc::clone(&place.clock),
            };
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            changed.disk.replace(&name, flipped);
            let (store, _) = changed.open().unwrap();
            for number in [0, 255, 256, 400, CALLS - 1] {
                match store.reserve(&call(&channel, number, 1, None)) {
                    Ok(Begun::Repeat(stored)) => assert_eq!(stored.answer, answer(number)),
                    Ok(Begun::New(_)) => panic!("{name}, byte {at}: call {number} is taken as new"),
                    Err(error) => assert_eq!(error.code(), "storage", "{error}"),
                }
            }
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried}");
}

/// Payers repeat calls while these move from memory to the index.
#[test]
fn repeats_race_with_the_index() {
    let place = Place::new();
    let (store, _) = place.open().unwrap();
    let channel = open(&store, 1, Mode::Session);
    let (answered, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for offset in [1, 9, 40] {
            let (store, answered, done) = (&store, &answered, &done);
            scope.spawn(move || {
                let mut random = offset;
                while !done.load(Ordering::Relaxed) {
                    let count = answered.load(Ordering::Acquire);
                    random = (random * 0x9e37 + 7) % 0x7fff_ffff;
                    if count > 0 {
                        // The newest, which may be on their way, and any other.
                        let number = if random % 2 == 0 { random % count } else { count - 1 };
                        let again = store.reserve(&call(&channel, number, 1, None)).unwrap();
                        assert!(matches!(again, Begun::Repeat(_)), "{number}");
                    }
                }
            });
        }
        for number in 0..1_500 {
            pay(&store, &channel, number..number + 1);
            answered.store(number + 1, Ordering::Release);
            if number % 10 == 0 {
                store.publish_checkpoint().wait().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.channel(&channel.id(&DOMAIN)).unwrap().charged, 1_500);
}
