use alloy_primitives::{B256, U256, keccak256};
use serde_json::{Value, json};
use vouch_core::{
    act, commitment,
    data_use::{self, Grant, SEARCH},
    domain::Domain,
    signature::address_of,
};

use super::{decimal, domains, key, lower};

pub(crate) fn all() -> Value {
    let grants = [grant(1, 250), grant(u128::MAX, 10_000)];
    let indices = [0, 1, u32::MAX];
    json!({
        "acts": [act_of("swap", r#"{"reliedOn":[],"amount":"5"}"#, r#"{"status":"done"}"#)],
        "grants": grants.map(|grant| grant_case(&grant)),
        "streams": domains().map(stream_of),
        "uses": indices.map(use_of),
    })
}

fn stream_of(domain: Domain) -> Value {
    let (provider, owner) = (address_of(&key(0x31)), address_of(&key(0x12)));
    json!({
        "chain": decimal(domain.chain),
        "owner": lower(owner),
        "provider": lower(provider),
        "settlement": lower(domain.settlement),
        "stream": data_use::stream(&domain, provider, owner),
    })
}

fn grant(price: u128, share_bps: u16) -> Grant {
    Grant {
        owner: address_of(&key(0x12)),
        dataset: B256::repeat_byte(0xd1),
        grantee: address_of(&key(0x31)),
        purpose: keccak256(SEARCH),
        service: B256::ZERO,
        price,
        share_bps,
        start: 1_700_000_000,
        end: u64::MAX,
        nonce: U256::from(7),
    }
}

fn grant_case(grant: &Grant) -> Value {
    json!({
        "dataset": grant.dataset,
        "end": decimal(grant.end),
        "grantee": lower(grant.grantee),
        "id": grant.id(),
        "nonce": grant.nonce.to_string(),
        "owner": lower(grant.owner),
        "price": decimal(grant.price),
        "purpose": grant.purpose,
        "service": grant.service,
        "shareBps": decimal(grant.share_bps),
        "start": decimal(grant.start),
    })
}

fn use_of(index: u32) -> Value {
    let (nonce, dataset, document) =
        (B256::repeat_byte(0xa5), B256::repeat_byte(0xd1), B256::repeat_byte(0xd2));
    let source_nonce = commitment::source_nonce(&nonce, index);
    json!({
        "dataset": dataset,
        "document": document,
        "index": decimal(index),
        "nonce": nonce,
        "request": data_use::request(&source_nonce, &dataset, &document),
        "sourceNonce": source_nonce,
    })
}

fn act_of(kind: &str, intent: &str, outcome: &str) -> Value {
    let nonce = B256::repeat_byte(0xa6);
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    json!({
        "intent": intent,
        "kind": kind,
        "nonce": nonce,
        "outcome": outcome,
        "request": act::intent(&nonce, kind, &parsed(intent)).unwrap(),
        "response": act::outcome(&nonce, &parsed(outcome)).unwrap(),
    })
}
