use alloy_primitives::{Address, B256, U256, hex};
use serde_json::{Value, json};
use vouch_core::{
    commitment,
    money::{Prices, Usage},
    receipt::{Kind, Receipt, Status, Tier, VERSION, flags},
    signature::address_of,
    terms::{LogTerms, Terms},
};

use super::{decimal, domains, eip712, key, lower};

pub(crate) fn receipts() -> Value {
    let least = Receipt {
        kind: Kind::Alert,
        status: Status::Failed,
        tier: Tier::Signed,
        flags: 0,
        agent: U256::ZERO,
        channel: B256::ZERO,
        sequence: 0,
        charge: 0,
        cumulative: 0,
        ..ordinary()
    };
    let most = Receipt {
        tier: Tier::Attested,
        flags: flags::ALL,
        agent: U256::MAX,
        sequence: u64::MAX,
        charge: u128::MAX,
        cumulative: u128::MAX,
        time: u64::MAX,
        ..ordinary()
    };
    let receipts = [ordinary(), least, most].map(|receipt| case(&receipt));
    json!({"receipts": receipts})
}

/// A receipt whose fields all differ.
pub(crate) fn ordinary() -> Receipt {
    let [domain, _] = domains();
    Receipt {
        version: VERSION,
        domain,
        kind: Kind::Inference,
        status: Status::Complete,
        tier: Tier::Replayed,
        flags: flags::CALLERS_SEED,
        provider: address_of(&key(0x31)),
        agent: U256::from(7),
        payer: address_of(&key(0x11)),
        channel: eip712::config(1).id(&domain),
        sequence: 3,
        request: B256::repeat_byte(1),
        response: B256::repeat_byte(2),
        tokens: B256::repeat_byte(3),
        usage: Usage { input: 9, cached: 10, output: 11 },
        model: B256::repeat_byte(4),
        sampling: B256::repeat_byte(5),
        seed: B256::repeat_byte(6),
        commitment: B256::repeat_byte(7),
        terms: B256::repeat_byte(8),
        charge: 21,
        cumulative: 1_000,
        asset: Address::repeat_byte(0x41),
        parent: B256::repeat_byte(9),
        time: 1_800_000_000_123,
    }
}

/// All fields as strings, numbers in decimal; enums by their byte.
fn case(receipt: &Receipt) -> Value {
    json!({
        "agent": receipt.agent.to_string(),
        "asset": lower(receipt.asset),
        "cached": decimal(receipt.usage.cached),
        "chain": decimal(receipt.domain.chain),
        "channel": receipt.channel,
        "charge": decimal(receipt.charge),
        "commitment": receipt.commitment,
        "cumulative": decimal(receipt.cumulative),
        "digest": receipt.digest(),
        "encoded": hex::encode_prefixed(receipt.encode()),
        "entry": hex::encode_prefixed(receipt.entry()),
        "flags": decimal(receipt.flags),
        "input": decimal(receipt.usage.input),
        "json": serde_json::to_string(receipt).unwrap(),
        "kind": decimal(receipt.kind as u8),
        "leafHash": receipt.leaf_hash(),
        "model": receipt.model,
        "output": decimal(receipt.usage.output),
        "parent": receipt.parent,
        "payer": lower(receipt.payer),
        "provider": lower(receipt.provider),
        "request": receipt.request,
        "response": receipt.response,
        "sampling": receipt.sampling,
        "seed": receipt.seed,
        "sequence": decimal(receipt.sequence),
        "settlement": lower(receipt.domain.settlement),
        "status": decimal(receipt.status as u8),
        "terms": receipt.terms,
        "tier": decimal(receipt.tier as u8),
        "time": decimal(receipt.time),
        "tokens": receipt.tokens,
        "version": decimal(receipt.version),
    })
}

pub(crate) fn money() -> Value {
    let prices = Prices { input: 300_000, cached: 30_000, output: 1_200_000, request: 5 };
    let usage = |input, cached, output| Usage { input, cached, output };
    let one = Prices { input: 1, cached: 1, output: 1, request: 0 };
    let large = Prices { output: u128::MAX / 2, ..Default::default() };
    let cases = [
        (prices, usage(0, 0, 0)),
        (prices, usage(10, 0, 3)),
        (prices, usage(1_234, 5_678, 91_011)),
        (prices, usage(u64::MAX, u64::MAX, u64::MAX)),
        (one, usage(1, 1, 1)),
        (one, usage(1_000_000, 0, 0)),
        (one, usage(1_000_000, 1, 0)),
        (large, usage(0, 0, 2)),
    ];
    json!({"charges": cases.map(|(prices, usage)| charge(&prices, &usage))})
}

