//! Calls, vouchers and channels on real files.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::atomic::Ordering;

use alloy_primitives::{Address, B256};
use common::place::Place;
use common::*;
use vouch_core::channel::{ChannelError, Freeze, Mode, OnChain};
use vouch_store::{Begun, Call, Claim, EmbeddedStore, Error, Store};

fn a_call_is_charged_receipted_and_promised(place: &Place) {
    let store = place.open(config()).unwrap();
    assert_eq!(store.size(), 0);
    store.set_recent_block(BLOCK);
    let channel = open(&*store, 1, Mode::Session);
    let mut hold = new_call(&*store, &call(&channel, 1, 10, Some(10)));
    assert!(matches!(
        store.extend(&mut hold, 5),
        Err(Error::Channel(ChannelError::VoucherNeeded { required: 15, accepted: 10 }))
    ));
    assert_eq!(store.accept(voucher(&channel, 20)).wait().unwrap(), 20);
    store.extend(&mut hold, 5).unwrap();
    assert_eq!(hold.amount(), 15);
    let first = store.commit(hold, draft(&channel, 1, 12), b"answer".to_vec()).wait().unwrap();
    check(&first);
    let fields = (first.receipt.sequence, first.receipt.cumulative, first.promise.index);
    assert_eq!(fields, (1, 12, 0));
    assert_eq!(first.promise.promise.not_before, BLOCK);
    assert_eq!(first.promise.promise.merge_by, 1_790_000_060);
    let view = store.channel(&channel.id(&DOMAIN)).unwrap();
    assert_eq!((view.charged, view.reserved, view.accepted, view.sequence), (12, 0, 20, 1));
    for found in [
        store.receipt(0),
        store.receipt_by_digest(&first.receipt.digest()),
        store.receipt_by_sequence(&channel.id(&DOMAIN), 1),
    ] {
        assert_eq!(found.unwrap().unwrap(), first);
    }
    assert!(store.receipt(1).unwrap().is_none());
    assert!(store.receipt_by_sequence(&channel.id(&DOMAIN), 0).unwrap().is_none());
    assert!(store.receipt_by_digest(&B256::ZERO).unwrap().is_none());
}

fn uses_of_data_are_committed_with_their_answer(place: &Place) {
    let store = place.open(config()).unwrap();
    let channel = open(&*store, 1, Mode::Session);
    pay(&*store, &channel, 1, 10).unwrap();
    let first = pay_for(&*store, &channel, 2, 10, &[(7, 4), (8, 6)]).unwrap();
    check(&first);
    assert_eq!(first.children.len(), 2);
    let second = pay_for(&*store, &channel, 3, 10, &[(7, 3), (7, 0)]).unwrap();
    let places = |told: &vouch_store::Acknowledged| -> Vec<_> {
        let place = |child: &vouch_store::Acknowledged| {
            (child.receipt.sequence, child.receipt.cumulative, child.promise.index)
        };
        told.children.iter().map(place).collect()
    };
    assert_eq!(
        (places(&first), places(&second)),
        (vec![(1, 4, 2), (1, 6, 3)], vec![(2, 7, 5), (3, 7, 6)])
    );
    drop(store);
    let store = place.open(config()).unwrap();
    assert_eq!(pay_for(&*store, &channel, 2, 10, &[]).unwrap(), first, "a repeat has them too");
    let found = store.receipts_of(&stream(7), 1, 1).unwrap();
    assert_eq!(found[0].acknowledged, second.children[0]);
    assert!(store.receipts_of(&stream(9), 0, 9).unwrap().is_empty());
    assert!(store.receipts_of(&stream(7), u64::MAX, 9).unwrap().is_empty());
    let third = store.receipt_by_sequence(&stream(7), 3).unwrap().unwrap();
    assert_eq!(third, second.children[1]);
    let next = pay_for(&*store, &channel, 4, 10, &[(7, 10)]).unwrap();
    assert_eq!(places(&next), [(4, 17, 8)]);
}

