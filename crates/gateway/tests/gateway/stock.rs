use std::sync::{Arc, atomic::Ordering};

use serde_json::Value;
use tokio::sync::Semaphore;
use vouch_core::receipt::flags;
use vouch_gateway::SettlementError;
use vouch_store::Store;
use vouch_wire::x402::{BatchType, PAYMENT_SIGNATURE, code, encode};

use crate::{
    buyer::{Buyer, CHAT, Reply, SessionCall, Stream, chat, funded, offer, post, streaming},
    harness::Harness,
    stub_engine::{StubEngine, until},
};

/// Pays as a stock client does: the charged total plus the offer's amount.
async fn pay(harness: &Harness, buyer: &Buyer, body: &Value, charged: u128) -> Reply {
    let body = body.to_string();
    let accepted = offer(harness, &body).await.accepts.remove(0);
    let total = charged + accepted.amount;
    let payment = buyer.payment(accepted, total);
    Reply::read(post(harness, &body, Some(&payment)).await).await
}

#[tokio::test]
async fn a_stock_client_pays_exactly_and_counts_on() {
    let mut engine = StubEngine::new("m");
    engine.length = 2;
    let (harness, buyer) = funded(engine).await;
    let mut charged = 0;
    for sequence in 1..=3 {
        let reply = pay(&harness, &buyer, &chat("m", "hello", 10), charged).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let settled = reply.settled.as_ref().unwrap();
        let extra = settled.extra.as_ref().unwrap();
        // Offered were 10 tokens; the model stopped after 2.
        assert_eq!(extra.charged_amount, Some(30));
        charged += 30;
        let state = extra.channel_state.as_ref().unwrap();
        assert_eq!(state.charged_cumulative_amount, charged);
        assert!(settled.success && settled.transaction.is_empty());
        assert_eq!(settled.amount.as_deref(), Some(""));
        let receipt = &reply.acknowledgement().receipt;
        assert_eq!((receipt.flags, receipt.sequence), (flags::PROVIDERS_NONCE, sequence));
        assert_eq!(receipt.cumulative, charged);
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_stock_stream_comes_at_once_with_its_header() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    let body = streaming(chat("m", "hello", 4)).to_string();
    let accepted = offer(&harness, &body).await.accepts.remove(0);
    let payment = buyer.payment(accepted, 50);
    let response = post(&harness, &body, Some(&payment)).await;
    assert!(response.headers().contains_key("payment-response"));
    let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("payment-response") && exposed.contains("payment-required"));
    let mut stream = Stream::new(response);
    while let crate::buyer::Next::Chunk = stream.next().await {}
    assert_eq!(stream.assembler.text(), "t0 t1 t2 t3 ");
    harness.stop().await;
}

#[tokio::test]
async fn a_wrong_total_is_answered_with_the_right_one() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    let body = chat("m", "hello", 3);
    assert_eq!(pay(&harness, &buyer, &body, 0).await.status, 200);
    // The same voucher again, a lower one and a higher one are all not the total plus the maximum.
    for charged in [0, 10, 1000] {
        let reply = pay(&harness, &buyer, &body, charged).await;
        assert_eq!((reply.status, reply.code()), (402, code::CUMULATIVE_AMOUNT_MISMATCH));
        let required = reply.error_header.unwrap();
        assert_eq!(required.error.as_deref(), Some(code::CUMULATIVE_AMOUNT_MISMATCH));
        let extra = &required.accepts[0].extra;
        assert_eq!(extra.channel_state.as_ref().unwrap().charged_cumulative_amount, 40);
        let voucher = extra.voucher_state.as_ref().unwrap();
        assert_eq!(voucher.signed_max_claimable, 40);
        assert_eq!(voucher.signature, buyer.voucher(40).signature);
    }
    assert_eq!(pay(&harness, &buyer, &body, 40).await.status, 200);
    harness.stop().await;
}

