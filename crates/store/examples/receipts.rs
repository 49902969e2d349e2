//! Measures how many receipts a second one committer makes durable, with a checkpoint a second,
//! how long an acknowledgement takes at 70% of that, and what the receipts cost in memory, on disk
//! and at the next start:
//! `cargo run --release -p vouch-store --example receipts -- [receipts]`, in the temporary directory.

#![allow(clippy::print_stdout, reason = "it is a program for people")]

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use vouch_store::{Begun, Call, EmbeddedStore, Error, Store};

mod common;

type Channel = (vouch_core::channel::ChannelConfig, alloy_primitives::B256);
type Pending = VecDeque<(Instant, vouch_store::Pending<vouch_store::Acknowledged>)>;

/// At once, so that the committer never waits.
const IN_FLIGHT: usize = 4096;
/// Seconds at 70% of the rate.
const STEADY_S: u64 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let receipts: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let (config, provider) = common::provider();
    let (store, _) = EmbeddedStore::open(dir.path(), config.clone())?;
    let channels = common::open_channels(&store, provider)?;

    let memory = resident_bytes();
    let (mut least, mut most) = (u64::MAX, 0);
    let processor = processor_seconds();
    let start = Instant::now();
    let mut pending = Pending::new();
    let store = Arc::new(store);
    let (stop, stopped) = mpsc::channel();
    let publisher = std::thread::spawn({
        let store = Arc::clone(&store);
        move || publish(&store, &stopped)
    });
    for number in 0..receipts {
        if number % 4096 == 0 && number > receipts / 10 {
            (least, most) = (least.min(resident_bytes()), most.max(resident_bytes()));
        }
        if pending.len() >= IN_FLIGHT
            && let Some((_, answer)) = pending.pop_front()
        {
            answer.wait()?;
        }
        pending.extend(commit(&store, &channels, number)?);
    }
    pending.drain(..).try_for_each(|(_, answer)| answer.wait().map(drop))?;
    let seconds = start.elapsed().as_secs_f64();
    let rate = receipts as f64 / seconds;
    let processor = processor_seconds() - processor;
    println!(
        "{receipts} receipts, {IN_FLIGHT} at once: {rate:.0}/s; {:.0}/s of CPU time",
        receipts as f64 / processor
    );
    let per = |bytes: u64| bytes as f64 / receipts as f64;
    let mb = |bytes: u64| bytes / 1_000_000;
    println!(
        "memory: {} MB before; {} to {} MB after the first tenth; {} MB at the end, {:.1} bytes a \
         receipt",
        mb(memory),
        mb(least.min(most)),
        mb(most),
        mb(resident_bytes()),
        per(resident_bytes().saturating_sub(memory))
    );
    println!("disk: {:.0} bytes a receipt, its answer of 200 included", per(size(dir.path())?));

    let waits = steady(&store, &channels, receipts, rate * 0.7)?;
    let at = |share: usize| waits[(waits.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!("at {:.0}/s: acknowledged in p50 {:.1} ms, p99 {:.1} ms", rate * 0.7, at(50), at(99));
    drop(stop);
    publisher.join().map_err(|_panicked| "the publisher ended")??;
    drop(store);
    let start = Instant::now();
    let (_store, opened) = EmbeddedStore::open(dir.path(), config)?;
    println!("opened {} receipts in {:.2} s", opened.size, start.elapsed().as_secs_f64());
    Ok(())
}

/// A checkpoint a second, as a gateway makes them.
fn publish(store: &EmbeddedStore, stop: &Receiver<()>) -> Result<(), Error> {
    while stop.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        store.publish_checkpoint().wait()?;
    }
    Ok(())
}

fn commit(
    store: &EmbeddedStore,
    channels: &[Channel],
    number: u64,
) -> Result<Option<(Instant, vouch_store::Pending<vouch_store::Acknowledged>)>, Error> {
    let receipt = common::draft(&channels[(number % common::CHANNELS) as usize], number);
    let call =
        Call { channel: receipt.channel, request: receipt.request, amount: 10, voucher: None };
    Ok(match store.reserve(&call)? {
        Begun::New(hold) => Some((Instant::now(), store.commit(hold, receipt, vec![7; 200]))),
        Begun::Repeat(_) => None,
    })
}

/// Receipts at a steady rate, whatever the acknowledgements do; how long each took, sorted.
fn steady(
    store: &EmbeddedStore,
    channels: &[Channel],
    first: u64,
    rate: f64,
) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let count = (rate * STEADY_S as f64) as u64;
    let (sender, sent) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let mut waits = Vec::new();
        for (sent, answer) in sent {
            let _: vouch_store::Acknowledged = vouch_store::Pending::wait(answer)?;
            waits.push(Instant::elapsed(&sent));
        }
        Ok::<_, Error>(waits)
    });
    let start = Instant::now();
    for number in 0..count {
        let due = Duration::from_secs_f64(number as f64 / rate);
        while start.elapsed() < due {
            std::thread::sleep(Duration::from_micros(100));
        }
        // From when it was due: a sender that falls behind hides no wait.
        if let Some((_, answer)) = commit(store, channels, first + number)? {
            sender.send((start + due, answer))?;
        }
    }
    drop(sender);
    let mut waits = waiting.join().map_err(|_panicked| "the reader ended")??;
    waits.sort_unstable();
    Ok(waits)
}

fn size(dir: &Path) -> std::io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        total += match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path())?,
            Ok(found) => found.len(),
            // The publisher puts files in the place of others meanwhile.
            Err(_) => 0,
        };
    }
    Ok(total)
}

/// As Linux tells it; 0 elsewhere.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Of all threads, as Linux tells it in hundredths of a second.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = after.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
