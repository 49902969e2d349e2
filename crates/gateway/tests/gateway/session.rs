use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use vouch_core::{
    receipt::{Status, Tier, flags},
    signature::Signature,
};
use vouch_gateway::Limits;
use vouch_store::Store;

use crate::{
    buyer::{Buyer, Next, SessionCall, Stream, chat, funded, price, send_voucher, streaming},
    harness::{DOMAIN, Harness, limits, secret},
    stub_engine::{StubEngine, until},
};

#[tokio::test]
async fn an_answer_is_charged_receipted_and_verified() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    let reply = call.reply(&harness).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["choices"][0]["message"]["content"], "t0 t1 t2 ");
    assert_eq!(reply.body["choices"][0]["finish_reason"], "length");
    assert_eq!(reply.body["vouch"]["outputIds"].as_array().unwrap().len(), 3);
    let acknowledgement = reply.acknowledgement();
    let receipt = &acknowledgement.receipt;
    assert_eq!((receipt.charge, receipt.cumulative, receipt.sequence), (price(3), price(3), 1));
    assert_eq!(
        (receipt.status, receipt.tier, receipt.flags),
        (Status::Complete, Tier::Replayed, 0)
    );
    call.verify(&harness, &buyer, &reply.body, acknowledgement).await;
    let channel = harness.store.channel(&buyer.id()).unwrap();
    assert_eq!((channel.charged, channel.reserved, channel.accepted), (price(3), 0, 500));
    harness.stop().await;
}

#[tokio::test]
async fn a_stream_is_metered_quantum_by_quantum_and_assembles_to_its_receipt() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    let body = streaming(chat("m", "hello", 50));
    // Enough for one quantum of 8 tokens alone.
    let call = SessionCall::new(&harness, &buyer, body, 1, price(8)).await;
    let mut stream = Stream::new(call.send(&harness).await);
    let (vouchers, acknowledgement) = stream.pay_to_the_end(&harness, &buyer, u128::MAX).await;
    assert!(vouchers >= 4, "{vouchers} vouchers for 50 tokens");
    assert_eq!(acknowledgement.receipt.charge, price(50));
    call.verify(&harness, &buyer, &stream.response(), &acknowledgement).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_seed_and_a_stop_are_the_callers() {
    let mut engine = StubEngine::new("m");
    engine.length = 2;
    let (harness, buyer) = funded(engine).await;
    let mut body = chat("m", "hello", 30);
    body["seed"] = (-7).into();
    let call = SessionCall::new(&harness, &buyer, body, 1, 5000).await;
    let reply = call.reply(&harness).await;
    assert_eq!(reply.body["choices"][0]["finish_reason"], "stop");
    assert_eq!(reply.acknowledgement().receipt.flags, flags::CALLERS_SEED);
    call.verify(&harness, &buyer, &reply.body, reply.acknowledgement()).await;
    harness.stop().await;
}

#[tokio::test]
async fn without_a_voucher_a_stream_ends_out_of_funds_and_charges_what_it_gave() {
    let mut limits = limits();
    limits.voucher_timeout = std::time::Duration::from_millis(100);
    let harness = Harness::start_with(vec![StubEngine::new("m")], limits).await;
    let buyer = Buyer::new(3);
    harness.chain.add(buyer.id(), 100_000);
    // Eleven tokens: one quantum and a part of the next.
    let body = streaming(chat("m", "hello", 50));
    let call = SessionCall::new(&harness, &buyer, body, 1, price(11)).await;
    let mut stream = Stream::new(call.send(&harness).await);
    let (_, acknowledgement) = stream.pay_to_the_end(&harness, &buyer, 0).await;
    let receipt = &acknowledgement.receipt;
    assert_eq!((receipt.status, receipt.usage.output), (Status::OutOfFunds, 11));
    assert_eq!(receipt.charge, price(11));
    let response = stream.response();
    assert!(response["choices"][0]["finish_reason"].is_null());
    call.verify(&harness, &buyer, &response, &acknowledgement).await;
    harness.stop().await;
}

