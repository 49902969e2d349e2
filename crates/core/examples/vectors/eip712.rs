use alloy_primitives::{Address, B256};
use serde_json::{Value, json};
use vouch_core::{
    channel::{ChannelConfig, Voucher},
    domain::Domain,
    inquiry::Inquiry,
    log::Checkpoint,
    promise::Promise,
    request::Request,
    signature::address_of,
};

use super::{decimal, domains, key, leaves, lower, signed};

pub(crate) fn all() -> Value {
    let each = |make: fn(&Domain, u8) -> Value| -> Vec<Value> {
        domains().iter().zip(1..).map(|(domain, n)| make(domain, n)).collect()
    };
    json!({
        "channels": each(channel),
        "checkpoints": [checkpoint("vouch.example/log", 7), checkpoint("日誌.example/π", u64::MAX)],
        "inquiries": each(inquiry),
        "promises": each(promise),
        "requests": each(request),
        "vouchers": each(voucher),
    })
}

/// The channel of the `n`th domain; the second one's payer signs for itself.
pub(crate) fn config(n: u8) -> ChannelConfig {
    ChannelConfig {
        payer: address_of(&key(0x10 + n)),
        payer_authorizer: if n == 1 { address_of(&key(0x20)) } else { Address::ZERO },
        receiver: address_of(&key(0x30 + n)),
        receiver_authorizer: address_of(&key(0x30 + n)),
        token: Address::repeat_byte(0x40 + n),
        withdraw_delay: if n == 1 { 900 } else { (1 << 40) - 1 },
        salt: B256::repeat_byte(0x50 + n),
    }
}

/// The key that vouchers of [`config`]'s channel are signed with.
fn payer_key(n: u8) -> secp256k1::SecretKey {
    key(if n == 1 { 0x20 } else { 0x10 + n })
}

fn in_domain(domain: &Domain, mut message: Value) -> Value {
    message["chain"] = decimal(domain.chain).into();
    message["settlement"] = lower(domain.settlement).into();
    message
}

fn channel(domain: &Domain, n: u8) -> Value {
    let config = config(n);
    let message = json!({
        "id": config.id(domain),
        "payer": lower(config.payer),
        "payerAuthorizer": lower(config.payer_authorizer),
        "receiver": lower(config.receiver),
        "receiverAuthorizer": lower(config.receiver_authorizer),
        "salt": config.salt,
        "token": lower(config.token),
        "withdrawDelay": decimal(config.withdraw_delay),
    });
    in_domain(domain, message)
}

fn voucher(domain: &Domain, n: u8) -> Value {
    let voucher = Voucher {
        channel_id: config(n).id(domain),
        max_claimable_amount: if n == 1 { 1_000_000 } else { u128::MAX },
    };
    let message = json!({
        "channelId": voucher.channel_id,
        "maxClaimableAmount": decimal(voucher.max_claimable_amount),
    });
    in_domain(domain, signed(message, voucher.digest(domain), &payer_key(n)))
}

fn request(domain: &Domain, n: u8) -> Value {
    let request = Request {
        channel: config(n).id(domain),
        request: B256::repeat_byte(0x60 + n),
        terms: B256::repeat_byte(0x70 + n),
        max_charge: if n == 1 { 250 } else { u128::MAX },
        expiry: if n == 1 { 1_800_000_000 } else { u64::MAX },
    };
    let message = json!({
        "channel": request.channel,
        "expiry": decimal(request.expiry),
        "maxCharge": decimal(request.max_charge),
        "request": request.request,
        "terms": request.terms,
    });
    in_domain(domain, signed(message, request.digest(domain), &payer_key(n)))
}

fn inquiry(domain: &Domain, n: u8) -> Value {
    let inquiry = Inquiry {
        provider: address_of(&key(0x31)),
        owner: address_of(&key(0x12)),
        after: if n == 1 { 0 } else { u64::MAX },
        limit: if n == 1 { 100 } else { u32::MAX },
        expiry: if n == 1 { 1_800_000_000 } else { u64::MAX },
    };
    let message = json!({
        "after": decimal(inquiry.after),
        "expiry": decimal(inquiry.expiry),
        "limit": decimal(inquiry.limit),
        "owner": lower(inquiry.owner),
        "provider": lower(inquiry.provider),
    });
    in_domain(domain, signed(message, inquiry.digest(domain), &key(0x12)))
}

fn promise(domain: &Domain, n: u8) -> Value {
    let promise = Promise {
        root: vouch_core::log::merkle::root(&leaves(n.into())),
        first: if n == 1 { 0 } else { u64::MAX - 2 },
        count: n.into(),
        not_before: B256::repeat_byte(0x80 + n),
        merge_by: if n == 1 { 1_800_000_060 } else { u64::MAX },
    };
    let message = json!({
        "count": decimal(promise.count),
        "first": decimal(promise.first),
        "mergeBy": decimal(promise.merge_by),
        "notBefore": promise.not_before,
        "root": promise.root,
    });
    in_domain(domain, signed(message, promise.digest(domain), &key(0x30 + n)))
}

fn checkpoint(origin: &str, size: u64) -> Value {
    let root = vouch_core::log::merkle::root(&leaves(size.min(7)));
    let checkpoint = Checkpoint { origin: origin.into(), size, root };
    let message = json!({"origin": origin, "root": root, "size": decimal(size)});
    signed(message, checkpoint.digest(), &key(0x31))
}
