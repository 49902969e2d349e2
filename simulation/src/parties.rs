//! Who is in the world: keys, addresses, quotes. The same in every seed.

use std::sync::OnceLock;

use alloy_primitives::{Address, B256};
use ed25519_dalek::SigningKey;
use secp256k1::SecretKey;
use vouch_core::{
    domain::Domain,
    log::note::Verifier,
    money::Prices,
    signature::address_of,
    terms::{LogTerms, Terms},
};

/// How many payers there are; the last two cheat.
pub const PAYERS: usize = 5;
/// Payers from this one on cheat.
pub const FIRST_CHEAT: usize = 3;
/// How many providers there are, each with one gateway.
pub const GATEWAYS: usize = 3;
/// Where everything is settled.
pub const DOMAIN: Domain = Domain { chain: 1338, settlement: Address::repeat_byte(0x40) };
/// The token that pays.
pub const TOKEN: Address = Address::repeat_byte(0x70);
/// Seconds between a notice of withdrawal and the withdrawal.
pub const WITHDRAW_DELAY_S: u64 = 900;
/// How many blocks deep a deposit counts.
pub const FINALITY: u64 = 3;
/// Output tokens that a stream sets aside at a time.
pub const QUANTUM: u64 = 8;
/// A token costs 10, a request 3.
pub const PRICES: Prices = Prices { input: 0, cached: 0, output: 10_000_000, request: 3 };

/// A key and its address.
#[derive(Debug)]
pub struct Party {
    /// Signs.
    pub key: SecretKey,
    /// Its address.
    pub address: Address,
}

/// A provider with its log and its quote.
#[derive(Debug)]
pub struct Provider {
    /// Signs promises and checkpoints.
    pub party: Party,
    /// Signs checkpoints.
    pub log: SigningKey,
    /// Its log's name.
    pub origin: String,
    /// What it offers.
    pub terms: Terms,
    /// The quote's hash.
    pub terms_hash: B256,
}

/// Everyone.
#[derive(Debug)]
pub struct Parties {
    /// Those who buy.
    pub payers: Vec<Party>,
    /// Those who sell.
    pub providers: Vec<Provider>,
    /// Cosigns checkpoints.
    pub witness: SigningKey,
}

/// Everyone, made once a process.
///
/// # Panics
/// Never: the keys are constants.
#[must_use]
pub fn parties() -> &'static Parties {
    static PARTIES: OnceLock<Parties> = OnceLock::new();
    PARTIES.get_or_init(|| Parties {
        payers: (0..PAYERS).map(|payer| party(0x10 + payer as u8)).collect(),
        providers: (0..GATEWAYS).map(|gateway| provider(gateway as u8)).collect(),
        witness: SigningKey::from_bytes(&[0x77; 32]),
    })
}

fn party(byte: u8) -> Party {
    #[allow(clippy::expect_used, reason = "any repeated small byte is below the curve's order")]
    let key = SecretKey::from_byte_array([byte; 32]).expect("a key");
    Party { key, address: address_of(&key) }
}

fn provider(number: u8) -> Provider {
    let party = party(0x40 + number);
    let log = SigningKey::from_bytes(&[0x60 + number; 32]);
    let origin = format!("gateway-{number}.simulation/log");
    let terms = Terms {
        version: vouch_core::terms::VERSION,
        domain: DOMAIN,
        provider: party.address,
        receiver: None,
        asset: TOKEN,
        model: "m".into(),
        identity: B256::repeat_byte(0x1d),
        prices: PRICES,
        quantum_tokens: QUANTUM as u32,
        log: LogTerms {
            origin: origin.clone(),
            key: Verifier::log(&origin, &log).to_string(),
            merge_delay_s: 60,
        },
        sources: None,
    };
    #[allow(clippy::expect_used, reason = "terms of valid strings have a canonical form")]
    let terms_hash = terms.hash().expect("a hash");
    Provider { party, log, origin, terms, terms_hash }
}
