//! Measures charges a second: the embedded store, and one and three gateways on a PostgreSQL, each
//! charge a reservation and a commit that a thread of its own waits for:
//! `cargo xtask bench store [-- CHARGES [THREADS]]`. The server is the system's own, started for
//! this as the tests start it; everything is in the temporary directory.

#![allow(clippy::print_stdout, reason = "it is a program for people")]

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use alloy_primitives::{Address, B256};
use vouch_core::channel::ChannelConfig;
use vouch_store::{Begun, Call, EmbeddedStore, Error, Store};

mod common;
#[path = "../tests/common/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests use the rest")]
#[allow(clippy::unwrap_used, reason = "a panic is how it fails to start")]
mod postgres;

type Channel = (ChannelConfig, B256);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let charges: u64 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let threads: u64 = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let (config, provider) = common::provider();
    let dir = tempfile::tempdir()?;
    let (embedded, _) = EmbeddedStore::open(dir.path(), config.clone())?;
    measure("embedded", &[Arc::new(embedded)], provider, charges, threads)?;
    let server = postgres::Server::start();
    for count in [1, 3] {
        let schema = server.schema();
        let mut gateways: Vec<Arc<dyn Store>> = Vec::new();
        while gateways.len() < count {
            gateways.push(Arc::new(schema.open(config.clone())?));
        }
        measure(&format!("PostgreSQL, gateways: {count}"), &gateways, provider, charges, threads)?;
    }
    Ok(())
}

fn measure(
    name: &str,
    stores: &[Arc<dyn Store>],
    provider: Address,
    charges: u64,
    threads: u64,
) -> Result<(), Error> {
    let channels = common::open_channels(&*stores[0], provider)?;
    let next = AtomicU64::new(0);
    let start = Instant::now();
    let done: Result<(), Error> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads as usize)
            .map(|thread| {
                let store = &stores[thread % stores.len()];
                let (channels, next) = (&channels, &next);
                scope.spawn(move || {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= charges {
                            return Ok(());
                        }
                        charge(&**store, &channels[(number % common::CHANNELS) as usize], number)?;
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    done?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{name}: {charges} charges, {threads} at a time: {:.0}/s", charges as f64 / seconds);
    Ok(())
}

fn charge(store: &dyn Store, channel: &Channel, number: u64) -> Result<(), Error> {
    let receipt = common::draft(channel, number);
    let call =
        Call { channel: receipt.channel, request: receipt.request, amount: 10, voucher: None };
    match store.reserve(&call)? {
        Begun::New(hold) => store.commit(hold, receipt, vec![7; 200]).wait().map(drop),
        Begun::Repeat(_) => Ok(()),
    }
}
