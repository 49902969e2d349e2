//! A gateway's work over a whole store on one faulty disk, and what must be there afterwards.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use alloy_primitives::B256;
use ed25519_dalek::SigningKey;
use vouch_core::channel::{ChannelConfig, Freeze, Mode};
use vouch_core::log::note::{self, Note, NoteSignature};
use vouch_core::log::tile::Tile;
use vouch_core::log::{Checkpoint, merkle};
use vouch_core::planted::{Bug, plant};
use vouch_core::receipt::Receipt;
use vouch_journal::testing::{Fault, MemoryDisk};
use vouch_store::{Acknowledged, Claim, EmbeddedStore, Error, FileTiles, Published, Store};

use super::*;

/// Entries that are in the log before the work begins: it crosses the boundary of a tile.
pub const BEFORE: u64 = 250;
const CALLS: u64 = 8;
/// Entries of all calls: 0, 1, 2, 3 uses of data in turn.
const ENTRIES: u64 = CALLS + 12;
const WITNESS: &str = "witness.test";

/// What the world was told. Everything in it must survive.
#[derive(Default)]
pub struct Told {
    /// Acknowledged calls, by number.
    pub calls: Vec<(u64, Acknowledged)>,
    pub published: Option<Published>,
    cosigned: Option<NoteSignature>,
    /// The channel that pays for nothing: what was noted of it, in the order of [`note_facts`].
    facts: usize,
}

pub fn open_store(disk: &MemoryDisk) -> vouch_store::Result<EmbeddedStore> {
    let tiles = Arc::new(FileTiles::on(Box::new(disk.within("log"))));
    let journal = Box::new(disk.within("journal"));
    EmbeddedStore::open_on(journal, tiles, config()).map(|(store, _)| store)
}

/// A disk with a log of [`BEFORE`] entries, and a checkpoint of them.
pub fn begun() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let store = open_store(&disk).unwrap();
    let alert = Receipt { channel: B256::ZERO, charge: 0, ..draft(&channel(1), 1, 0) };
    let logged: Vec<_> =
        (0..BEFORE).map(|time| store.append(Receipt { time, ..alert.clone() })).collect();
    logged.into_iter().for_each(|logged| drop(logged.wait().unwrap()));
    store.publish_checkpoint().wait().unwrap();
    drop(store);
    disk.power_loss(|length| length)
}

/// Works from a copy of `begun` until `fault` comes at the operation: the disk, and what was told.
pub fn stopped(begun: &MemoryDisk, operation: u64, fault: Fault) -> (MemoryDisk, Told) {
    let disk = begun.killed();
    disk.fail_at(operation, fault);
    let told = work(&disk);
    (disk, told)
}

/// Works until the disk fails, with one restart.
pub fn work(disk: &MemoryDisk) -> Told {
    let mut told = Told::default();
    resume(disk, &mut told);
    told
}

/// Goes on with the work where the world was told last.
pub fn resume(disk: &MemoryDisk, told: &mut Told) {
    for to in [CALLS / 2, CALLS] {
        let from = told.calls.len() as u64;
        let Ok(store) = open_store(disk) else { return };
        if work_on(&store, from..to, told).is_none() {
            return;
        }
    }
}

fn work_on(store: &EmbeddedStore, calls: std::ops::Range<u64>, told: &mut Told) -> Option<()> {
    let configs = [channel(1), channel(2)];
    for config in configs {
        going(store.open_channel(config, Mode::Session, deposit(1_000)).wait())?;
    }
    for number in calls {
        let charge = 5 + u128::from(number);
        let config = &configs[number as usize % 2];
        let paid = going(pay_for(store, config, number, charge, &uses(number)))?;
        told.calls.push((number, paid));
        note_facts(store, told)?;
        if number % 3 == 2 {
            publish(store, told)?;
        }
    }
    Some(())
}

