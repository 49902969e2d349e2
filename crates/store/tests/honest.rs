//! A provider that keeps its word, on a machine that crashes and is put back to old copies: nobody
//! who holds every receipt, promise and checkpoint that it ever gave can accuse it.
//!
//! `VOUCH_TEST_RECEIPTS` says how long the history is (10,000). The seed is fixed.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{Address, B256};
use common::*;
use vouch_core::channel::{ChannelConfig, Mode};
use vouch_core::log::merkle;
use vouch_core::log::note::Note;
use vouch_core::money::{Prices, Usage};
use vouch_core::receipt::{Receipt, entry_of};
use vouch_core::terms::{LogTerms, Terms};
use vouch_evidence::fault::{self, Promised};
use vouch_journal::testing::MemoryDisk;
use vouch_store::{Acknowledged, EmbeddedStore, Error, FileTiles, Published, Store};

const CHANNELS: u8 = 8;
/// Receipts between a start of the machine and its end, at least; each start reads all there are.
const ERA: usize = 2_500;
/// Starts of a long history.
const ERAS: usize = 40;
/// Receipts that are asked for at once.
const AT_ONCE: usize = 100;

fn terms() -> Terms {
    Terms {
        version: 1,
        domain: DOMAIN,
        provider: provider(),
        receiver: None,
        asset: Address::repeat_byte(0x70),
        model: "m".into(),
        identity: B256::repeat_byte(5),
        prices: Prices { input: 300_000, cached: 30_000, output: 1_200_000, request: 5 },
        quantum_tokens: 64,
        log: LogTerms { origin: ORIGIN.into(), key: log_verifier().to_string(), merge_delay_s: 60 },
        sources: None,
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// All that was ever said, by those to whom it was said.
#[derive(Default)]
struct Accuser {
    held: Vec<Acknowledged>,
    checkpoints: Vec<Published>,
    by_index: HashMap<u64, B256>,
    by_place: HashMap<(B256, u64), B256>,
    by_size: BTreeMap<u64, Note>,
}

impl Accuser {
    /// Compares a receipt with all that were given before.
    fn hear(&mut self, told: Acknowledged, terms: &Terms) {
        let digest = told.receipt.digest();
        let place = (told.receipt.channel, told.receipt.sequence);
        let before =
            [self.by_index.insert(told.promise.index, digest), self.by_place.insert(place, digest)];
        assert!(before.into_iter().flatten().all(|known| known == digest), "{:?}", told.receipt);
        assert!(fault::wrong_charge(&promised(&told, terms)).is_err());
        self.held.push(told);
    }

    fn see(&mut self, store: &dyn Store, published: Published) {
        let note = Note::parse(&published.note).unwrap();
        let size = published.checkpoint.size;
        if let Some(known) = self.by_size.insert(size, note.clone()) {
            assert!(fault::split_log(provider(), &log_verifier(), &known, &note).is_err());
        }
        if let Some(last) = self.checkpoints.last() {
            let path = store.consistency(last.checkpoint.size, size).unwrap();
            fault::check_consistency(&last.checkpoint, &published.checkpoint, &path).unwrap();
        }
        self.checkpoints.push(published);
    }

    /// At the end: each promise is kept under the newest checkpoint, and what can be built from a
    /// receipt and its neighbours is no proof of anything.
    fn accuse(&self, store: &dyn Store, random: &mut Random, terms: &Terms) {
        let newest = self.checkpoints.last().unwrap();
        let (size, note) = (newest.checkpoint.size, Note::parse(&newest.note).unwrap());
        for told in &self.held {
            let logged = store.receipt(told.promise.index).unwrap().unwrap();
            assert_eq!(logged, *told, "what was given is what is kept");
        }
        for _ in 0..self.held.len() / 20 {
            let mut pick = || &self.held[random.below(self.held.len() as u64) as usize];
            let (one, other) = (promised(pick(), terms), promised(pick(), terms));
            assert!(fault::double_receipt(&one, &other).is_err());
            let leaf = one.receipt.leaf_hash();
            let path = store.inclusion(one.promise.index, size).unwrap();
            let root = newest.checkpoint.root;
            merkle::verify_inclusion(leaf, one.promise.index, size, &path, root).unwrap();
            assert!(fault::broken_promise(&one, &note, leaf, path.clone()).is_err());
            let another = merkle::leaf_hash(&entry_of(&other.receipt.digest()));
            assert!(another == leaf || fault::broken_promise(&one, &note, another, path).is_err());
        }
    }
}

fn promised(told: &Acknowledged, terms: &Terms) -> Promised {
    Promised { receipt: told.receipt.clone(), promise: told.promise.clone(), terms: terms.clone() }
}

struct Provider {
    disk: MemoryDisk,
    tiles: tempfile::TempDir,
    clock: Arc<AtomicU64>,
    index_every: u64,
}

impl Provider {
    fn start(&self, disk: &MemoryDisk) -> EmbeddedStore {
        let tiles = Arc::new(FileTiles::open(self.tiles.path()).unwrap());
        let mut config = config_at(&self.clock);
        config.index_every = self.index_every;
        EmbeddedStore::open_on(Box::new(disk.clone()), tiles, config).unwrap().0
    }
}

/// Sells some answers at once; gives the receipts.
fn sell(
    store: &EmbeddedStore,
    channels: &[ChannelConfig],
    first: u64,
    count: usize,
    random: &mut Random,
    now_ms: u64,
) -> Vec<Acknowledged> {
    let terms = terms();
    let hash = terms.hash().unwrap();
    let mut pending = Vec::new();
    for number in (first..).take(count) {
        let channel = &channels[random.below(channels.len() as u64) as usize];
        let usage = Usage {
            input: random.below(3_000),
            cached: random.below(2) * random.below(500),
            output: random.below(800),
        };
        let charge = terms.prices.charge(&usage).unwrap();
        let view = store.channel(&channel.id(&DOMAIN)).unwrap();
        let signed = view.charged + view.reserved + charge + u128::from(random.below(50));
        let call = call(channel, number, charge, Some(signed.max(view.accepted)));
        let hold = new_call(store, &call);
        let draft = Receipt { usage, terms: hash, time: now_ms, ..draft(channel, number, charge) };
        // Some payers leave before they are charged.
        if random.below(40) == 0 {
            drop(hold);
            continue;
        }
        pending.push(store.commit(hold, draft, vec![0; random.below(60) as usize]));
    }
    pending.into_iter().map(|told| told.wait().unwrap()).collect()
}

#[test]
fn an_honest_history_is_never_a_fault() {
    let receipts = std::env::var("VOUCH_TEST_RECEIPTS").map_or(10_000, |n| n.parse().unwrap());
    let (mut random, terms) = (Random(4), terms());
    let mut provider = Provider {
        disk: MemoryDisk::default(),
        tiles: tempfile::tempdir().unwrap(),
        clock: clock(),
        // The disk in memory keeps what was removed: a long history takes longer steps.
        index_every: (receipts as u64 / 100).clamp(8, 16_384),
    };
    let mut accuser = Accuser::default();
    let mut number = 0;
    let (mut crashes, mut refused) = (0, 0);
    while accuser.held.len() < receipts {
        let store = provider.start(&provider.disk);
        let channels: Vec<_> = (1..=CHANNELS).map(channel).collect();
        for config in &channels {
            let rich = deposit(u128::from(u64::MAX));
            store.open_channel(*config, Mode::Session, rich).wait().unwrap();
        }
        if let Some(published) = store.checkpoint() {
            accuser.see(&store, published);
        }
        let until = (accuser.held.len() + ERA.max(receipts / ERAS)).min(receipts);
        let older = provider.disk.power_loss(|whole| whole);
        while accuser.held.len() < until {
            // The clock may be set back a little, as clocks are.
            provider.clock.fetch_add(random.below(900), Ordering::Relaxed);
            let now_ms = provider.clock.load(Ordering::Relaxed) - random.below(100);
            for told in sell(&store, &channels, number, AT_ONCE, &mut random, now_ms) {
                accuser.hear(told, &terms);
            }
            number += AT_ONCE as u64;
            if random.below(5) == 0 {
                let published = store.publish_checkpoint().wait().unwrap();
                accuser.see(&store, published);
            }
        }
        let published = store.publish_checkpoint().wait().unwrap();
        let anchored = published.checkpoint.clone();
        accuser.see(&store, published);
        // Some of what nobody was told is on the disk, and is cut or kept as the power decides.
        let pending = sell(&store, &channels, number, 3, &mut random, 0);
        number += 3;
        drop(store);
        for told in pending {
            accuser.hear(told, &terms);
        }
        let mut survives = |whole: usize| random.below(whole as u64 + 1) as usize;
        provider.disk = provider.disk.power_loss(&mut survives);
        crashes += 1;
        // An old copy of everything is put back. Whoever starts it is told by the anchor, before
        // anything is sold; its own files may tell before that.
        let tiles = std::mem::replace(&mut provider.tiles, tempfile::tempdir().unwrap());
        let copy = provider.start(&older);
        let behind = copy.check_extends(anchored.size, anchored.root).unwrap_err();
        assert!(matches!(behind, Error::Behind { .. }), "{behind}");
        provider.tiles = tiles;
        refused += 1;
    }
    let store = provider.start(&provider.disk);
    let published = store.publish_checkpoint().wait().unwrap();
    accuser.see(&store, published);
    accuser.accuse(&store, &mut random, &terms);
    assert!(crashes > 0 && refused == crashes);
    assert!(store.size() >= receipts as u64);
}