#[tokio::test]
async fn the_payers_maximum_ends_a_call() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    for (stream, nonce) in [(false, 1), (true, 2)] {
        let body = chat("m", "hello", 50);
        let body = if stream { streaming(body) } else { body };
        let mut call = SessionCall::new(&harness, &buyer, body, nonce, 5000).await;
        let terms = harness.model("m").await.terms_hash;
        let authorization = buyer.authorization(terms, call.nonce, &call.body, price(4) + 9);
        call.info().authorization = Some(authorization);
        let (response, acknowledgement) = if stream {
            let mut stream = Stream::new(call.send(&harness).await);
            let (_, acknowledgement) = stream.pay_to_the_end(&harness, &buyer, 0).await;
            (stream.response(), acknowledgement)
        } else {
            let reply = call.reply(&harness).await;
            (reply.body.clone(), reply.acknowledgement().clone())
        };
        assert_eq!(acknowledgement.receipt.status, Status::OutOfFunds);
        assert_eq!(acknowledgement.receipt.charge, price(4));
        call.verify(&harness, &buyer, &response, &acknowledgement).await;
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_repeat_gets_the_same_answer_and_is_charged_once() {
    let engine = StubEngine::new("m");
    let started = Arc::clone(&engine.started);
    let (harness, buyer) = funded(engine).await;
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    let first = call.reply(&harness).await;
    // Also long after the request has expired: this is how a lost receipt is fetched.
    harness.advance(3000);
    let again = call.reply(&harness).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.acknowledgement(), first.acknowledgement());
    assert_eq!(started.load(Ordering::SeqCst), 1);
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().charged, price(3));
    harness.stop().await;
}

#[tokio::test]
async fn a_repeat_is_answered_though_the_model_is_sold_no_more() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    let first = call.reply(&harness).await;
    let harness = harness.restart(vec![StubEngine::new("other")]).await;
    let again = call.reply(&harness).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.acknowledgement(), first.acknowledgement());
    // It is the payer's alone.
    let mut stolen = call;
    let authorization = stolen.info().authorization.as_mut().unwrap();
    authorization.signature = Signature::sign(authorization.request.digest(&DOMAIN), &secret(9));
    let refused = stolen.reply(&harness).await;
    assert_eq!((refused.status, refused.code()), (404, "model_not_found"));
    harness.stop().await;
}

#[tokio::test]
async fn a_streamed_call_is_repeated_as_a_stream() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    let mut body = streaming(chat("m", "hello", 6));
    body["stream_options"] = serde_json::json!({"include_usage": true});
    let call = SessionCall::new(&harness, &buyer, body, 1, 500).await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut stream = Stream::new(call.send(&harness).await);
        let (_, acknowledgement) = stream.pay_to_the_end(&harness, &buyer, 0).await;
        answers.push((stream.response(), acknowledgement));
    }
    assert_eq!(answers[0], answers[1]);
    harness.stop().await;
}

#[tokio::test]
async fn a_call_that_waited_past_its_expiry_does_not_begin() {
    let mut engine = StubEngine::new("m");
    let (gate, started) = (Arc::new(Semaphore::new(0)), Arc::clone(&engine.started));
    engine.gate = Some(Arc::clone(&gate));
    let patient = Limits { max_running: 1, queue_timeout: Duration::from_secs(10), ..limits() };
    let harness = Harness::start_with(vec![engine], patient).await;
    let buyer = Buyer::new(3);
    harness.chain.add(buyer.id(), 100_000);
    let first = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    let second = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 2, 500).await;
    let (first, second) = tokio::join!(first.reply(&harness), async {
        until(|| started.load(Ordering::SeqCst) == 1).await;
        let waiting = second.reply(&harness);
        let later = async {
            until(|| harness.store.channel(&buyer.id()).unwrap().reserved > price(3)).await;
            harness.advance(3000);
            gate.add_permits(100);
        };
        tokio::join!(waiting, later).0
    });
    assert_eq!(first.status, 200);
    assert_eq!((second.status, second.code()), (402, "request_expired"));
    let channel = harness.store.channel(&buyer.id()).unwrap();
    assert_eq!((channel.charged, channel.reserved), (price(3), 0));
    harness.stop().await;
}

#[tokio::test]
async fn a_repeat_while_the_first_runs_is_refused() {
    let mut engine = StubEngine::new("m");
    let gate = Arc::new(Semaphore::new(0));
    engine.gate = Some(Arc::clone(&gate));
    let started = Arc::clone(&engine.started);
    let (harness, buyer) = funded(engine).await;
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    let (first, second) = tokio::join!(call.reply(&harness), async {
        until(|| started.load(Ordering::SeqCst) == 1).await;
        let second = call.reply(&harness).await;
        gate.add_permits(100);
        second
    });
    assert_eq!((second.status, second.code()), (409, "in_flight"));
    assert_eq!(first.status, 200);
    harness.stop().await;
}

