//! The books under random histories.

use alloy_primitives::{Address, B256};
use proptest::prelude::*;
use vouch_core::{
    bundle::Authorization,
    channel::{ChannelConfig, SignedVoucher, Voucher},
    domain::Domain,
    money::Prices,
    request::Request,
    signature::Signature,
    terms::{LogTerms, Terms},
};
use vouch_wire::x402::{Extra, Offer};

use super::*;

const TOTAL: u128 = 1000;

#[derive(Debug, Clone)]
enum Step {
    Call { channel: usize, max_charge: u128, allowance: u128 },
    Allow { call: usize, allowance: u128 },
    Raise { channel: usize, required: u128 },
    Deposit { channel: usize, amount: u128, settled: bool },
    Receive { call: usize, share: u128 },
    Abandon { call: usize },
    Close { channel: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let amount = || prop_oneof![0..400u128, Just(u128::MAX)];
    prop_oneof![
        (0..3usize, 0..500u128, amount())
            .prop_map(|(channel, max_charge, allowance)| Step::Call { channel, max_charge, allowance }),
        (0..8usize, amount()).prop_map(|(call, allowance)| Step::Allow { call, allowance }),
        4 => (0..3usize, 0..1500u128).prop_map(|(channel, required)| Step::Raise { channel, required }),
        2 => (0..3usize, 0..900u128, any::<bool>())
            .prop_map(|(channel, amount, settled)| Step::Deposit { channel, amount, settled }),
        3 => (0..8usize, 0..=100u128).prop_map(|(call, share)| Step::Receive { call, share }),
        (0..8usize).prop_map(|call| Step::Abandon { call }),
        (0..3usize).prop_map(|channel| Step::Close { channel }),
    ]
}

fn domain() -> Domain {
    Domain { chain: 1, settlement: Address::repeat_byte(1) }
}

fn opened(n: u8) -> Opened {
    let config = ChannelConfig {
        payer: Address::repeat_byte(2),
        payer_authorizer: Address::repeat_byte(2),
        receiver: Address::repeat_byte(3),
        receiver_authorizer: Address::repeat_byte(3),
        token: Address::repeat_byte(4),
        withdraw_delay: 900,
        salt: B256::repeat_byte(n),
    };
    let extra = Extra {
        name: "n".into(),
        version: "1".into(),
        receiver_authorizer: config.receiver,
        withdraw_delay: 900,
        asset_transfer_method: None,
        min_deposit: None,
        channel_state: None,
        voucher_state: None,
    };
    let offer = Offer {
        scheme: "batch-settlement".into(),
        network: "eip155:1".into(),
        amount: 1,
        asset: config.token,
        pay_to: config.receiver,
        max_timeout_seconds: 60,
        extra,
    };
    Opened { url: "http://a".into(), config, domain: domain(), offer }
}

fn call(nonce: u64, channel: B256, max_charge: u128, allowance: u128) -> Call {
    let request =
        Request { channel, request: B256::ZERO, terms: B256::ZERO, max_charge, expiry: 0 };
    Call {
        nonce: B256::from(alloy_primitives::U256::from(nonce)),
        url: "http://a".into(),
        provider: Address::repeat_byte(3),
        chat: true,
        body: "{}".into(),
        stream: true,
        terms: Terms {
            version: 1,
            domain: domain(),
            provider: Address::repeat_byte(3),
            asset: Address::repeat_byte(4),
            model: "m".into(),
            identity: B256::ZERO,
            prices: Prices::default(),
            quantum_tokens: 1,
            log: LogTerms { origin: "o".into(), key: "k".into(), merge_delay_s: 1 },
        },
        authorization: Authorization { request, signature: Signature([1; 65]) },
        allowance: Some(allowance),
    }
}

fn entry(call: &Call, sequence: u64, charge: u128, cumulative: u128) -> Entry {
    Entry {
        nonce: call.nonce,
        digest: call.nonce,
        channel: call.channel(),
        provider: call.provider,
        url: call.url.clone(),
        model: "m".into(),
        sequence,
        index: u64::try_from(alloy_primitives::U256::from_be_bytes(call.nonce.0)).unwrap(),
        charge,
        cumulative,
        merge_by: 0,
        time: 0,
        misconduct: None,
    }
}

/// The records that a step makes, as the buyer would make them.
fn records(ledger: &Ledger, ids: &[B256], step: &Step, nonce: u64) -> Vec<Record> {
    let nth = |n: usize| ledger.calls.values().nth(n % ledger.calls.len().max(1)).cloned();
    match *step {
        Step::Call { channel, max_charge, allowance } => {
            vec![Record::Call(Box::new(call(nonce, ids[channel], max_charge, allowance)))]
        }
        Step::Raise { channel, required } => match ledger.raise(&ids[channel], required) {
            Ok(Raise::Sign(voucher)) => {
                vec![Record::Voucher(SignedVoucher { voucher, signature: Signature([1; 65]) })]
            }
            _ => Vec::new(),
        },
        Step::Deposit { channel, amount, settled } => {
            let signature = Signature([1; 65]);
            let channel = ids[channel];
            let deposit = Deposit { channel, amount, salt: B256::ZERO, valid_before: 0, signature };
            vec![Record::Deposit(deposit), Record::DepositEnded { channel, settled }]
        }
        Step::Receive { call, share } => nth(call).map_or(Vec::new(), |call| {
            let channel = &ledger.channels[&call.channel()];
            // An honest provider charges what it holds a voucher for.
            let ahead = channel.signed() - channel.charged;
            let charge = call.max_charge().min(ahead) * share / 100;
            let sequence = ledger.receipts.iter().filter(|e| e.channel == call.channel()).count();
            let entry = entry(&call, sequence as u64 + 1, charge, channel.charged + charge);
            assert_eq!(ledger.fits(&entry), Ok(()), "an honest receipt fits");
            vec![Record::Received(Box::new(entry))]
        }),
        Step::Abandon { call } => {
            nth(call).map_or(Vec::new(), |call| vec![Record::Abandoned { nonce: call.nonce }])
        }
        Step::Close { channel } => {
            let channel = ids[channel];
            let busy = ledger.calls.values().any(|call| call.channel() == channel);
            if busy || ledger.channels[&channel].phase != Phase::Open {
                return Vec::new();
            }
            vec![Record::Closing { channel }, Record::Closed { channel }]
        }
        Step::Allow { .. } => Vec::new(),
    }
}

proptest! {
    /// Whatever is asked for: within the budget, within the deposit when signed, within what the
    /// calls can cost, never lower; and a replay of the records gives the same books.
    #[test]
    fn nothing_is_signed_beyond_budget_deposit_and_calls(steps in prop::collection::vec(step(), 0..80)) {
        let mut ledger = Ledger::default();
        ledger.budget = ledger.budget.with_caps(TOTAL, TOTAL);
        let mut written = Vec::new();
        let ids: Vec<B256> = (0..3u8).map(|n| {
            let opened = opened(n);
            let id = opened.config.id(&opened.domain);
            written.push(Record::Channel(Box::new(opened)));
            id
        }).collect();
        written.iter().for_each(|record| ledger.apply(record.clone()).unwrap());
        for (nonce, step) in (1u64..).zip(&steps) {
            if let Step::Allow { call, allowance } = step {
                let count = ledger.calls.len().max(1);
                if let Some(call) = ledger.calls.values_mut().nth(call % count) {
                    call.allowance = Some(*allowance);
                }
            }
            for record in records(&ledger, &ids, step, nonce) {
                if let Record::Voucher(SignedVoucher { voucher: Voucher { channel_id, max_claimable_amount }, .. }) = &record {
                    let channel = &ledger.channels[channel_id];
                    prop_assert!(*max_claimable_amount > channel.signed(), "never lower, never equal");
                    prop_assert!(*max_claimable_amount <= channel.covers());
                    prop_assert!(*max_claimable_amount <= ledger.bound(channel_id));
                    prop_assert_eq!(channel.phase, Phase::Open);
                }
                ledger.apply(record.clone()).unwrap();
                written.push(record);
            }
            let budget = ledger.budget;
            prop_assert!(budget.spent() + budget.ahead() <= TOTAL);
        }
        let mut replayed = Ledger::default();
        written.into_iter().for_each(|record| {
            let json = serde_json::to_vec(&record).unwrap();
            let read: Record = serde_json::from_slice(&json).unwrap();
            replayed.apply(read).unwrap();
        });
        prop_assert_eq!(replayed.budget.spent(), ledger.budget.spent());
        prop_assert_eq!(replayed.budget.ahead(), ledger.budget.ahead());
        for id in &ids {
            prop_assert_eq!(replayed.channels[id].best, ledger.channels[id].best);
            prop_assert_eq!(replayed.channels[id].covers(), ledger.channels[id].covers());
        }
        prop_assert_eq!(replayed.calls.len(), ledger.calls.len());
    }
}

#[test]
fn receipts_that_do_not_fit_are_named() {
    use crate::Misconduct;
    let mut ledger = Ledger::default();
    let opened = opened(1);
    let id = opened.config.id(&opened.domain);
    ledger.apply(Record::Channel(Box::new(opened))).unwrap();
    let voucher = Voucher { channel_id: id, max_claimable_amount: 100 };
    let signature = Signature([1; 65]);
    ledger.apply(Record::Voucher(SignedVoucher { voucher, signature })).unwrap();
    let first = call(1, id, 50, 50);
    ledger.apply(Record::Call(Box::new(first.clone()))).unwrap();
    ledger.apply(Record::Received(Box::new(entry(&first, 1, 10, 10)))).unwrap();
    let second = call(2, id, 50, 50);
    ledger.apply(Record::Call(Box::new(second.clone()))).unwrap();
    let fits =
        |sequence, charge, cumulative| ledger.fits(&entry(&second, sequence, charge, cumulative));
    assert_eq!(fits(2, 5, 15), Ok(()));
    assert_eq!(fits(1, 5, 15), Err(Misconduct::SequenceReused { sequence: 1 }));
    assert!(matches!(fits(2, 5, 16), Err(Misconduct::Total { .. })));
    assert!(
        matches!(fits(3, 5, 16), Err(Misconduct::Total { .. })),
        "no other call can have cost it"
    );
    let mut reused = entry(&second, 2, 5, 15);
    reused.index = 1;
    assert_eq!(ledger.fits(&reused), Err(Misconduct::IndexReused { index: 1 }));
}