#[tokio::test]
async fn an_offer_is_for_one_call_alone() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    let cheap = chat("m", "hello", 1).to_string();
    let accepted = offer(&harness, &cheap).await.accepts.remove(0);
    let payment = buyer.payment(accepted.clone(), accepted.amount);
    let dear = chat("m", "hello", 100).to_string();
    let reply = Reply::read(post(&harness, &dear, Some(&payment)).await).await;
    assert_eq!((reply.status, reply.code()), (402, "offer_mismatch"));
    assert_eq!(reply.error_header.unwrap().accepts[0].amount, 1010);
    harness.stop().await;
}

#[tokio::test]
async fn a_second_call_waits_briefly_for_the_first() {
    let mut engine = StubEngine::new("m");
    let gate = Arc::new(Semaphore::new(0));
    engine.gate = Some(Arc::clone(&gate));
    let started = Arc::clone(&engine.started);
    let (harness, buyer) = funded(engine).await;
    let body = chat("m", "hello", 3);
    let (first, second) = tokio::join!(pay(&harness, &buyer, &body, 0), async {
        until(|| started.load(Ordering::SeqCst) == 1).await;
        let busy = pay(&harness, &buyer, &body, 40).await;
        assert_eq!((busy.status, busy.code()), (402, code::CHANNEL_BUSY));
        assert!(busy.retry_after.is_some());
        let open = async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            gate.add_permits(100);
        };
        tokio::join!(pay(&harness, &buyer, &body, 40), open).0
    });
    assert_eq!((first.status, second.status), (200, 200));
    harness.stop().await;
}

#[tokio::test]
async fn a_deposit_has_three_outcomes() {
    let harness = Harness::start(vec![StubEngine::new("m")]).await;
    let buyer = Buyer::new(5);
    let body = chat("m", "hello", 3).to_string();
    let accepted = offer(&harness, &body).await.accepts.remove(0);
    let mut payment = buyer.payment(accepted, 40);
    buyer.deposit(&mut payment, 1000);
    let send = async || Reply::read(post(&harness, &body, Some(&payment)).await).await;

    *harness.chain.deposit_meets.lock().unwrap() = Some(SettlementError::Failed("a test".into()));
    let failed = send().await;
    assert_eq!((failed.status, failed.code()), (402, code::DEPOSIT_TRANSACTION_FAILED));

    // An unknown outcome is never answered with a 402: that would ask for a second deposit.
    *harness.chain.deposit_meets.lock().unwrap() = Some(SettlementError::Unknown("a test".into()));
    let unknown = send().await;
    assert_eq!((unknown.status, unknown.code()), (503, code::VERIFICATION_STATE_UNAVAILABLE));
    assert!(unknown.error_header.is_none());

    let settled = send().await;
    assert_eq!(settled.status, 200, "{}", settled.body);
    assert!(!settled.settled.unwrap().transaction.is_empty());
    harness.stop().await;
}

#[tokio::test]
async fn a_deposit_whose_call_failed_is_still_told() {
    let mut engine = StubEngine::new("m");
    engine.fails_after = Some(1);
    let harness = Harness::start(vec![engine]).await;
    let buyer = Buyer::new(5);
    let body = chat("m", "hello", 3).to_string();
    let accepted = offer(&harness, &body).await.accepts.remove(0);
    let mut payment = buyer.payment(accepted, 40);
    buyer.deposit(&mut payment, 1000);
    let reply = Reply::read(post(&harness, &body, Some(&payment)).await).await;
    assert_eq!((reply.status, reply.code()), (502, "upstream_unavailable"));
    let settled = reply.settled.unwrap();
    assert_eq!(settled.extra.unwrap().charged_amount, Some(0));
    assert!(settled.success && !settled.transaction.is_empty());
    harness.stop().await;
}