fn uses_of_data_are_committed_with_a_receipt_that_no_channel_pays_for(place: &Place) {
    let store = place.open(config()).unwrap();
    let training = vouch_core::receipt::Receipt {
        channel: B256::ZERO,
        kind: vouch_core::receipt::Kind::TrainingRound,
        ..draft(&channel(1), 1, 9)
    };
    let append = |credits: &[(u8, u128)]| {
        let children = credits.iter().map(|(owner, credit)| child(&training, *owner, *credit));
        store.append_with(training.clone(), b"opening".to_vec(), children.collect()).wait()
    };
    assert!(matches!(append(&[(7, 5), (8, 5)]), Err(Error::Draft(_))), "more than is shared out");
    let first = append(&[(7, 5), (8, 0)]).unwrap();
    let second = append(&[(7, 3)]).unwrap();
    check(&first);
    let digest = first.receipt.digest();
    assert!(first.children.iter().all(|child| child.receipt.parent == digest));
    let last = &second.children[0].receipt;
    assert_eq!((last.sequence, last.cumulative), (2, 8));
    let stored = store.stored(0).unwrap().unwrap();
    assert_eq!((&stored.acknowledged, stored.answer.as_slice()), (&first, &b"opening"[..]));
    drop(store);
    let store = place.open(config()).unwrap();
    assert_eq!(store.size(), 5);
    assert_eq!(store.stored(0).unwrap().unwrap(), stored);
    let found = store.receipts_of(&stream(7), 0, 9).unwrap();
    assert_eq!(found[1].acknowledged, second.children[0]);
}

fn what_cannot_be_credited_is_not_charged(place: &Place) {
    let store = place.open(config()).unwrap();
    let channel = open(&*store, 1, Mode::Session);
    let drafted = draft(&channel, 1, 10);
    let good = child(&drafted, 7, 5);
    let mut of_another = good.clone();
    of_another.draft.channel = stream(8);
    let mut answer = good.clone();
    answer.draft.kind = vouch_core::receipt::Kind::Inference;
    let dear = child(&drafted, 7, 6);
    for children in
        [vec![of_another], vec![answer], vec![good.clone(), dear], vec![good.clone(); 65]]
    {
        let hold = new_call(&*store, &call(&channel, 1, 10, Some(10)));
        let refused = store.commit_with(hold, drafted.clone(), Vec::new(), children).wait();
        assert!(matches!(refused, Err(Error::Draft(_))), "{refused:?}");
    }
    assert!(matches!(store.append(good.draft).wait(), Err(Error::Draft(_))));
    store.durable().wait().unwrap();
    let view = store.channel(&channel.id(&DOMAIN)).unwrap();
    assert_eq!((view.charged, view.reserved, store.size()), (0, 0, 0));
}

fn a_repeat_gets_the_stored_answer_until_it_expires(place: &Place) {
    let time = clock();
    let store = place.open(config_at(&time)).unwrap();
    let channel = open(&*store, 1, Mode::Session);
    let request = call(&channel, 1, 10, Some(100));
    let hold = new_call(&*store, &request);
    assert!(matches!(store.reserve(&request), Err(Error::InFlight)));
    let first = store.commit(hold, draft(&channel, 1, 10), b"once".to_vec()).wait().unwrap();
    let repeat = |store: &dyn Store| match store.reserve(&request).unwrap() {
        Begun::Repeat(stored) => stored,
        Begun::New(_) => panic!("charged twice"),
    };
    assert_eq!(repeat(&*store).acknowledged, first);
    drop(store);
    let store = place.open(config_at(&time)).unwrap();
    let stored = repeat(&*store);
    assert_eq!((&stored.acknowledged, stored.answer.as_slice()), (&first, b"once".as_slice()));
    assert_eq!(store.answer(&channel.id(&DOMAIN), &request.request).unwrap().unwrap(), *stored);
    assert_eq!(store.channel(&channel.id(&DOMAIN)).unwrap().charged, 10);
    time.fetch_add(24 * 3600 * 1000 + 1, Ordering::Relaxed);
    pay(&*store, &channel, 2, 1).unwrap();
    assert!(store.answer(&channel.id(&DOMAIN), &request.request).unwrap().is_none());
    assert!(store.receipt(0).unwrap().is_some(), "the receipt itself is kept");
}

fn a_dropped_hold_is_released_and_may_be_made_again(place: &Place) {
    let store = place.open(config()).unwrap();
    let channel = open(&*store, 1, Mode::Session);
    drop(new_call(&*store, &call(&channel, 1, 10, Some(10))));
    store.durable().wait().unwrap();
    assert_eq!(store.channel(&channel.id(&DOMAIN)).unwrap().reserved, 0);
    let hold = new_call(&*store, &call(&channel, 1, 10, Some(10)));
    let error = store.commit(hold, draft(&channel, 1, 11), Vec::new()).wait().unwrap_err();
    assert!(matches!(
        error,
        Error::Channel(ChannelError::OverReservation { charge: 11, reserved: 10 })
    ));
    let hold = new_call(&*store, &call(&channel, 1, 10, Some(10)));
    let error = store.commit(hold, draft(&channel, 2, 1), Vec::new()).wait().unwrap_err();
    assert!(matches!(error, Error::Draft("request")), "{error}");
    let hold = new_call(&*store, &call(&channel, 1, 10, Some(10)));
    let huge = vec![0; 5 << 20];
    let error = store.commit(hold, draft(&channel, 1, 1), huge).wait().unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
    assert_eq!(pay(&*store, &channel, 1, 10).unwrap().receipt.sequence, 1);
    store.durable().wait().unwrap();
}

