//! Deposits: sent only where they help, seen through whoever leaves, told whatever follows.

use std::sync::{Arc, atomic::Ordering};

use tokio::sync::Semaphore;
use vouch_core::channel::{Freeze, OnChain};
use vouch_store::Store;
use vouch_wire::x402::code;

use crate::{
    bad_input::check,
    buyer::{Buyer, Reply, SessionCall, chat, offer, post},
    harness::{Harness, limits},
    stub_engine::{StubEngine, until},
};

async fn start() -> (Harness, Buyer) {
    (Harness::start(vec![StubEngine::new("m")]).await, Buyer::new(5))
}

/// A session call whose voucher is over `voucher`, with a deposit.
async fn call(harness: &Harness, buyer: &Buyer, voucher: u128, deposit: u128) -> SessionCall {
    let mut call = SessionCall::new(harness, buyer, chat("m", "hello", 3), 1, voucher).await;
    buyer.deposit(&mut call.payment, deposit);
    call
}

#[tokio::test]
async fn a_deposit_that_helps_nobody_is_not_sent() {
    let (harness, buyer) = start().await;
    let cases = [
        (500, 0, "deposit_zero"),
        (501, 500, code::CUMULATIVE_EXCEEDS_BALANCE),
        (39, 500, "voucher_needed"),
    ];
    for (voucher, deposit, code) in cases {
        check(&call(&harness, &buyer, voucher, deposit).await.reply(&harness).await, 402, code);
    }
    let body = chat("m", "hello", 3).to_string();
    let mut stock = buyer.payment(offer(&harness, &body).await.accepts.remove(0), 41);
    buyer.deposit(&mut stock, 500);
    let reply = Reply::read(post(&harness, &body, Some(&stock)).await).await;
    check(&reply, 402, code::CUMULATIVE_AMOUNT_MISMATCH);
    assert_eq!(harness.chain.deposits.load(Ordering::SeqCst), 0);
    assert!(harness.store.channel(&buyer.id()).is_none());
    harness.stop().await;
}

#[tokio::test]
async fn a_deposit_into_a_frozen_channel_or_one_of_the_other_mode_is_not_sent() {
    let (harness, buyer) = start().await;
    let stock = Buyer::new(6);
    harness.chain.add(stock.id(), 500);
    let body = chat("m", "hello", 3).to_string();
    let payment = stock.payment(offer(&harness, &body).await.accepts.remove(0), 40);
    assert_eq!(post(&harness, &body, Some(&payment)).await.status(), 200);
    check(&call(&harness, &stock, 500, 500).await.reply(&harness).await, 409, "channel_mode");

    let first = call(&harness, &buyer, 500, 500).await;
    assert_eq!(first.reply(&harness).await.status, 200);
    let withdrawing = OnChain { balance: 500, withdrawing: 500, ..Default::default() };
    harness.chain.channels.lock().unwrap().insert(buyer.id(), withdrawing);
    let mut second = call(&harness, &buyer, 500, 500).await;
    second.nonce.0[0] = 9;
    let terms = harness.model("m").await.terms_hash;
    let signed = buyer.authorization(terms, second.nonce, &second.body, 1000);
    (second.info().nonce, second.info().authorization) = (Some(second.nonce), Some(signed));
    check(&second.reply(&harness).await, 409, "channel_frozen");
    let frozen = harness.store.channel(&buyer.id()).unwrap().frozen;
    assert_eq!(frozen, Some(Freeze::Uncovered));
    assert_eq!(harness.chain.deposits.load(Ordering::SeqCst), 1);
    harness.stop().await;
}

#[tokio::test]
async fn a_deposit_is_told_although_its_call_found_no_place() {
    let mut engine = StubEngine::new("m");
    let gate = Arc::new(Semaphore::new(0));
    engine.gate = Some(Arc::clone(&gate));
    let started = Arc::clone(&engine.started);
    let mut limits = limits();
    (limits.max_running, limits.max_waiting) = (1, 0);
    let harness = Harness::start_with(vec![engine], limits).await;
    let other = Buyer::new(9);
    harness.chain.add(other.id(), 1000);
    let first = SessionCall::new(&harness, &other, chat("m", "hello", 3), 1, 500).await;
    let buyer = Buyer::new(5);
    let second = call(&harness, &buyer, 500, 500).await;
    let (first, second) = tokio::join!(first.reply(&harness), async {
        until(|| started.load(Ordering::SeqCst) == 1).await;
        let reply = second.reply(&harness).await;
        gate.add_permits(10);
        reply
    });
    assert_eq!(first.status, 200);
    check(&second, 429, "too_busy");
    let settled = second.settled.unwrap();
    assert!(settled.success && !settled.transaction.is_empty());
    assert_eq!(settled.extra.unwrap().channel_state.unwrap().balance, 500);
    harness.stop().await;
}

#[tokio::test]
async fn a_deposit_is_seen_through_although_its_caller_left() {
    let (harness, buyer) = start().await;
    let gate = Arc::new(Semaphore::new(0));
    harness.chain.deposit_gate.set(Arc::clone(&gate)).unwrap();
    let call = call(&harness, &buyer, 500, 500).await;
    {
        let sending = call.send(&harness);
        tokio::pin!(sending);
        tokio::select! {
            _ = &mut sending => panic!("it answered"),
            () = until(|| harness.chain.deposits.load(Ordering::SeqCst) == 1) => {}
        }
    }
    // The same authorization is not sent a second time beside the first.
    let again = call.reply(&harness).await;
    check(&again, 409, "deposit_in_flight");
    gate.add_permits(1);
    until(|| harness.store.channel(&buyer.id()).is_some()).await;
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().on_chain.balance, 500);
    assert_eq!(harness.chain.deposits.load(Ordering::SeqCst), 1);
    harness.stop().await;
}
