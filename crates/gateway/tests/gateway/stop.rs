use std::sync::{Arc, atomic::Ordering};

use tokio::sync::Semaphore;
use vouch_core::receipt::Status;
use vouch_store::Store;

use crate::{
    buyer::{Buyer, Next, SessionCall, Stream, chat, streaming},
    harness::Harness,
    stub_engine::{StubEngine, until},
};

async fn gated() -> (Harness, Buyer, Arc<Semaphore>, Arc<std::sync::atomic::AtomicU32>) {
    let mut engine = StubEngine::new("m");
    let gate = Arc::new(Semaphore::new(0));
    engine.gate = Some(Arc::clone(&gate));
    let generated = Arc::clone(&engine.generated);
    let harness = Harness::start(vec![engine]).await;
    let buyer = Buyer::new(6);
    harness.chain.add(buyer.id(), 100_000);
    (harness, buyer, gate, generated)
}

#[tokio::test]
async fn leaving_in_mid_stream_charges_exactly_what_was_generated() {
    let (harness, buyer, gate, generated) = gated().await;
    let body = streaming(chat("m", "hello", 1000));
    let call = SessionCall::new(&harness, &buyer, body, 1, 50_000).await;
    let mut stream = Stream::new({
        gate.add_permits(5);
        call.send(&harness).await
    });
    while stream.assembler.output_ids().len() < 5 {
        assert!(matches!(stream.next().await, Next::Chunk));
    }
    drop(stream);
    until(|| harness.store.channel(&buyer.id()).unwrap().charged > 0).await;
    gate.add_permits(1000);
    let tokens = generated.load(Ordering::SeqCst);
    let channel = harness.store.channel(&buyer.id()).unwrap();
    assert_eq!((tokens, channel.charged, channel.reserved), (5, 60, 0));
    // The receipt that nobody read is fetched by repeating the call.
    let mut repeated = Stream::new(call.send(&harness).await);
    let (_, acknowledgement) = repeated.pay_to_the_end(&harness, &buyer, 0).await;
    assert_eq!(acknowledgement.receipt.status, Status::StoppedByPayer);
    assert_eq!(acknowledgement.receipt.usage.output, 5);
    call.verify(&harness, &buyer, &repeated.response(), &acknowledgement).await;
    harness.stop().await;
}

#[tokio::test]
async fn leaving_before_an_unstreamed_answer_charges_what_was_generated() {
    let (harness, buyer, gate, generated) = gated().await;
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 100), 1, 50_000).await;
    gate.add_permits(3);
    {
        let sending = call.send(&harness);
        tokio::pin!(sending);
        tokio::select! {
            _ = &mut sending => panic!("it answered"),
            () = until(|| generated.load(Ordering::SeqCst) == 3) => {}
        }
    }
    until(|| harness.store.channel(&buyer.id()).unwrap().charged > 0).await;
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().charged, 40);
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().reserved, 0);
    harness.stop().await;
}

#[tokio::test]
async fn an_upstream_that_dies_in_mid_stream_is_owed_what_arrived() {
    let mut engine = StubEngine::new("m");
    engine.fails_after = Some(4);
    let harness = Harness::start(vec![engine]).await;
    let buyer = Buyer::new(6);
    harness.chain.add(buyer.id(), 100_000);
    let body = streaming(chat("m", "hello", 20));
    let call = SessionCall::new(&harness, &buyer, body, 1, 500).await;
    let mut stream = Stream::new(call.send(&harness).await);
    let (_, acknowledgement) = stream.pay_to_the_end(&harness, &buyer, 0).await;
    let receipt = &acknowledgement.receipt;
    assert_eq!((receipt.status, receipt.usage.output), (Status::Failed, 3));
    assert_eq!(receipt.charge, 40);
    call.verify(&harness, &buyer, &stream.response(), &acknowledgement).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_stop_commits_what_runs_and_refuses_what_comes() {
    let (mut harness, buyer, gate, _) = gated().await;
    let body = streaming(chat("m", "hello", 1000));
    let call = SessionCall::new(&harness, &buyer, body, 1, 50_000).await;
    gate.add_permits(2);
    let mut stream = Stream::new(call.send(&harness).await);
    while stream.assembler.output_ids().len() < 2 {
        assert!(matches!(stream.next().await, Next::Chunk));
    }
    harness.begin_stop();
    // The grace passes; the stream then ends in a receipt, not in a broken connection.
    let (_, acknowledgement) = stream.pay_to_the_end(&harness, &buyer, 0).await;
    assert_eq!(acknowledgement.receipt.charge, 30);
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().charged, 30);
}

/// Before the next start a minute may pass, within which the log was promised to have it.
#[tokio::test]
async fn a_stop_leaves_no_receipt_without_a_checkpoint() {
    let (harness, buyer, gate, _) = gated().await;
    gate.add_permits(2);
    let store = Arc::clone(&harness.store);
    for nonce in 1..=2 {
        let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 1), nonce, 50_000).await;
        assert_eq!(call.reply(&harness).await.status, 200);
    }
    harness.stop().await;
    assert_eq!(store.checkpoint().unwrap().checkpoint.size, 2);
}
