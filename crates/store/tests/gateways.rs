//! Several gateways on one PostgreSQL: races, a server that is killed, leases that end.
//!
//! `VOUCH_TEST_PAIRS` sets how many pairs race, `VOUCH_TEST_KILLS` how often the server is killed.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use alloy_primitives::B256;
use common::postgres::{Schema, Server};
use common::*;
use vouch_core::channel::{ChannelConfig, ChannelError, Mode};
use vouch_core::planted::{Bug, plant};
use vouch_store::{Acknowledged, Begun, Call, Database, Error, Hold, PostgresStore, Store};

const GATEWAYS: usize = 3;
const CHARGE: u128 = 10;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn gateways(schema: &Schema, count: usize) -> Vec<Arc<PostgresStore>> {
    (0..count).map(|_| Arc::new(schema.open(config()).unwrap())).collect()
}

/// Names the pair in its last bytes and the contender in its first, so that SQL can count.
fn racing_request(pair: u64, contender: u8) -> B256 {
    let mut request = [0; 32];
    request[0] = contender;
    request[24..].copy_from_slice(&pair.to_be_bytes());
    request.into()
}

/// What two contenders at two gateways did with one pair.
struct Round {
    store: Arc<PostgresStore>,
    config: ChannelConfig,
    request: B256,
    start: Arc<Barrier>,
}

impl Round {
    /// Charges if it is let in; whether it was.
    fn run(&self) -> Result<bool, Error> {
        let call = Call {
            channel: self.config.id(&DOMAIN),
            request: self.request,
            amount: CHARGE,
            voucher: None,
        };
        self.start.wait();
        let hold = match self.store.reserve(&call) {
            Ok(Begun::New(hold)) => hold,
            Ok(Begun::Repeat(_)) | Err(Error::InFlight) => return Ok(false),
            Err(Error::Channel(ChannelError::VoucherNeeded { .. })) => return Ok(false),
            Err(error) => return Err(error),
        };
        let draft = vouch_core::receipt::Receipt {
            request: self.request,
            ..draft(&self.config, 0, CHARGE)
        };
        self.store.commit(hold, draft, Vec::new()).wait().map(|_| true)
    }
}

/// Races pairs for one request, and for one channel's last money, on three gateways. Says what was
/// wrong, as the contenders saw it and as the database has it.
fn race(server: &Server, pairs: u64) -> Vec<String> {
    let schema = server.schema();
    let stores = gateways(&schema, GATEWAYS);
    // Each channel's pairs come one after the other, the channels' all at once.
    let channels = pairs.div_ceil(20).clamp(1, 512);
    let next = Arc::new(AtomicU64::new(0));
    let wrong = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for number in 0..channels {
            let (stores, next, wrong) = (&stores, &next, &wrong);
            scope.spawn(move || {
                let config = ChannelConfig { salt: request(number), ..channel(1) };
                let all = deposit(u128::from(pairs) * CHARGE);
                stores[0].open_channel(config, Mode::Session, all).wait().unwrap();
                let mut allowed = 0;
                loop {
                    let pair = next.fetch_add(1, Ordering::Relaxed);
                    if pair >= pairs {
                        return;
                    }
                    allowed += CHARGE;
                    let one = &stores[pair as usize % GATEWAYS];
                    let two = &stores[(pair as usize + 1) % GATEWAYS];
                    if let Err(error) = one.accept(voucher(&config, allowed)).wait() {
                        wrong.lock().unwrap().push(format!("pair {pair}: {error}"));
                        return;
                    }
                    let found = contend(one, two, config, pair);
                    if found != Ok(1) {
                        wrong.lock().unwrap().push(format!("pair {pair}: winners {found:?}"));
                        return;
                    }
                }
            });
        }
    });
    let mut wrong = std::mem::take(&mut *wrong.lock().unwrap());
    wrong.extend(count(&schema, pairs));
    wrong
}

