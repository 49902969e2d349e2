//! Many tasks at once, on one channel and on many.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;

use common::place::Place;
use common::*;
use vouch_core::channel::{ChannelConfig, Mode};
use vouch_store::{Acknowledged, Begun, Error, Store};

const TASKS: u64 = 16;
const CALLS: u64 = 60;

/// Each task makes its calls twice; half of them race another task for the same request.
async fn task(store: Arc<dyn Store>, channel: ChannelConfig, task: u64) -> Vec<Acknowledged> {
    let mut done = Vec::new();
    for round in 0..2 {
        for number in 0..CALLS {
            let number = if number % 2 == 0 { number } else { 1000 * (task + 1) + number };
            let charge = u128::from(number % 7);
            let begun = loop {
                match store.reserve(&call(&channel, number, 10, None)) {
                    Err(Error::InFlight) => tokio::task::yield_now().await,
                    other => break other.unwrap(),
                }
            };
            let acknowledged = match begun {
                Begun::Repeat(stored) => stored.acknowledged,
                Begun::New(hold) => {
                    assert_eq!(round, 0, "the second round only repeats");
                    store.commit(hold, draft(&channel, number, charge), vec![1; 50]).await.unwrap()
                }
            };
            let view = store.channel(&channel.id(&DOMAIN)).unwrap();
            assert!(view.charged + view.reserved <= view.accepted);
            done.push(acknowledged);
        }
    }
    done
}

async fn run(place: &Place, channels: u8) {
    let store = place.open(config()).unwrap();
    let mut configs = Vec::new();
    for payer in 0..channels {
        let config = channel(payer + 1);
        store.open_channel(config, Mode::Session, deposit(1_000_000)).await.unwrap();
        store.accept(voucher(&config, 500_000)).await.unwrap();
        configs.push(config);
    }
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let config = configs[number as usize % configs.len()];
            tokio::spawn(task(Arc::clone(&store), config, number))
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.iter().for_each(check);
    for config in &configs {
        contiguous(&all, config, &*store);
    }
    let before = store.channels();
    let size = store.size();
    drop(store);
    let store = place.open(config()).unwrap();
    assert_eq!((store.channels(), store.size()), (before, size));
    for acknowledged in &all {
        assert_eq!(store.receipt(acknowledged.promise.index).unwrap().as_ref(), Some(acknowledged));
    }
}

/// One receipt a request, sequences 1, 2, 3, ..., totals that add up.
fn contiguous(all: &[Acknowledged], config: &ChannelConfig, store: &dyn Store) {
    let id = config.id(&DOMAIN);
    let mut receipts: Vec<_> = all.iter().map(|a| &a.receipt).filter(|r| r.channel == id).collect();
    receipts.sort_by_key(|receipt| receipt.sequence);
    receipts.dedup();
    let mut total = 0;
    for (sequence, receipt) in (1..).zip(&receipts) {
        total += receipt.charge;
        assert_eq!((receipt.sequence, receipt.cumulative), (sequence, total));
    }
    let requests: std::collections::BTreeSet<_> = receipts.iter().map(|r| r.request).collect();
    assert_eq!(requests.len(), receipts.len(), "no request is charged twice");
    let view = store.channel(&id).unwrap();
    assert_eq!((view.charged, view.sequence, view.reserved), (total, receipts.len() as u64, 0));
}

fn in_tasks(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(4).build().unwrap().block_on(work);
}

fn on_one_channel(place: &Place) {
    in_tasks(run(place, 1));
}

fn on_many_channels(place: &Place) {
    in_tasks(run(place, 8));
}

on_both! {
    on_one_channel,
    on_many_channels,
}