/// The answer, or `None` if the disk has failed, and only that.
fn going<T>(answer: vouch_store::Result<T>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(Error::Stopped { .. } | Error::Tiles { .. } | Error::Journal(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// One more fact about a channel of its own, in the order in which they can be.
fn note_facts(store: &EmbeddedStore, told: &mut Told) -> Option<()> {
    let config = channel(3);
    let id = config.id(&DOMAIN);
    match told.facts {
        0 => drop(going(store.open_channel(config, Mode::Stock, deposit(100)).wait())?),
        // It may be there already, untold.
        1 if store.channel(&id).is_some_and(|view| view.accepted == 77) => {}
        1 => drop(going(store.accept(voucher(&config, 77)).wait())?),
        2 => drop(going(store.observe(id, deposit(90)).wait())?),
        3 => going(store.publish(id, 77).wait())?,
        4 => going(store.record_claim(claim()).wait())?,
        5 => drop(going(store.close_channel(id).wait())?),
        _ => return Some(()),
    }
    told.facts += 1;
    Some(())
}

fn claim() -> Claim {
    let channel = channel(3).id(&DOMAIN);
    Claim { channel, total: 77, transaction: B256::repeat_byte(9) }
}

fn publish(store: &EmbeddedStore, told: &mut Told) -> Option<()> {
    let published = going(store.publish_checkpoint().wait())?;
    let text = published.checkpoint.text();
    (told.published, told.cosigned) = (Some(published), None);
    let line = note::cosign(WITNESS, &SigningKey::from_bytes(&[5; 32]), &text, 100);
    going(store.add_cosignature(text, line.clone()).wait())?;
    told.cosigned = Some(line);
    Some(())
}

/// What the answer to a call used: nothing, one owner's data, or two owners' and one of them twice.
fn uses(number: u64) -> Vec<(u8, u128)> {
    let all = [(0xa1, 1), (0xa2, 2), (0xa1, u128::from(number) % 3)];
    all[..(number % 4).min(3) as usize].to_vec()
}

fn entries(calls: u64) -> u64 {
    BEFORE + (0..calls).map(|number| 1 + uses(number).len() as u64).sum::<u64>()
}

/// Opens the disk, checks that all that was told is there and nothing by halves, and goes on.
pub fn check_disk(disk: &MemoryDisk, told: &Told) {
    let store = open_store(disk).unwrap();
    check_all(&store, told);
    go_on(&store, told);
}

fn check_all(store: &EmbeddedStore, told: &Told) {
    let known = told.calls.len() as u64;
    // The call that was under way may be there, with all its uses of data, or not at all.
    let size = store.size();
    assert!(
        size == entries(known) || size == entries(known + 1),
        "{size} entries after {known} calls"
    );
    check_streams(store);
    check_public(store, told);
    check_facts(store, told);
    check_calls(store, &told.calls);
}

/// Calls and their answers are as they were told, and every channel's receipts add up.
pub fn check_calls(store: &EmbeddedStore, calls: &[(u64, Acknowledged)]) {
    for (number, acknowledged) in calls {
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

/// The public files are those of a log that continues what was released.
fn check_public(store: &EmbeddedStore, told: &Told) {
    let published = store.checkpoint().unwrap();
    let size = published.checkpoint.size;
    assert_eq!(Some(published.note.as_bytes()), store.log_file("checkpoint").unwrap().as_deref());
    let note = Note::parse(&published.note).unwrap();
    Checkpoint::verify(&note, &log_verifier(), provider()).unwrap();
    let tiles: Vec<_> = Tile::of_size(size)
        .map(|tile| (tile, store.log_file(&tile.path()).unwrap().expect("the tile is served")))
        .collect();
    let of = |level| tiles.iter().filter(move |(tile, _)| tile.level == level);
    let leaves: Vec<B256> = of(None)
        .flat_map(|(_, bytes)| bytes.chunks(35).map(|entry| merkle::leaf_hash(&entry[2..])))
        .collect();
    assert_eq!(leaves.len() as u64, size);
    assert_eq!(merkle::root(&leaves), published.checkpoint.root);
    let hashes: Vec<u8> = of(Some(0)).flat_map(|(_, bytes)| bytes.clone()).collect();
    assert_eq!(hashes, leaves.concat());
    let Some(seen) = &told.published else { return };
    assert!(size >= seen.checkpoint.size);
    let seen_leaves = &leaves[..seen.checkpoint.size as usize];
    assert_eq!(merkle::root(seen_leaves), seen.checkpoint.root, "the log was rewritten");
    if let Some(line) = told.cosigned.as_ref().filter(|_| size == seen.checkpoint.size) {
        assert!(note.signatures.contains(line), "a cosignature was lost");
    }
}

fn check_facts(store: &EmbeddedStore, told: &Told) {
    let view = store.channel(&channel(3).id(&DOMAIN));
    let fact = |at: usize| told.facts > at;
    assert!(!fact(0) || view.is_some());
    let Some(view) = view else { return };
    assert!(!fact(1) || view.accepted == 77);
    assert!(!fact(2) || view.on_chain.balance == 90);
    assert!(!fact(3) || view.published == [77]);
    assert!(!fact(4) || view.claim == Some(claim()));
    assert!(!fact(5) || view.frozen == Some(Freeze::Closing));
}

/// Makes all calls again: those that were told come back unchanged and uncharged, and the log ends
/// with each exactly once.
fn go_on(store: &EmbeddedStore, told: &Told) {
    let configs: [ChannelConfig; 2] = [open_again(store, 1), open_again(store, 2)];
    for number in 0..CALLS {
        let (config, charge) = (&configs[number as usize % 2], 5 + u128::from(number));
        let again = pay_for(store, config, number, charge, &uses(number)).unwrap();
        if let Some((_, first)) = told.calls.iter().find(|(told, _)| *told == number) {
            assert_eq!(again, *first);
        }
    }
    assert_eq!(store.size(), BEFORE + ENTRIES, "each call and each use is in the log once");
    assert_eq!(check_streams(store), [(8, 6 + 1), (4, 4 * 2)]);
    let charged: u128 = store.channels().iter().map(|view| view.charged).sum();
    assert_eq!(charged, (5..13).sum::<u128>());
    assert_eq!(store.publish_checkpoint().wait().unwrap().checkpoint.size, BEFORE + ENTRIES);
    check_public(store, told);
}

pub fn open_again(store: &EmbeddedStore, payer: u8) -> ChannelConfig {
    let config = channel(payer);
    store.open_channel(config, Mode::Session, deposit(1_000)).wait().unwrap();
    config
}

/// SplitMix64: moments and what survives, repeatable by its seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Cuts the power: each unsynced sector is dropped, kept or torn, each name kept or lost.
    pub fn power_loss(&mut self, disk: &MemoryDisk) -> MemoryDisk {
        disk.power_loss(|length| match self.below(3) {
            0 => 0,
            1 => length,
            _ => self.below(length as u64 + 1) as usize,
        })
    }
}

/// How many times, from the environment.
pub fn times(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// The power goes after each operation, and nothing that was not synced survives. The store that
/// worked has the bug; the one that opens the disk afterwards is sound.
pub fn power_cut_at_every_operation(begun: &MemoryDisk, bug: Option<Bug>) {
    let whole = begun.killed();
    work(&whole);
    for operation in 0..whole.operations() {
        plant(bug);
        let (disk, told) = stopped(begun, operation, Fault::PowerOff);
        plant(None);
        check_disk(&disk.power_loss(|_| 0), &told);
    }
}
