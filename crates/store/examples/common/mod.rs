//! A provider, its channels and its receipts, for measuring.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256, keccak256};
use secp256k1::SecretKey;
use vouch_core::channel::{ChannelConfig, Mode, OnChain, SignedVoucher, Voucher};
use vouch_core::domain::Domain;
use vouch_core::log::note;
use vouch_core::money::Usage;
use vouch_core::receipt::{Kind, Receipt, Status, Tier};
use vouch_core::signature::{Signature, address_of};
use vouch_store::{Config, Error, Store};

const DOMAIN: Domain = Domain { chain: 1337, settlement: Address::repeat_byte(0x40) };
pub(crate) const CHANNELS: u64 = 64;

/// A store of this provider, and who it is.
pub(crate) fn provider() -> (Config, Address) {
    let key = SecretKey::from_byte_array([7; 32]).expect("a number below the curve's order");
    let now =
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
    let config = Config::new(
        DOMAIN,
        "throughput".to_owned(),
        Arc::new(now),
        Arc::new(move |promise| Ok(Signature::sign(promise.digest(&DOMAIN), &key))),
        Arc::new(move |checkpoint| {
            let signature = Signature::sign(checkpoint.digest(), &key);
            Ok(vec![note::sign_eip712(&checkpoint.origin, address_of(&key), &signature)])
        }),
    );
    (config, address_of(&key))
}

pub(crate) fn open_channels(
    store: &dyn Store,
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
pub(crate) fn draft((channel, id): &(ChannelConfig, B256), number: u64) -> Receipt {
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
