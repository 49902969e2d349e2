//! The disk fails at every operation of a run: afterwards nothing is paid twice, nothing lower is
//! signed, and no receipt is lost, nor its bundle, whose file is not synced.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stub;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy_primitives::B256;
use serde_json::json;
use stub::{MODEL, Stub, install_tls, policy};
use vouch_buyer::{Buyer, Error, Event, Status, system_clock};
use vouch_journal::testing::{Fault, MemoryDisk};
use vouch_wallet::Wallet;
use vouch_wire::openai::Endpoint;

/// What a fault leaves of each unsynced sector.
type Survives = fn(usize) -> usize;

fn open(disk: &MemoryDisk, dir: &Path, stub: &Stub) -> Result<Buyer, Error> {
    let wallet = Wallet::open_or_create(dir, "").unwrap();
    let urls = std::slice::from_ref(&stub.url);
    let disk = Box::new(disk.clone());
    Buyer::open_on(disk, dir, wallet, policy(100_000, 2_000), system_clock(), urls)
}

async fn call(buyer: &Buyer, stream: bool) -> Result<(), Error> {
    let body = json!({
        "model": MODEL, "messages": [{"role": "user", "content": "two times three?"}],
        "stream": stream, "max_tokens": 30,
    });
    let mut running = buyer.start(Endpoint::Chat, &body.to_string())?;
    loop {
        match running.events.recv().await.unwrap() {
            Event::Chunk(_) => {}
            Event::Done(_) => return Ok(()),
            Event::Failed(error) => return Err(error),
            other => panic!("{other:?}"),
        }
    }
}

/// Calls until one fails. A disk that failed fails all that come after: nothing is signed on the
/// strength of what may not be there.
async fn calls(buyer: &Buyer, stub: &Stub) {
    for stream in [true, false, true] {
        if call(buyer, stream).await.is_err() {
            let sent = sendings(stub);
            let error = call(buyer, stream).await.unwrap_err();
            assert_eq!(error.code(), "internal", "{error}");
            assert_eq!(sendings(stub), sent, "nothing is sent");
            return;
        }
    }
}

fn sendings(stub: &Stub) -> u32 {
    stub.books().sent.values().sum()
}

/// One run whose disk fails at operation `at`, and the next after a restart. False if the run ended
/// before.
async fn fail(at: u64, fault: Fault, keep: Survives) -> bool {
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let disk = MemoryDisk::default();
    disk.fail_at(at, fault);
    if let Ok(buyer) = open(&disk, dir.path(), &stub) {
        calls(&buyer, &stub).await;
    }
    let reached = disk.operations() > at;
    let disk = disk.power_loss(keep);
    tear_bundles(dir.path(), at);
    let buyer = open(&disk, dir.path(), &stub).expect("a journal that lost power opens again");
    let sent: BTreeSet<_> = stub.books().sent.keys().copied().collect();
    buyer.resolve().await.unwrap();
    let resolved: BTreeSet<_> = stub.books().sent.keys().copied().collect();
    if !sent.is_empty() {
        assert!(
            resolved.is_superset(&sent) && resolved.len() <= sent.len() + 1,
            "{at}: same nonce"
        );
    }
    call(&buyer, true).await.unwrap_or_else(|error| panic!("operation {at}: {error}"));
    check(at, &buyer.status(), &stub);
    for receipt in buyer.receipts(10) {
        assert_eq!(buyer.bundle(&receipt.digest).unwrap().receipt.digest(), receipt.digest);
    }
    reached
}

/// What a crash may leave of each bundle's file, which is not synced: less of it, or zeros.
fn tear_bundles(dir: &Path, how: u64) {
    let Ok(bundles) = std::fs::read_dir(dir.join("bundles")) else { return };
    for bundle in bundles {
        tear(&bundle.unwrap().path(), how);
    }
}

fn tear(path: &Path, how: u64) {
    let whole = std::fs::read(path).unwrap();
    let (begins, rest) = whole.split_at(whole.len() / 2);
    match how % 4 {
        0 => std::fs::remove_file(path).unwrap(),
        1 => std::fs::write(path, []).unwrap(),
        2 => std::fs::write(path, begins).unwrap(),
        _ => std::fs::write(path, [begins, &vec![0; rest.len()]].concat()).unwrap(),
    }
}

