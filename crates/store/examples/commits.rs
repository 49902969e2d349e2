//! Measures how many receipts a second one committer makes durable:
//! `cargo run -p vouch-store --example commits -- [receipts] [in flight] [directory]`.

#![allow(clippy::print_stdout, reason = "it is a program for people")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256, keccak256};
use secp256k1::SecretKey;
use vouch_core::channel::{ChannelConfig, Mode, OnChain, SignedVoucher, Voucher};
use vouch_core::domain::Domain;
use vouch_core::money::Usage;
use vouch_core::receipt::{Kind, Receipt, Status, Tier};
use vouch_core::signature::{Signature, address_of};
use vouch_store::{Begun, Call, Config, EmbeddedStore, Error, Store};

const DOMAIN: Domain = Domain { chain: 1337, settlement: Address::repeat_byte(0x40) };
const CHANNELS: u64 = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let receipts: u64 = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let in_flight: usize = arguments.next().map_or(Ok(4096), |text| text.parse())?;
    let dir = tempfile::tempdir_in(arguments.next().unwrap_or_else(|| ".".to_owned()))?;
    let key = SecretKey::from_byte_array([7; 32])?;
    let now =
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
    let config = Config::new(
        DOMAIN,
        "throughput".to_owned(),
        Arc::new(now),
        Arc::new(move |promise| Ok(Signature::sign(promise.digest(&DOMAIN), &key))),
        Arc::new(|_| Err("not measured".to_owned())),
    );
    let (store, _) = EmbeddedStore::open(dir.path(), config.clone())?;
    let channels = open_channels(&store, address_of(&key))?;
    let start = Instant::now();
    let mut pending = VecDeque::new();
    let mut waits_us = Vec::new();
    for number in 0..receipts {
        if pending.len() >= in_flight {
            finish(&mut pending, &mut waits_us)?;
        }
        let channel = &channels[(number % CHANNELS) as usize];
        let receipt = draft(channel, number);
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

fn open_channels(
    store: &EmbeddedStore,
    provider: Address,
) -> Result<Vec<(ChannelConfig, B256)>, Error> {
    let mut channels = Vec::new();
    for payer in 0..CHANNELS {
        let config = ChannelConfig {
            payer: Address::left_padding_from(&payer.to_be_bytes()),
            payer_authorizer: Address::ZERO,
            receiver: provider,
            receiver_authorizer: provider,
            token: Address::repeat_byte(0x70),
            withdraw_delay: 900,
            salt: B256::ZERO,
        };
        let deposit = OnChain { balance: u128::MAX, ..OnChain::default() };
        let view = store.open_channel(config, Mode::Session, deposit).wait()?;
        let voucher = Voucher { channel_id: view.id, max_claimable_amount: u128::MAX };
        store.accept(SignedVoucher { voucher, signature: Signature([1; 65]) }).wait()?;
        channels.push((config, view.id));
    }
    Ok(channels)
}

/// The channel's id is given, as a gateway has it at hand: hashing it anew costs more than a commit.
fn draft((channel, id): &(ChannelConfig, B256), number: u64) -> Receipt {
    let hash = keccak256(number.to_be_bytes());
    Receipt {
        version: 1,
        domain: DOMAIN,
        kind: Kind::Inference,
        status: Status::Complete,
        tier: Tier::Signed,
        flags: 0,
        provider: channel.receiver,
        agent: U256::ZERO,
        payer: channel.payer,
        channel: *id,
        sequence: 0,
        request: hash,
        response: hash,
        tokens: hash,
        usage: Usage { input: 1, cached: 0, output: 2 },
        model: hash,
        sampling: hash,
        seed: hash,
        commitment: B256::ZERO,
        terms: hash,
        charge: 3,
        cumulative: 0,
        asset: channel.token,
        parent: B256::ZERO,
        time: number,
    }
}