fn stock_mode_is_one_at_a_time_with_exact_vouchers(place: &Place) {
    let store = place.open(config()).unwrap();
    let channel = open(&*store, 1, Mode::Stock);
    assert!(matches!(
        store.reserve(&call(&channel, 1, 10, None)),
        Err(Error::Channel(ChannelError::VoucherNeeded { required: 10, .. }))
    ));
    let hold = new_call(&*store, &call(&channel, 1, 10, Some(10)));
    let busy = store.reserve(&call(&channel, 2, 10, Some(10)));
    assert!(matches!(busy, Err(Error::Channel(ChannelError::Busy))));
    store.commit(hold, draft(&channel, 1, 4), Vec::new()).wait().unwrap();
    let wrong = store.reserve(&call(&channel, 2, 10, Some(20)));
    assert!(matches!(
        wrong,
        Err(Error::Channel(ChannelError::CumulativeMismatch { expected: 14, .. }))
    ));
    let other = store.open_channel(channel, Mode::Session, deposit(1)).wait();
    assert!(matches!(other, Err(Error::Channel(ChannelError::OtherMode(Mode::Stock)))));
}

fn a_public_voucher_pays_for_no_stock_call_also_after_a_restart(place: &Place) {
    let store = place.open(config()).unwrap();
    let channel = open(&*store, 1, Mode::Stock);
    let id = channel.id(&DOMAIN);
    let hold = new_call(&*store, &call(&channel, 1, 10, Some(10)));
    store.commit(hold, draft(&channel, 1, 4), Vec::new()).wait().unwrap();
    // What is spent already can pay for nothing.
    store.publish(id, 4).wait().unwrap();
    store.publish(id, 10).wait().unwrap();
    drop(store);
    let store = place.open(config()).unwrap();
    assert_eq!(store.channel(&id).unwrap().published, [10]);
    assert_eq!(store.channel(&id).unwrap().stock_total(6), Some(11));
    let stolen = store.reserve(&call(&channel, 2, 6, Some(10)));
    let mismatch = ChannelError::CumulativeMismatch { found: 10, expected: 11 };
    assert!(matches!(stolen, Err(Error::Channel(error)) if error == mismatch));
    drop(new_call(&*store, &call(&channel, 2, 7, Some(11))));
}

fn the_chain_freezes_and_thaws_and_totals_add_up(place: &Place) {
    let store = place.open(config()).unwrap();
    let channel = open(&*store, 1, Mode::Session);
    let id = channel.id(&DOMAIN);
    pay(&*store, &channel, 1, 100).unwrap();
    let low = OnChain { balance: 99, block: 2, ..OnChain::default() };
    assert!(store.observe(id, low).wait().unwrap().froze);
    let refused = pay(&*store, &channel, 2, 1);
    assert!(matches!(refused, Err(Error::Channel(ChannelError::Frozen(Freeze::Uncovered)))));
    let back = OnChain { balance: 200, claimed: 60, block: 3, ..OnChain::default() };
    assert!(!store.observe(id, back).wait().unwrap().froze);
    pay(&*store, &channel, 2, 1).unwrap();
    let claim = Claim { channel: id, total: 60, transaction: B256::repeat_byte(9) };
    store.record_claim(claim).wait().unwrap();
    let totals = store.payer(&channel.payer);
    assert_eq!((totals.channels, totals.charged, totals.unclaimed), (1, 101, 41));
    assert_eq!(store.payer(&Address::ZERO), vouch_store::PayerTotals::default());
    store.close_channel(id).wait().unwrap();
    drop(store);
    let store = place.open(config()).unwrap();
    let view = store.channel(&id).unwrap();
    assert_eq!((view.frozen, view.claim, view.charged), (Some(Freeze::Closing), Some(claim), 101));
    assert_eq!(view.on_chain, back);
    assert_eq!(store.channels(), [view]);
}

