//! The books under random histories.

use std::collections::BTreeMap;

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
use crate::Misconduct;

const TOTAL: u128 = 1000;

#[derive(Debug, Clone)]
enum Step {
    Call { channel: usize, max_charge: u128, allowance: u128 },
    Allow { call: usize, allowance: u128 },
    Raise { channel: usize, required: u128 },
    Deposit { channel: usize, amount: u128, settled: bool },
    Receive { call: usize, share: u128 },
    Abandon { call: usize },
    Close { channel: usize, share: u128 },
    Distrust { channel: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let amount = || prop_oneof![0..400u128, Just(u128::MAX)];
    prop_oneof![
        2 => (0..3usize, 0..500u128, amount()).prop_map(|(channel, max_charge, allowance)| {
            Step::Call { channel, max_charge, allowance }
        }),
        1 => (0..8usize, amount()).prop_map(|(call, allowance)| Step::Allow { call, allowance }),
        4 => (0..3usize, 0..1500u128)
            .prop_map(|(channel, required)| Step::Raise { channel, required }),
        2 => (0..3usize, 0..900u128, any::<bool>())
            .prop_map(|(channel, amount, settled)| Step::Deposit { channel, amount, settled }),
        3 => (0..8usize, 0..=100u128).prop_map(|(call, share)| Step::Receive { call, share }),
        1 => (0..8usize).prop_map(|call| Step::Abandon { call }),
        1 => (0..9usize, 0..=100u128).prop_map(|(channel, share)| Step::Close { channel, share }),
        1 => (0..12usize).prop_map(|channel| Step::Distrust { channel }),
    ]
}

fn domain() -> Domain {
    Domain { chain: 1, settlement: Address::repeat_byte(1) }
}

fn provider(n: u8) -> Address {
    Address::repeat_byte(0x30 + n)
}

fn opened(n: u8) -> Opened {
    let config = ChannelConfig {
        payer: Address::repeat_byte(2),
        payer_authorizer: Address::repeat_byte(2),
        receiver: provider(n),
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
    Opened { url: "http://a".into(), provider: None, config, domain: domain(), offer }
}

fn call(nonce: u64, channel: B256, max_charge: u128, allowance: u128) -> Call {
    let request =
        Request { channel, request: B256::ZERO, terms: B256::ZERO, max_charge, expiry: 0 };
    Call {
        nonce: B256::from(alloy_primitives::U256::from(nonce)),
        url: "http://a".into(),
        provider: Address::repeat_byte(3),
        chat: true,
        embeddings: false,
        body: "{}".into(),
        stream: true,
        terms: Terms {
            version: 1,
            domain: domain(),
            provider: Address::repeat_byte(3),
            receiver: None,
            asset: Address::repeat_byte(4),
            model: "m".into(),
            identity: B256::ZERO,
            prices: Prices::default(),
            quantum_tokens: 1,
            log: LogTerms { origin: "o".into(), key: "k".into(), merge_delay_s: 1 },
            sources: None,
        },
        authorization: Authorization { request, signature: Signature([27; 65]) },
        signed_at: 0,
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
            let call = call(nonce, ids[channel], max_charge, allowance);
            let sign = |voucher| SignedVoucher { voucher, signature: Signature([27; 65]) };
            let voucher = ledger.raise_for(&call).map(sign);
            let record = Record::Call(Box::new(call));
            [record].into_iter().chain(voucher.map(Record::Voucher)).collect()
        }
        Step::Raise { channel, required } => match ledger.raise(&ids[channel], required) {
            Ok(Raise::Sign(voucher)) => {
                vec![Record::Voucher(SignedVoucher { voucher, signature: Signature([27; 65]) })]
            }
            _ => Vec::new(),
        },
        Step::Deposit { channel, amount, settled } => {
            let signature = Signature([27; 65]);
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
        Step::Close { channel, .. } if channel > 2 => Vec::new(),
        Step::Close { channel, share } => {
            // Withdrawn without the provider's help, calls may be in flight; it may have claimed
            // any part of the voucher.
            let claimed = ledger.channels[&ids[channel]].signed() * share / 100;
            let channel = ids[channel];
            vec![Record::Closing { channel }, Record::Closed { channel, claimed }]
        }
        Step::Distrust { channel } if channel < 3 => {
            let provider = ledger.channels[&ids[channel]].opened.config.receiver;
            vec![Record::Distrusted { provider, why: "why".into() }]
        }
        Step::Distrust { .. } => Vec::new(),
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
        let mut taken = BTreeMap::new();
        for (nonce, step) in (1u64..).zip(&steps) {
            if let Step::Allow { call, allowance } = step {
                let count = ledger.calls.len().max(1);
                if let Some(call) = ledger.calls.values_mut().nth(call % count) {
                    call.allowance = Some(*allowance);
                }
            }
            for record in records(&ledger, &ids, step, nonce) {
                step_holds(&ledger, &record)?;
                if let Record::Closed { channel, claimed } = &record {
                    let charged = ledger.channels[channel].charged;
                    taken.entry(*channel).or_insert((*claimed).max(charged));
                }
                prop_assert_eq!(ledger.check(&record), Ok(()));
                ledger.apply(record.clone()).unwrap();
                written.push(record);
            }
            adds_up(&ledger, &taken)?;
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

/// A voucher is higher than the last, and within the deposit and what the calls can cost.
fn step_holds(ledger: &Ledger, record: &Record) -> Result<(), TestCaseError> {
    let Record::Voucher(SignedVoucher { voucher, .. }) = record else { return Ok(()) };
    let channel = &ledger.channels[&voucher.channel_id];
    let (amount, signed) = (voucher.max_claimable_amount, channel.signed());
    // A first voucher may allow nothing: what is free is paid with that.
    prop_assert!(amount > signed || channel.best.is_none(), "never lower, never equal");
    prop_assert!(amount <= channel.covers());
    prop_assert!(amount <= ledger.bound(&voucher.channel_id).max(signed));
    prop_assert_eq!(channel.phase, Phase::Open);
    prop_assert!(!ledger.distrusted.contains_key(&channel.opened.config.receiver));
    Ok(())
}

/// The budget is what the channels say, whatever happened to them: of an open one what is charged
/// and what is signed ahead, of a closed one what was charged or taken by then.
fn adds_up(ledger: &Ledger, taken: &BTreeMap<B256, u128>) -> Result<(), TestCaseError> {
    let (mut spent, mut ahead) = (0, 0);
    for (id, channel) in &ledger.channels {
        match taken.get(id) {
            Some(taken) => spent += taken,
            None => {
                spent += channel.charged;
                ahead += channel.ahead();
            }
        }
    }
    prop_assert_eq!((ledger.budget.spent(), ledger.budget.ahead()), (spent, ahead));
    prop_assert!(spent + ahead <= TOTAL);
    Ok(())
}

/// A channel signed for 100 with calls 1 to 3, the first of them receipted for 10; and the entry of
/// a call's receipt.
fn three_calls() -> (Ledger, impl Fn(u64, u64, u128, u128) -> Entry) {
    let mut ledger = Ledger::default();
    let opened = opened(1);
    let id = opened.config.id(&opened.domain);
    ledger.apply(Record::Channel(Box::new(opened))).unwrap();
    let voucher = Voucher { channel_id: id, max_claimable_amount: 100 };
    let signature = Signature([27; 65]);
    ledger.apply(Record::Voucher(SignedVoucher { voucher, signature })).unwrap();
    for nonce in 1..=3 {
        ledger.apply(Record::Call(Box::new(call(nonce, id, 90, 90)))).unwrap();
    }
    let of = move |nonce, sequence, charge, cumulative| {
        entry(&call(nonce, id, 90, 90), sequence, charge, cumulative)
    };
    ledger.apply(Record::Received(Box::new(of(1, 1, 10, 10)))).unwrap();
    (ledger, of)
}

fn wrong(ledger: &Ledger, entry: &Entry) -> &'static str {
    match ledger.fits(entry) {
        Err(Misconduct::Total { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn receipts_that_do_not_fit_are_named() {
    let (ledger, of) = three_calls();
    assert_eq!(ledger.fits(&of(2, 2, 5, 15)), Ok(()));
    assert_eq!(ledger.fits(&of(2, 3, 5, 55)), Ok(()), "call 3 may have cost the rest");
    let same = of(2, 1, 5, 15);
    assert_eq!(ledger.reuses(&same), Some(Misconduct::SequenceReused { sequence: 1 }));
    let reused = Entry { index: 1, ..of(2, 2, 5, 15) };
    assert_eq!(ledger.reuses(&reused), Some(Misconduct::IndexReused { index: 1 }));
    assert_eq!(ledger.reuses(&of(2, 2, 5, 15)), None);
    assert!(wrong(&ledger, &of(2, 2, 5, 16)).contains("make another"));
    assert!(wrong(&ledger, &of(2, 3, 5, 14)).contains("make another"), "below what was charged");
    assert!(wrong(&ledger, &of(2, 3, 5, 106)).contains("calls that were never made"));
    assert!(wrong(&ledger, &of(2, 4, 5, 15)).contains("places"));
    assert!(wrong(&ledger, &of(2, 2, 91, 101)).contains("more is charged"));
    assert!(wrong(&ledger, &of(2, 2, 5, 4)).contains("below its own charge"));
}

/// Receipts with a gap between them, each of which its voucher covers, and which together charge
/// more than was signed for.
#[test]
fn receipts_that_overlap_across_a_gap_are_caught() {
    let (mut ledger, of) = three_calls();
    ledger.apply(Record::Received(Box::new(of(2, 3, 60, 70)))).unwrap();
    assert!(wrong(&ledger, &of(3, 2, 60, 70)).contains("after it"));
    assert!(wrong(&ledger, &of(3, 4, 60, 100)).contains("make another"));
}

/// A record that does not follow from the others is refused before it is written: it would be met
/// again at every start.
#[test]
fn a_record_that_cannot_be_replayed_is_not_written() {
    let (ledger, of) = three_calls();
    assert!(ledger.check(&Record::Received(Box::new(of(2, 2, 91, 101)))).is_err());
    let lower = Voucher { channel_id: of(2, 2, 1, 1).channel, max_claimable_amount: 99 };
    let signature = Signature([27; 65]);
    assert!(ledger.check(&Record::Voucher(SignedVoucher { voucher: lower, signature })).is_err());
    let channel = B256::repeat_byte(9);
    assert!(ledger.check(&Record::Closed { channel, claimed: 0 }).is_err());
}

#[test]
fn a_caught_provider_is_distrusted_in_the_same_record() {
    let (mut ledger, of) = three_calls();
    let caught = Entry { misconduct: Some("why".into()), ..of(2, 2, 5, 15) };
    let provider = caught.provider;
    ledger.apply(Record::Received(Box::new(caught))).unwrap();
    assert_eq!(ledger.distrusted.get(&provider).unwrap(), "why");
}
