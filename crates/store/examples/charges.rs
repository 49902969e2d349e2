//! Measures charges a second: the embedded store, and one and three gateways on a PostgreSQL, each
//! charge a reservation and a commit that a thread of its own waits for:
//! `cargo run -p vouch-store --features postgres --example charges -- URL [charges] [threads]`.
//! The database at `URL` must be empty.

#![allow(clippy::print_stdout, reason = "it is a program for people")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use vouch_core::channel::ChannelConfig;
use vouch_store::{Begun, Call, Database, EmbeddedStore, Error, FileTiles, PostgresStore, Store};

mod common;

type Channel = (ChannelConfig, alloy_primitives::B256);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("name the database: postgres://user@host/database")?;
    let charges: u64 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let threads: u64 = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let (config, provider) = common::provider();
    let dir = tempfile::tempdir_in(".")?;
    let (embedded, _) = EmbeddedStore::open(&dir.path().join("embedded"), config.clone())?;
    let embedded: Arc<dyn Store> = Arc::new(embedded);
    let channels = common::open_channels(&*embedded, provider)?;
    measure("embedded", &[embedded], &channels, 0..charges, threads)?;
    let tiles = Arc::new(FileTiles::open(&dir.path().join("tiles"))?);
    let mut gateways: Vec<Arc<dyn Store>> = Vec::new();
    for (count, from) in [(1, charges), (3, 2 * charges)] {
        while gateways.len() < count {
            let database = Database::parse(&url)?;
            let store = PostgresStore::open(database, tiles.clone(), config.clone())?;
            gateways.push(Arc::new(store));
        }
        common::open_channels(&*gateways[0], provider)?;
        let name = format!("PostgreSQL, {count} gateways");
        measure(&name, &gateways, &channels, from..from + charges, threads)?;
    }
    Ok(())
}

fn measure(
    name: &str,
    stores: &[Arc<dyn Store>],
    channels: &[Channel],
    numbers: std::ops::Range<u64>,
    threads: u64,
) -> Result<(), Error> {
    let next = AtomicU64::new(numbers.start);
    let start = Instant::now();
    let done: Result<(), Error> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads as usize)
            .map(|thread| {
                let (store, next) = (&stores[thread % stores.len()], &next);
                scope.spawn(move || {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= numbers.end {
                            return Ok(());
                        }
                        charge(&**store, &channels[(number % common::CHANNELS) as usize], number)?;
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Ok(())))
    });
    done?;
    let seconds = start.elapsed().as_secs_f64();
    let charges = numbers.end - numbers.start;
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