fn vouchers_are_durable_alone_and_with_their_charge(place: &Place) {
    let store = place.open(config()).unwrap();
    let (alone, spent) = (open(&*store, 1, Mode::Session), open(&*store, 2, Mode::Session));
    store.accept(voucher(&alone, 77)).wait().unwrap();
    pay(&*store, &spent, 1, 55).unwrap();
    // A lower voucher with a call is no mistake: calls overtake each other.
    drop(new_call(&*store, &call(&alone, 9, 7, Some(7))));
    assert!(store.accept(voucher(&alone, 70)).wait().is_err());
    drop(store);
    let store = place.open(config()).unwrap();
    let accepted =
        |channel: &vouch_core::channel::ChannelConfig| store.channel(&channel.id(&DOMAIN)).unwrap();
    assert_eq!(accepted(&alone).best, Some(voucher(&alone, 77)));
    assert_eq!(accepted(&spent).best, Some(voucher(&spent, 55)));
}

fn what_is_unknown_stale_or_foreign_is_refused(place: &Place) {
    let time = clock();
    let mut config = config_at(&time);
    config.chain_stale_after_ms = Some(30_000);
    let store = place.open(config.clone()).unwrap();
    let unknown = Call { channel: B256::ZERO, request: B256::ZERO, amount: 1, voucher: None };
    store.set_recent_block(BLOCK);
    assert!(matches!(store.reserve(&unknown), Err(Error::UnknownChannel(_))));
    assert!(matches!(store.observe(B256::ZERO, deposit(1)).wait(), Err(Error::UnknownChannel(_))));
    let channel = open(&*store, 1, Mode::Session);
    let first = pay(&*store, &channel, 1, 1).unwrap();
    time.fetch_add(31_000, Ordering::Relaxed);
    assert!(matches!(pay(&*store, &channel, 2, 1), Err(Error::StaleChain(31))));
    assert_eq!(pay(&*store, &channel, 1, 1).unwrap(), first, "a repeat costs nothing and is given");
    drop(store);
    config.domain.chain = 1;
    let error = place.open(config).unwrap_err();
    assert!(matches!(error, Error::OtherLog { .. }), "{error}");
}

fn receipts_without_a_channel_are_logged_too(place: &Place) {
    let store = place.open(config()).unwrap();
    let alert =
        vouch_core::receipt::Receipt { channel: B256::ZERO, charge: 0, ..draft(&channel(1), 1, 0) };
    let logged = store.append(alert.clone()).wait().unwrap();
    check(&logged);
    assert_eq!((logged.receipt.sequence, logged.receipt.cumulative), (0, 0));
    assert!(matches!(store.append(draft(&channel(1), 1, 0)).wait(), Err(Error::Draft("channel"))));
    drop(store);
    let store = place.open(config()).unwrap();
    assert_eq!((store.size(), store.receipt(0).unwrap().unwrap()), (1, logged));
}

#[test]
fn one_process_has_the_embedded_store_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, _) = EmbeddedStore::open(dir.path(), config()).unwrap();
    let locked = EmbeddedStore::open(dir.path(), config()).unwrap_err();
    assert!(locked.to_string().contains(&std::process::id().to_string()), "{locked}");
}

#[test]
fn a_signer_that_fails_stops_the_store_and_nothing_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut broken = config();
    broken.sign_promise = std::sync::Arc::new(|_| Err("the key is away".to_owned()));
    let (store, _) = EmbeddedStore::open(dir.path(), broken).unwrap();
    let channel = open(&store, 1, Mode::Session);
    let error = pay(&store, &channel, 1, 10).unwrap_err();
    assert!(
        matches!(error, Error::Stopped { .. }) && error.to_string().contains("the key is away")
    );
    assert!(matches!(store.accept(voucher(&channel, 99)).wait(), Err(Error::Stopped { .. })));
    // What is shown may never have been written: who would claim it on the chain is told.
    assert_eq!(store.channel(&channel.id(&DOMAIN)).unwrap().charged, 10);
    assert!(matches!(store.durable().wait(), Err(Error::Stopped { .. })));
    drop(store);
    let (store, opened) = EmbeddedStore::open(dir.path(), config()).unwrap();
    assert_eq!(opened.size, 0);
    assert_eq!(pay(&store, &channel, 1, 10).unwrap().receipt.sequence, 1);
}

on_both! {
    a_call_is_charged_receipted_and_promised,
    uses_of_data_are_committed_with_their_answer,
    uses_of_data_are_committed_with_a_receipt_that_no_channel_pays_for,
    what_cannot_be_credited_is_not_charged,
    a_repeat_gets_the_stored_answer_until_it_expires,
    a_dropped_hold_is_released_and_may_be_made_again,
    stock_mode_is_one_at_a_time_with_exact_vouchers,
    a_public_voucher_pays_for_no_stock_call_also_after_a_restart,
    the_chain_freezes_and_thaws_and_totals_add_up,
    vouchers_are_durable_alone_and_with_their_charge,
    what_is_unknown_stale_or_foreign_is_refused,
    receipts_without_a_channel_are_logged_too,
}
