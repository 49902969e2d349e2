//! A provider, its payers and a store to try them on.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub mod place;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod workload;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{Address, B256, U256, keccak256};
use ed25519_dalek::SigningKey;
use secp256k1::SecretKey;
use vouch_core::channel::{ChannelConfig, Mode, OnChain, SignedVoucher, Voucher};
use vouch_core::data_use;
use vouch_core::domain::Domain;
use vouch_core::log::note::{self, Verifier};
use vouch_core::money::Usage;
use vouch_core::receipt::{Kind, Receipt, Status, Tier};
use vouch_core::signature::{Signature, address_of};
use vouch_journal::Options;
use vouch_store::{Acknowledged, Begun, Call, Child, Config, Hold, Store};

pub const ORIGIN: &str = "vouch.test/log";
pub const DOMAIN: Domain = Domain { chain: 1337, settlement: Address::repeat_byte(0x40) };
pub const BLOCK: B256 = B256::repeat_byte(0xb1);

pub fn provider_key() -> SecretKey {
    SecretKey::from_byte_array([7; 32]).unwrap()
}

pub fn provider() -> Address {
    address_of(&provider_key())
}

pub fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[8; 32])
}

pub fn log_verifier() -> Verifier {
    Verifier::log(ORIGIN, &log_key())
}

/// A clock that stands until it is moved.
pub fn clock() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(1_790_000_000_000))
}

pub fn config_at(time: &Arc<AtomicU64>) -> Config {
    let time = Arc::clone(time);
    let mut config = Config::new(
        DOMAIN,
        ORIGIN.to_owned(),
        Arc::new(move || time.load(Ordering::Relaxed)),
        Arc::new(|promise| Ok(Signature::sign(promise.digest(&DOMAIN), &provider_key()))),
        Arc::new(|checkpoint| {
            let signature = Signature::sign(checkpoint.digest(), &provider_key());
            Ok(vec![
                note::sign_ed25519(ORIGIN, &log_key(), &checkpoint.text()),
                note::sign_eip712(ORIGIN, provider(), &signature),
            ])
        }),
    );
    // Much sooner than a provider does, so that every test has some of its log indexed.
    config.index_every = 8;
    config.journal = Options { segment_bytes: 1 << 20, preallocate_bytes: 1 << 16 };
    config
}

pub fn config() -> Config {
    config_at(&clock())
}

pub fn channel(payer: u8) -> ChannelConfig {
    ChannelConfig {
        payer: Address::repeat_byte(payer),
        payer_authorizer: Address::ZERO,
        receiver: provider(),
        receiver_authorizer: provider(),
        token: Address::repeat_byte(0x70),
        withdraw_delay: 900,
        salt: B256::ZERO,
    }
}

pub fn deposit(balance: u128) -> OnChain {
    OnChain { balance, block: 1, ..OnChain::default() }
}

/// A voucher whose signature the gateway would have checked.
pub fn voucher(channel: &ChannelConfig, amount: u128) -> SignedVoucher {
    let voucher = Voucher { channel_id: channel.id(&DOMAIN), max_claimable_amount: amount };
    SignedVoucher { voucher, signature: Signature([1; 65]) }
}

pub fn request(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

pub fn call(channel: &ChannelConfig, number: u64, amount: u128, signed: Option<u128>) -> Call {
    Call {
        channel: channel.id(&DOMAIN),
        request: request(number),
        amount,
        voucher: signed.map(|signed| voucher(channel, signed)),
    }
}

pub fn draft(channel: &ChannelConfig, number: u64, charge: u128) -> Receipt {
    let hash = request(number ^ u64::MAX);
    Receipt {
        version: 1,
        domain: DOMAIN,
        kind: Kind::Inference,
        status: Status::Complete,
        tier: Tier::Signed,
        flags: 0,
        provider: provider(),
        agent: U256::ZERO,
        payer: channel.payer,
        channel: channel.id(&DOMAIN),
        sequence: 99,
        request: request(number),
        response: hash,
        tokens: hash,
        usage: Usage { input: 1, cached: 0, output: 2 },
        model: hash,
        sampling: hash,
        seed: hash,
        commitment: B256::ZERO,
        terms: hash,
        charge,
        cumulative: 99,
        asset: channel.token,
        parent: B256::ZERO,
        time: number,
    }
}

pub fn new_call(store: &dyn Store, call: &Call) -> Hold {
    match store.reserve(call).unwrap() {
        Begun::New(hold) => hold,
        Begun::Repeat(_) => panic!("the call is new"),
    }
}

pub fn open(store: &dyn Store, payer: u8, mode: Mode) -> ChannelConfig {
    let config = channel(payer);
    store.open_channel(config, mode, deposit(1_000_000)).wait().unwrap();
    config
}

/// A whole call in session mode, with its answer the request's number.
pub fn pay(
    store: &dyn Store,
    channel: &ChannelConfig,
    number: u64,
    charge: u128,
) -> vouch_store::Result<Acknowledged> {
    let signed = store.channel(&channel.id(&DOMAIN)).map_or(0, |view| view.charged + view.reserved);
    let hold = match store.reserve(&call(channel, number, charge, Some(signed + charge)))? {
        Begun::New(hold) => hold,
        Begun::Repeat(stored) => return Ok(stored.acknowledged),
    };
    store.commit(hold, draft(channel, number, charge), number.to_string().into_bytes()).wait()
}

/// The acknowledgement convinces a stranger.
pub fn check(acknowledged: &Acknowledged) {
    let Acknowledged { receipt, promise, children } = acknowledged;
    promise.verify(receipt.leaf_hash(), &DOMAIN, provider()).unwrap();
    for (child, place) in children.iter().zip(1..) {
        let Acknowledged { receipt: used, promise: also, children } = child;
        also.verify(used.leaf_hash(), &DOMAIN, provider()).unwrap();
        assert_eq!(also.promise, promise.promise, "one record, one promise");
        assert_eq!(also.index, promise.index + place);
        assert_eq!(used.parent, receipt.digest());
        assert!(children.is_empty());
    }
}

pub fn stream(owner: u8) -> B256 {
    data_use::stream(&DOMAIN, provider(), Address::repeat_byte(owner))
}

/// A use of an owner's data, credited `credit`.
pub fn child(parent: &Receipt, owner: u8, credit: u128) -> Child {
    let payer = Address::repeat_byte(owner);
    let channel = data_use::stream(&DOMAIN, provider(), payer);
    let draft = Receipt { kind: Kind::DataUse, payer, channel, charge: credit, ..parent.clone() };
    Child { draft, opening: vec![owner; 3] }
}

/// As [`pay`], for an answer that used the data of these owners at these credits.
pub fn pay_for(
    store: &dyn Store,
    channel: &ChannelConfig,
    number: u64,
    charge: u128,
    uses: &[(u8, u128)],
) -> vouch_store::Result<Acknowledged> {
    let signed = store.channel(&channel.id(&DOMAIN)).map_or(0, |view| view.charged + view.reserved);
    let hold = match store.reserve(&call(channel, number, charge, Some(signed + charge)))? {
        Begun::New(hold) => hold,
        Begun::Repeat(stored) => return Ok(stored.acknowledged),
    };
    let draft = draft(channel, number, charge);
    let children = uses.iter().map(|(owner, credit)| child(&draft, *owner, *credit)).collect();
    store.commit_with(hold, draft, number.to_string().into_bytes(), children).wait()
}