/// How many of two contenders won. An even pair is for one request, an odd one for the last money.
fn contend(
    one: &Arc<PostgresStore>,
    two: &Arc<PostgresStore>,
    config: ChannelConfig,
    pair: u64,
) -> Result<u32, String> {
    let start = Arc::new(Barrier::new(2));
    let round = |store: &Arc<PostgresStore>, contender: u8| Round {
        store: Arc::clone(store),
        config,
        request: racing_request(pair, contender),
        start: Arc::clone(&start),
    };
    let (first, second) = (round(one, 0), round(two, (pair % 2) as u8));
    let other = std::thread::scope(|scope| {
        let other = scope.spawn(|| second.run());
        (first.run(), other.join().unwrap())
    });
    match other {
        (Ok(first), Ok(second)) => Ok(u32::from(first) + u32::from(second)),
        (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
    }
}

/// Winners and sums as PostgreSQL's own client counts them.
fn count(schema: &Schema, pairs: u64) -> Vec<String> {
    let of_pair = "SELECT substring(request from 25) pair, count(*) winners FROM calls GROUP BY 1";
    let is = |what: &str, sql: &str, expected: u64| {
        let found = schema.count(sql);
        (found != expected).then(|| format!("{what}: {found}, not {expected}"))
    };
    [
        is("pairs with a winner", &format!("SELECT count(*) FROM ({of_pair}) x"), pairs),
        is("pairs with two", &format!("SELECT count(*) FROM ({of_pair}) x WHERE winners > 1"), 0),
        is("receipts", "SELECT count(*) FROM receipts", pairs),
        is("entries without a gap", "SELECT coalesce(max(entry) + 1, 0) FROM receipts", pairs),
        is("charged", "SELECT sum(charged)::bigint FROM channels", pairs * CHARGE as u64),
        is("money promised twice", "SELECT count(*) FROM channels WHERE reserved <> 0", 0),
        is(
            "channels whose receipts have gaps",
            "SELECT count(*) FROM channels c WHERE sequence <> (SELECT count(*) FROM receipts r \
             WHERE r.channel = c.id AND r.sequence BETWEEN 1 AND c.sequence)",
            0,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn of_two_that_race_one_wins() {
    let server = Server::start();
    let pairs = from_environment("VOUCH_TEST_PAIRS", 600);
    let start = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let wrong = race(&server, pairs);
    let took = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap() - start;
    println!("{pairs} pairs on {GATEWAYS} gateways in {:.1} s", took.as_secs_f64());
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn without_the_lock_the_race_finds_it() {
    let server = Server::start();
    plant(Some(Bug::MissingLock));
    let wrong = race(&server, 400);
    println!("{wrong:?}");
    assert!(!wrong.is_empty(), "two gateways that hold nothing still went one after the other");
}

/// A gateway away for longer than its lease, as the database sees it.
fn forget(schema: &Schema) {
    schema.ask("UPDATE gateways SET until = 'epoch'");
}

fn short_lease(schema: &Schema) -> Database {
    let mut database = schema.database();
    database.lease = Duration::from_millis(600);
    database
}

/// One gateway loses its lease while its call runs; another takes the same call on. Who of them is
/// acknowledged, the first first, and how many calls are both in flight and answered.
fn lose_the_lease(server: &Server) -> (vouch_store::Result<Acknowledged>, u64) {
    let schema = server.schema();
    // Its next renewal is far off: it does not notice by itself.
    let mut database = schema.database();
    database.lease = Duration::from_secs(3600);
    let away = schema.open_with(database, config()).unwrap();
    let channel = open(&away, 1, Mode::Session);
    away.accept(voucher(&channel, 1_000)).wait().unwrap();
    let request = call(&channel, 1, 10, None);
    let lost = new_call(&away, &request);
    forget(&schema);
    let other = schema.open_with(short_lease(&schema), config()).unwrap();
    let taken = taken_over(&other, &request);
    let late = away.commit(lost, draft(&channel, 1, 10), Vec::new()).wait();
    let both = schema.count("SELECT count(*) FROM holds JOIN calls USING (channel, request)");
    drop(taken);
    (late, both)
}

/// Waits until the call's money was given back, and makes it here.
fn taken_over(store: &PostgresStore, request: &Call) -> Hold {
    for _ in 0..200 {
        match store.reserve(request) {
            Ok(Begun::New(hold)) => return hold,
            Err(Error::InFlight) => std::thread::sleep(Duration::from_millis(50)),
            other => panic!("{other:?}"),
        }
    }
    panic!("a lost gateway's call stays in flight");
}

#[test]
fn a_gateway_that_lost_its_lease_charges_nothing() {
    let server = Server::start();
    let (late, both) = lose_the_lease(&server);
    assert!(matches!(late, Err(Error::LeaseLost)), "{late:?}");
    assert_eq!(both, 0);
}

#[test]
fn without_the_fence_a_lost_gateway_is_found_charging() {
    let server = Server::start();
    plant(Some(Bug::StaleEpoch));
    let (late, both) = lose_the_lease(&server);
    assert!(late.is_ok(), "the bug is planted: {late:?}");
    assert_eq!(both, 1, "a call is in flight at one gateway and answered by another");
}

#[test]
fn a_killed_server_loses_nothing_that_was_acknowledged() {
    let mut server = Server::start();
    let schema = server.schema();
    let stores = gateways(&schema, 2);
    let channels: Vec<_> = (1..=8).map(|payer| open(&*stores[0], payer, Mode::Session)).collect();
    for channel in &channels {
        stores[0].accept(voucher(channel, 900_000)).wait().unwrap();
    }
    let told = Mutex::new(Vec::<Acknowledged>::new());
    let end = AtomicBool::new(false);
    let kills = from_environment("VOUCH_TEST_KILLS", 2);
    std::thread::scope(|scope| {
        for (place, channel) in channels.iter().enumerate() {
            let (store, told, end) = (&stores[place % 2], &told, &end);
            scope.spawn(move || {
                let mut number = place as u64;
                while !end.load(Ordering::Relaxed) {
                    number += 100;
                    match charge(store, channel, number) {
                        Ok(acknowledged) => told.lock().unwrap().push(acknowledged),
                        // The number is not used again: what became of it is not known here.
                        Err(_) => std::thread::sleep(Duration::from_millis(20)),
                    }
                }
            });
        }
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(700));
            let before = told.lock().unwrap().len();
            server.kill();
            wait_until(|| told.lock().unwrap().len() > before + 20);
        }
        end.store(true, Ordering::Relaxed);
    });
    let told = told.into_inner().unwrap();
    println!("{} acknowledged over {kills} kills", told.len());
    told.iter().for_each(check);
    for acknowledged in &told {
        let found = stores[1].receipt(acknowledged.promise.index).unwrap();
        assert_eq!(found.as_ref(), Some(acknowledged));
    }
    let gaps = "SELECT count(*) FROM channels c WHERE (sequence, charged) <> (SELECT count(*), \
                count(*) * 3 FROM receipts r WHERE r.channel = c.id)";
    assert_eq!(schema.count(gaps), 0, "sequences and sums follow the receipts");
    let entries = "SELECT max(entry) + 1 - count(*) FROM receipts";
    assert_eq!(schema.count(entries), 0, "the log has no gap");
    assert_eq!(schema.count("SELECT count(*) - count(DISTINCT (channel, request)) FROM calls"), 0);
}

fn charge(
    store: &PostgresStore,
    channel: &ChannelConfig,
    number: u64,
) -> vouch_store::Result<Acknowledged> {
    match store.reserve(&call(channel, number, 10, None))? {
        Begun::New(hold) => store.commit(hold, draft(channel, number, 3), Vec::new()).wait(),
        Begun::Repeat(stored) => Ok(stored.acknowledged),
    }
}

fn wait_until(ready: impl Fn() -> bool) {
    for _ in 0..1200 {
        if ready() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it takes too long");
}

#[test]
fn any_gateway_serves_any_channel_and_any_publishes() {
    let server = Server::start();
    let schema = server.schema();
    let [one, two] = [0, 1].map(|_| schema.open_with(short_lease(&schema), config()).unwrap());
    let channel = open(&one, 1, Mode::Session);
    let first = pay(&one, &channel, 1, 10).unwrap();
    assert_eq!(pay(&two, &channel, 1, 10).unwrap(), first, "a repeat at the other gateway");
    let mut hold = new_call(&two, &call(&channel, 2, 10, Some(20)));
    assert!(matches!(one.reserve(&call(&channel, 2, 10, None)), Err(Error::InFlight)));
    assert_eq!(one.channel(&channel.id(&DOMAIN)).unwrap().reserved, 10);
    assert_eq!(one.accept(voucher(&channel, 30)).wait().unwrap(), 30);
    two.extend(&mut hold, 10).unwrap();
    assert_eq!(hold.amount(), 20);
    let second = two.commit(hold, draft(&channel, 2, 15), Vec::new()).wait().unwrap();
    assert_eq!((second.receipt.sequence, second.receipt.cumulative), (2, 25));
    let published = one.publish_checkpoint().wait().unwrap();
    assert_eq!(two.publish_checkpoint().wait().unwrap(), published, "one publishes at a time");
    pay(&two, &channel, 3, 5).unwrap();
    drop(one);
    wait_until(|| two.publish_checkpoint().wait().unwrap().checkpoint.size == 3);
    let proof = two.proof(0).unwrap().unwrap();
    assert_eq!(proof.checkpoint, two.checkpoint().unwrap().note);
}

#[test]
fn what_another_gateway_had_set_aside_comes_back() {
    let server = Server::start();
    let schema = server.schema();
    let [one, two] = [0, 1].map(|_| schema.open_with(short_lease(&schema), config()).unwrap());
    let channel = open(&one, 1, Mode::Session);
    let hold = new_call(&one, &call(&channel, 1, 10, Some(10)));
    let needed = two.reserve(&call(&channel, 2, 10, None));
    assert!(matches!(needed, Err(Error::Channel(ChannelError::VoucherNeeded { .. }))));
    drop(hold);
    let reserved = || two.channel(&channel.id(&DOMAIN)).unwrap().reserved;
    wait_until(|| reserved() == 0);
    // The process ends: nobody gives this back but the others.
    let hold = new_call(&one, &call(&channel, 2, 10, None));
    drop(one);
    drop(hold);
    wait_until(|| reserved() == 0);
    assert_eq!(pay(&two, &channel, 3, 10).unwrap().receipt.sequence, 1);
}

#[test]
fn a_database_that_is_newer_or_anothers_is_refused_and_no_password_is_shown() {
    let server = Server::start();
    let schema = server.schema();
    drop(schema.open(config()).unwrap());
    let database = schema.database();
    assert!(!format!("{database} {database:?}").contains("secret"), "{database:?}");
    let wrong = Database::parse("postgres://vouch:secret@host:port/x").unwrap_err().to_string();
    assert!(!wrong.contains("secret"), "{wrong}");
    let mut other = config();
    other.origin = "another.test/log".to_owned();
    assert!(matches!(schema.open(other), Err(Error::OtherLog { .. })));
    schema.ask("UPDATE vouch_schema SET version = version + 1");
    assert!(matches!(schema.open(config()), Err(Error::Schema { found: 2, known: 1 })));
}
