//! The disk fails at every operation of a run: afterwards nothing is paid twice, nothing lower is
//! signed, and no receipt is lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stub;

use std::collections::BTreeSet;

use serde_json::json;
use stub::{MODEL, Stub, install_tls, policy};
use vouch_buyer::{Buyer, Error, Event, Status, system_clock};
use vouch_journal::testing::{Fault, MemoryDisk};
use vouch_wallet::Wallet;
use vouch_wire::openai::Endpoint;

/// What a fault leaves of each unsynced sector.
type Survives = fn(usize) -> usize;

fn open(disk: &MemoryDisk, dir: &std::path::Path, stub: &Stub) -> Result<Buyer, Error> {
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