fn charge(prices: &Prices, usage: &Usage) -> Value {
    json!({
        "cached": decimal(usage.cached),
        "charge": decimal(prices.charge(usage).unwrap()),
        "input": decimal(usage.input),
        "output": decimal(usage.output),
        "priceCached": decimal(prices.cached),
        "priceInput": decimal(prices.input),
        "priceOutput": decimal(prices.output),
        "priceRequest": decimal(prices.request),
    })
}

pub(crate) fn commitments() -> Value {
    let seeds = [0, 1, -1, i64::MIN, i64::MAX].map(caller_seed);
    json!({
        "canonical": canonical(),
        "requests": requests(),
        "seeds": seeds,
        "terms": [terms()],
        "tokens": tokens(),
    })
}

fn canonical() -> Vec<Value> {
    [
        r#"{"b": 1.0, "a": [true, null, "é\u0007"], "\ud83d\ude00": 1e21, "\ufb33": 0.000001}"#,
        r#"{"usage":{"prompt_tokens":9,"completion_tokens":11},"vouch":{"inputIds":[1,2],"outputIds":[]}}"#,
    ]
    .map(|text| {
        let value: Value = serde_json::from_str(text).unwrap();
        let nonce = B256::repeat_byte(0xa2);
        let canonical = commitment::canonical_json(&value).unwrap();
        json!({
            "canonical": hex::encode_prefixed(&canonical),
            "commitment": commitment::response(&nonce, &canonical),
            "hash": commitment::canonical_hash(&value).unwrap(),
            "nonce": nonce,
            "text": text,
        })
    })
    .into()
}

fn requests() -> Vec<Value> {
    [("POST /v1/chat/completions", r#"{"model":"m","messages":[]}"#), ("POST /v1/completions", "")]
        .map(|(resource, body)| {
            let nonce = B256::repeat_byte(0xa1);
            let request = commitment::request(&nonce, resource, body.as_bytes());
            let derived = commitment::derived_seed(&nonce, &request);
            json!({
                "body": body,
                "commitment": request,
                "derivedSeed": B256::from(derived),
                "nonce": nonce,
                "resource": resource,
                "seedCommitment": commitment::seed(&nonce, &derived),
            })
        })
        .into()
}

fn caller_seed(seed: i64) -> Value {
    let nonce = B256::repeat_byte(0xa3);
    let bytes = commitment::callers_seed(seed);
    json!({
        "commitment": commitment::seed(&nonce, &bytes),
        "nonce": nonce,
        "seed": seed.to_string(),
        "seedBytes": B256::from(bytes),
    })
}

fn tokens() -> Vec<Value> {
    let cases: [(&[u32], &[u32]); 3] = [(&[], &[]), (&[1, 2], &[3]), (&[1], &[2, u32::MAX])];
    let nonce = B256::repeat_byte(0xa4);
    let ids = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>();
    let case = |(input, output): (&[u32], &[u32])| {
        let commitment = commitment::tokens(&nonce, input, output);
        json!({"commitment": commitment, "input": ids(input), "nonce": nonce, "output": ids(output)})
    };
    cases.map(case).into()
}

/// A quote of the provider of [`ordinary`].
pub(crate) fn quote() -> Terms {
    Terms {
        version: vouch_core::terms::VERSION,
        domain: domains()[0],
        provider: address_of(&key(0x31)),
        receiver: None,
        asset: Address::repeat_byte(0x41),
        model: "smollm2-135m".into(),
        identity: B256::repeat_byte(4),
        prices: Prices { input: 300_000, cached: 30_000, output: 1_200_000, request: 5 },
        quantum_tokens: 64,
        log: LogTerms {
            origin: "vouch.example/log".into(),
            key: vouch_core::log::note::Verifier::log("vouch.example/log", &super::log::log_key())
                .to_string(),
            merge_delay_s: 60,
        },
        sources: None,
    }
}

fn terms() -> Value {
    let terms = quote();
    let canonical = commitment::canonical_json(&terms).unwrap();
    json!({
        "canonical": String::from_utf8(canonical).unwrap(),
        "hash": terms.hash().unwrap(),
    })
}
