//! Measures how many receipts a second one committer makes durable:
//! `cargo run -p vouch-store --example commits -- [receipts] [in flight] [directory]`.

#![allow(clippy::print_stdout, reason = "it is a program for people")]

use std::collections::VecDeque;
use std::time::Instant;

use vouch_store::{Begun, Call, EmbeddedStore, Error, Store};

mod common;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let receipts: u64 = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let in_flight: usize = arguments.next().map_or(Ok(4096), |text| text.parse())?;
    let dir = tempfile::tempdir_in(arguments.next().unwrap_or_else(|| ".".to_owned()))?;
    let (config, provider) = common::provider();
    let (store, _) = EmbeddedStore::open(dir.path(), config.clone())?;
    let channels = common::open_channels(&store, provider)?;
    let start = Instant::now();
    let mut pending = VecDeque::new();
    let mut waits_us = Vec::new();
    for number in 0..receipts {
        if pending.len() >= in_flight {
            finish(&mut pending, &mut waits_us)?;
        }
        let channel = &channels[(number % common::CHANNELS) as usize];
        let receipt = common::draft(channel, number);
        let call =
            Call { channel: receipt.channel, request: receipt.request, amount: 10, voucher: None };
        let Begun::New(hold) = store.reserve(&call)? else { continue };
        pending.push_back((Instant::now(), store.commit(hold, receipt, vec![7; 200])));
    }
    while !pending.is_empty() {
        finish(&mut pending, &mut waits_us)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    waits_us.sort_unstable();
    let at = |share: usize| waits_us[(waits_us.len() - 1) * share / 100] as f64 / 1000.0;
    println!(
        "{receipts} receipts, {in_flight} in flight: {:.0}/s, p50 {:.1} ms, p99 {:.1} ms",
        receipts as f64 / seconds,
        at(50),
        at(99)
    );
    drop(store);
    let start = Instant::now();
    let (_store, opened) = EmbeddedStore::open(dir.path(), config)?;
    println!("opened {} receipts in {:.2} s", opened.size, start.elapsed().as_secs_f64());
    Ok(())
}

type Pending = VecDeque<(Instant, vouch_store::Pending<vouch_store::Acknowledged>)>;

fn finish(pending: &mut Pending, waits_us: &mut Vec<u128>) -> Result<(), Error> {
    if let Some((sent, answer)) = pending.pop_front() {
        answer.wait()?;
        waits_us.push(sent.elapsed().as_micros());
    }
    Ok(())
}