#[tokio::test]
async fn a_channel_keeps_its_mode() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    assert_eq!(pay(&harness, &buyer, &chat("m", "hello", 3), 0).await.status, 200);
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    let reply = call.reply(&harness).await;
    assert_eq!((reply.status, reply.code()), (409, "channel_mode"));
    harness.stop().await;
}

#[tokio::test]
async fn a_refund_closes_the_channel_as_the_stock_client_asks() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    assert_eq!(pay(&harness, &buyer, &chat("m", "hello", 3), 0).await.status, 200);
    // The client looks for the offer with GET, then sends the refund with GET.
    let probe = Reply::read(harness.get(CHAT).await).await;
    let accepted = probe.error_header.unwrap().accepts.remove(0);
    let refund = async |voucher| {
        let mut payment = buyer.payment(accepted.clone(), voucher);
        payment.payload.r#type = BatchType::Refund;
        let request = harness.http.get(format!("{}{CHAT}", harness.url));
        let request = request.header(PAYMENT_SIGNATURE, encode(&payment).unwrap());
        Reply::read(request.send().await.unwrap()).await
    };
    let early = refund(10).await;
    assert_eq!((early.status, early.code()), (402, code::CUMULATIVE_AMOUNT_MISMATCH));
    assert!(harness.chain.closed.lock().unwrap().is_empty());
    let closed = refund(40).await;
    assert_eq!(closed.status, 200, "{}", closed.body);
    let settled = closed.settled.unwrap();
    assert_eq!(settled.transaction, format!("0x{}", "c1".repeat(32)));
    assert_eq!(settled.amount.as_deref(), Some("99960"));
    // The channel as the refund left it, not as it found it.
    let state = settled.extra.unwrap().channel_state.unwrap();
    assert_eq!((state.balance, state.total_claimed), (40, 40));
    assert_eq!((state.charged_cumulative_amount, state.refund_nonce), (40, 1));
    let again = refund(40).await.settled.unwrap();
    assert_eq!(again.amount.as_deref(), Some("0"));
    assert_eq!(again.extra.unwrap().channel_state.unwrap(), state);
    assert_eq!(*harness.chain.closed.lock().unwrap(), [buyer.id(); 2]);
    let late = pay(&harness, &buyer, &chat("m", "hello", 3), 40).await;
    assert_eq!((late.status, late.code()), (409, "channel_frozen"));
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().charged, 40);
    harness.stop().await;
}

#[tokio::test]
async fn a_voucher_that_a_claim_has_shown_to_everyone_buys_nothing() {
    let mut engine = StubEngine::new("m");
    engine.length = 2;
    let (harness, buyer) = funded(engine).await;
    // Offered were 110, charged are 30: the voucher would still cover another call of 80.
    assert_eq!(pay(&harness, &buyer, &chat("m", "hello", 10), 0).await.status, 200);
    harness.store.publish(buyer.id(), 110).await.unwrap();
    let body = chat("m", "hello", 7).to_string();
    let accepted = offer(&harness, &body).await.accepts.remove(0);
    assert_eq!(accepted.amount, 80);
    let stolen = buyer.payment(accepted, 110);
    let reply = Reply::read(post(&harness, &body, Some(&stolen)).await).await;
    assert_eq!((reply.status, reply.code()), (402, code::CUMULATIVE_AMOUNT_MISMATCH));
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().charged, 30);
    // The payer itself goes on with a unit more, as the refusal offers, and is not charged it.
    let corrected = reply.error_header.unwrap().accepts.remove(0);
    assert_eq!(corrected.amount, 81);
    let again = buyer.payment(corrected.clone(), 111);
    let reply = Reply::read(post(&harness, &body, Some(&again)).await).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().charged, 60);
    // More than a unit for each public voucher is no offer of ours.
    let mut dear = corrected;
    dear.amount = 82;
    let reply = Reply::read(post(&harness, &body, Some(&buyer.payment(dear, 142))).await).await;
    assert_eq!((reply.status, reply.code()), (402, "offer_mismatch"));
    harness.stop().await;
}