#[tokio::test]
async fn many_calls_at_once_on_one_channel_add_up() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    let mut calls = Vec::new();
    for nonce in 1..=40 {
        let body = chat("m", "hello", u32::from(nonce % 7) + 1);
        // Each carries another voucher; most are overtaken by a higher one.
        let voucher = 20_000 + u128::from(nonce);
        calls.push(SessionCall::new(&harness, &buyer, body, nonce, voucher).await);
    }
    let replies = join_all(calls.iter().map(|call| call.reply(&harness))).await;
    let mut receipts: Vec<_> = replies
        .iter()
        .map(|reply| {
            assert_eq!(reply.status, 200, "{}", reply.body);
            reply.acknowledgement().receipt.clone()
        })
        .collect();
    receipts.sort_by_key(|receipt| receipt.sequence);
    let mut total = 0;
    for (receipt, sequence) in receipts.iter().zip(1..) {
        total += receipt.charge;
        assert_eq!((receipt.sequence, receipt.cumulative), (sequence, total));
    }
    let channel = harness.store.channel(&buyer.id()).unwrap();
    assert_eq!((channel.charged, channel.reserved), (total, 0));
    harness.stop().await;
}

#[tokio::test]
async fn streams_share_a_channel_and_its_vouchers() {
    let mut engine = StubEngine::new("m");
    let gate = Arc::new(Semaphore::new(0));
    engine.gate = Some(Arc::clone(&gate));
    let started = Arc::clone(&engine.started);
    let (harness, buyer) = funded(engine).await;
    let mut calls = Vec::new();
    for nonce in 1..=3 {
        let body = streaming(chat("m", "hello", 40));
        calls.push(SessionCall::new(&harness, &buyer, body, nonce, 3 * price(8)).await);
    }
    let buyer = &buyer;
    let harness = &harness;
    let paid = calls.iter().map(|call| async move {
        let mut stream = Stream::new(call.send(harness).await);
        loop {
            match stream.next().await {
                Next::Voucher(asked) => {
                    // Another stream's voucher may be higher already: that is no failure.
                    let reply = send_voucher(harness, &buyer.voucher(asked.required)).await;
                    assert!(matches!(reply.code(), "no error" | "voucher_lower"), "{}", reply.body);
                }
                Next::Receipt(found) => return found.receipt,
                Next::Chunk => {}
                Next::Done | Next::End => panic!("no receipt"),
            }
        }
    });
    // All have their first quantum before one asks for its next.
    let open = async {
        until(|| started.load(Ordering::SeqCst) == 3).await;
        gate.add_permits(120);
    };
    let (receipts, ()) = tokio::join!(join_all(paid), open);
    assert!(receipts.iter().all(|r| r.status == Status::Complete && r.charge == price(40)));
}

#[tokio::test]
async fn a_deposit_comes_with_a_call() {
    let harness = Harness::start(vec![StubEngine::new("m")]).await;
    let buyer = Buyer::new(3);
    let mut call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    buyer.deposit(&mut call.payment, 10_000);
    let reply = call.reply(&harness).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let settled = reply.settled.as_ref().unwrap();
    assert_eq!(settled.transaction, format!("0x{}", "de".repeat(32)));
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().on_chain.balance, 10_000);
    harness.stop().await;
}

#[tokio::test]
async fn an_engine_without_ids_is_receipted_as_such_and_held_to_what_was_asked() {
    let mut engine = StubEngine::new("m");
    engine.ids = false;
    engine.claims = Some(1_000_000);
    let (harness, buyer) = funded(engine).await;
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    let reply = call.reply(&harness).await;
    let receipt = &reply.acknowledgement().receipt;
    assert_eq!((receipt.tier, receipt.flags), (Tier::Signed, flags::NO_TOKEN_IDS));
    assert_eq!((receipt.usage.output, receipt.charge), (3, price(3)));
    assert!(reply.body.get("vouch").is_none());
    call.verify(&harness, &buyer, &reply.body, reply.acknowledgement()).await;
    harness.stop().await;
}