fn check(at: u64, status: &Status, stub: &Stub) {
    let books = stub.books();
    assert_eq!(books.salts.len(), 1, "operation {at}: one deposit");
    assert_eq!(books.highest.len(), 1, "operation {at}: one channel was paid into");
    assert!(books.vouchers.is_sorted(), "operation {at}: a lower voucher");
    let [channel] = &status.channels.iter().filter(|c| c.signed != "0").collect::<Vec<_>>()[..]
    else {
        panic!("operation {at}: one channel is signed for");
    };
    let highest: u128 = books.highest.values().sum();
    assert!(channel.signed.parse::<u128>().unwrap() >= highest, "operation {at}");
    let charged: BTreeSet<_> = books.charges.iter().map(|(call, _)| *call).collect();
    assert_eq!(charged.len(), books.charges.len(), "operation {at}: a call was charged twice");
    let sent: BTreeSet<_> = books.sent.keys().copied().collect();
    assert_eq!(charged, sent, "operation {at}: a call that was sent was forgotten");
    let sum: u128 = books.charges.iter().map(|(_, charge)| charge).sum();
    assert_eq!(channel.charged, sum.to_string(), "operation {at}: a receipt was lost");
    assert_eq!((status.in_flight, status.receipts), (0, charged.len()), "operation {at}");
}

async fn fail_everywhere(fault: Fault, keep: Survives) {
    install_tls();
    let mut at = 0;
    while fail(at, fault, keep).await {
        at += 1;
    }
    assert!(at > 20, "only {at} operations were tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn power_loss_that_drops_what_was_not_synced() {
    fail_everywhere(Fault::PowerOff, |_| 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn power_loss_that_keeps_what_was_not_synced() {
    fail_everywhere(Fault::PowerOff, |all| all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn power_loss_that_tears_what_was_not_synced() {
    fail_everywhere(Fault::PowerOff, |all| all / 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_and_is_forgotten() {
    fail_everywhere(Fault::SyncLost, |_| 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_a_crash_took_is_written_again_and_one_that_grew_is_left() {
    install_tls();
    let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
    let disk = MemoryDisk::default();
    let buyer = open(&disk, dir.path(), &stub).unwrap();
    for _ in 0..6 {
        call(&buyer, false).await.unwrap();
    }
    let digests: Vec<_> = buyer.receipts(10).iter().map(|receipt| receipt.digest).collect();
    // Whole with its place in the log, while the journal does not yet say so; and where it does.
    let patience = Duration::from_secs(2);
    let (first, _) = buyer.complete(&digests[0], patience).await.unwrap();
    let mut disks = vec![disk.power_loss(|_| 0)];
    let (second, _) = buyer.complete(&digests[1], patience).await.unwrap();
    assert!(first.log.is_some() && second.log.is_some());
    disks.push(disk.power_loss(|_| 0));
    drop(buyer);
    for disk in disks {
        let kept: Vec<_> = digests.iter().map(|digest| read(dir.path(), digest)).collect();
        for (how, digest) in (0..).zip(&digests[2..]) {
            tear(&bundle_path(dir.path(), digest), how);
        }
        let buyer = open(&disk, dir.path(), &stub).unwrap();
        for (digest, kept) in digests.iter().zip(kept) {
            assert_eq!(read(dir.path(), digest), kept, "byte by byte");
            assert_eq!(buyer.bundle(digest).unwrap().receipt.digest(), *digest);
        }
        assert_eq!(buyer.bundle(&digests[0]).unwrap(), first);
        assert_eq!(buyer.bundle(&digests[1]).unwrap(), second);
    }
}

fn bundle_path(dir: &Path, digest: &B256) -> PathBuf {
    dir.join("bundles").join(format!("{digest}.json"))
}

fn read(dir: &Path, digest: &B256) -> String {
    std::fs::read_to_string(bundle_path(dir, digest)).unwrap()
}
