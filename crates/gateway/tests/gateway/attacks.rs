//! The attacks that *Five Attacks on x402* (arXiv 2605.11781) and *Free-Riding* (arXiv 2605.30998)
//! name, and what else a payer can try: each against the gateway over real HTTP, and what it costs.
//! Those of a provider are with the buyer's tests, `docs/RELIABILITY.md` lists all.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use alloy_primitives::B256;
use futures_util::future::join_all;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore};
use vouch_core::channel::{ChannelConfig, Freeze, OnChain};
use vouch_gateway::Limits;
use vouch_store::Store;

use crate::{
    buyer::{
        Buyer, CHAT, EMBEDDINGS, Next, Reply, SessionCall, Stream, chat, funded, offer, post,
        post_at, price, send_voucher, streaming,
    },
    harness::{DOMAIN, Harness, QUANTUM, limits},
    stub_engine::{StubEngine, until},
};

/// *Five Attacks*: one payment, replayed many times at once, was granted 248 times. Here one call is
/// run and charged; the others get nothing, or the one answer again.
#[tokio::test]
async fn one_payment_many_grants() {
    const REPLAYS: usize = 250;
    let engine = StubEngine::new("m");
    let started = Arc::clone(&engine.started);
    let (harness, buyer) = funded(engine).await;
    let body = chat("m", "hello", 3).to_string();
    let accepted = offer(&harness, &body).await.accepts.remove(0);
    let payment = buyer.payment(accepted, price(3));
    let replay = async || Reply::read(post(&harness, &body, Some(&payment)).await).await;
    let replies = join_all((0..REPLAYS).map(|_| replay())).await;
    let served = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!((served, started.load(Ordering::SeqCst)), (1, 1), "stock: one grant a payment");
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().charged, price(3));

    let payer = Buyer::new(4);
    harness.chain.add(payer.id(), 100_000);
    let call = SessionCall::new(&harness, &payer, chat("m", "hello", 3), 1, 90_000).await;
    let replies = join_all((0..REPLAYS).map(|_| call.reply(&harness))).await;
    let mut answers = replies.iter().filter(|reply| reply.status == 200);
    let first = answers.next().unwrap().acknowledgement();
    assert!(answers.all(|reply| reply.acknowledgement() == first), "the stored answer, no other");
    assert!(replies.iter().all(|reply| matches!(reply.code(), "no error" | "in_flight")));
    assert_eq!(started.load(Ordering::SeqCst), 2, "session: one run a signed request");
    assert_eq!(harness.store.channel(&payer.id()).unwrap().charged, price(3));
    harness.stop().await;
}

/// *Free-Riding*: a payment for one resource is spent at another. The signed request binds method,
/// path and body; a stock offer binds its amount, which is the resource's maximum.
#[tokio::test]
async fn cross_resource_substitution() {
    let harness = Harness::with_embedder().await;
    let buyer = Buyer::new(3);
    harness.chain.add(buyer.id(), 100_000);
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 90_000).await;
    let dearer = chat("m", "hello", 300).to_string();
    let embed = serde_json::json!({ "model": "e", "input": "hello" }).to_string();
    for (path, body) in [
        (CHAT, &dearer),
        (EMBEDDINGS, &call.body),
        (EMBEDDINGS, &embed),
        ("/v1/completions", &call.body),
    ] {
        let reply = Reply::read(post_at(path, &harness, body, Some(&call.payment)).await).await;
        assert!((400..500).contains(&reply.status), "{path}: {} {}", reply.status, reply.body);
        assert!(reply.settled.is_none(), "{path}");
    }
    let untouched = harness.store.channel(&buyer.id()).is_none_or(|view| view.charged == 0);
    assert!(untouched, "nothing was charged");
    assert_eq!(call.reply(&harness).await.status, 200, "where it belongs it still buys");
    harness.stop().await;
}

/// *Five Attacks*: the same settlement raced to count twice. One deposit is in flight at a time on a
/// channel, so one authorization is sent once; settlement recognises a second by its nonce.
#[tokio::test]
async fn duplicate_settlement_race() {
    let harness = Harness::start(vec![StubEngine::new("m")]).await;
    let buyer = Buyer::new(3);
    let gate = Arc::new(Semaphore::new(0));
    harness.chain.deposit_gate.set(Arc::clone(&gate)).unwrap();
    let mut calls = Vec::new();
    for nonce in 1..=50 {
        let mut call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), nonce, 500).await;
        buyer.deposit(&mut call.payment, 10_000);
        calls.push(call);
    }
    let (replies, ()) =
        tokio::join!(join_all(calls.iter().map(|call| call.reply(&harness))), async {
            until(|| harness.chain.deposits.load(Ordering::SeqCst) == 1).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert_eq!(harness.chain.deposits.load(Ordering::SeqCst), 1);
            gate.add_permits(1);
        });
    let served = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(served, 1, "those beside it are told to wait");
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().on_chain.balance, 10_000);
    harness.stop().await;
}

/// *Free-Riding*: many requests under one allowance, each of which fits it alone.
#[tokio::test]
async fn allowance_overdraft() {
    let engine = StubEngine::new("m");
    let started = Arc::clone(&engine.started);
    let (harness, buyer) = funded(engine).await;
    // Enough for three answers; thirty are asked for at once.
    let allowance = 3 * price(3);
    let mut calls = Vec::new();
    for nonce in 1..=30 {
        calls.push(
            SessionCall::new(&harness, &buyer, chat("m", "hello", 3), nonce, allowance).await,
        );
    }
    let replies = join_all(calls.iter().map(|call| call.reply(&harness))).await;
    let served = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!((served, started.load(Ordering::SeqCst)), (3, 3));
    assert!(replies.iter().all(|reply| matches!(reply.code(), "no error" | "voucher_needed")));
    let view = harness.store.channel(&buyer.id()).unwrap();
    assert_eq!((view.charged, view.accepted, view.reserved), (allowance, allowance, 0));
    harness.stop().await;
}

/// *Free-Riding*: the payer makes settlement fail once it has the work. Here the money is in the
/// channel before the work; a notice to withdraw stops a stream at its quantum, and what was served
/// is covered by a voucher that the settler claims at once (`settle`'s tests).
#[tokio::test]
async fn denial_of_settlement_by_a_withdrawal_in_mid_stream() {
    let mut engine = StubEngine::new("m");
    let gate = Arc::new(Semaphore::new(0));
    engine.gate = Some(Arc::clone(&gate));
    let generated = Arc::clone(&engine.generated);
    let (harness, buyer) = funded(engine).await;
    let quantum = u128::from(QUANTUM);
    let body = streaming(chat("m", "hello", 1000));
    let call = SessionCall::new(&harness, &buyer, body, 1, price(quantum)).await;
    // A quantum, and the token after it: the answer begins with the first.
    gate.add_permits(QUANTUM as usize + 1);
    let mut stream = Stream::new(call.send(&harness).await);
    let receipt = loop {
        match stream.next().await {
            // The notice is on the chain before the voucher for the next quantum comes.
            Next::Voucher(asked) => {
                let whole =
                    OnChain { balance: 100_000, withdrawing: 100_000, ..OnChain::default() };
                let seen = harness.store.observe(buyer.id(), whole).await.unwrap();
                assert!(seen.channel.frozen.is_some());
                let reply = send_voucher(&harness, &buyer.voucher(asked.required)).await;
                assert_eq!((reply.status, reply.code()), (409, "channel_frozen"));
                gate.add_permits(1000);
            }
            Next::Receipt(found) => break found.receipt,
            Next::Chunk => {}
            Next::Done | Next::End => panic!("no receipt"),
        }
    };
    assert!(receipt.charge <= price(quantum), "{}", receipt.charge);
    assert!(generated.load(Ordering::SeqCst) <= QUANTUM + 1, "one token beyond what is paid");
    let view = harness.store.channel(&buyer.id()).unwrap();
    // Uncovered: all of the deposit is leaving. What was charged is below the voucher in hand.
    assert_eq!(view.frozen, Some(Freeze::Uncovered));
    assert!(view.charged <= view.accepted);
    harness.stop().await;
}

/// *Five Attacks*: paid content that a proxy keeps is given to those who paid nothing.
#[tokio::test]
async fn cached_paid_content() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 90_000).await;
    let stream =
        SessionCall::new(&harness, &buyer, streaming(chat("m", "hello", 3)), 2, 90_000).await;
    for response in [
        call.send(&harness).await,
        call.send(&harness).await,
        stream.send(&harness).await,
        post(&harness, &call.body, None).await,
    ] {
        let cache = response.headers()["cache-control"].to_str().unwrap();
        assert!(cache.contains("no-store"), "{}: {cache}", response.status());
    }
    harness.stop().await;
}

/// *Free-Riding*: an offer or listing of somebody else's steers the payment. Whom a payment names is
/// compared with what this gateway offers, part by part.
#[tokio::test]
async fn discovery_steering() {
    let (harness, buyer) = funded(StubEngine::new("m")).await;
    let body = chat("m", "hello", 3).to_string();
    let accepted = offer(&harness, &body).await.accepts.remove(0);
    let elsewhere = alloy_primitives::Address::repeat_byte(0x66);
    let mut cheaper = accepted.clone();
    cheaper.amount = 1;
    let mut other_payee = accepted.clone();
    other_payee.pay_to = elsewhere;
    let mut other_asset = accepted.clone();
    other_asset.asset = elsewhere;
    let mut other_network = accepted.clone();
    other_network.network = "eip155:1".into();
    for steered in [cheaper, other_payee, other_asset, other_network] {
        let payment = buyer.payment(steered.clone(), price(3));
        let reply = Reply::read(post(&harness, &body, Some(&payment)).await).await;
        assert!((400..500).contains(&reply.status), "{steered:?}: {}", reply.status);
        assert!(harness.store.channel(&buyer.id()).is_none_or(|view| view.charged == 0));
    }
    // A channel that pays another is not this gateway's, whatever its offer says.
    let mut foreign = buyer.payment(accepted, price(3));
    foreign.payload.channel_config = ChannelConfig { receiver: elsewhere, ..buyer.config };
    let reply = Reply::read(post(&harness, &body, Some(&foreign)).await).await;
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    harness.stop().await;
}

/// A payer that opens connections and says nothing, and one that reads nothing of a long answer:
/// others are served, and what is generated for it stays within what it paid.
#[tokio::test]
async fn a_payer_that_floods_and_reads_slowly() {
    let engine = StubEngine::new("m");
    let generated = Arc::clone(&engine.generated);
    let limits = Limits { stall_timeout: Duration::from_millis(500), ..limits() };
    let harness = Harness::start_with(vec![engine], limits).await;
    let (slow, other) = (Buyer::new(3), Buyer::new(4));
    for buyer in [&slow, &other] {
        harness.chain.add(buyer.id(), 100_000_000);
    }
    let address = harness.url.strip_prefix("http://").unwrap().to_owned();
    let mut silent = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(b"POST /v1/chat").await.unwrap();
        silent.push(stream);
    }
    let body = streaming(chat("m", "hello", 2_000));
    let call = SessionCall::new(&harness, &slow, body, 1, 900_000).await;
    let unread = call.send(&harness).await;
    let call = SessionCall::new(&harness, &other, chat("m", "hello", 3), 2, 500).await;
    assert_eq!(call.reply(&harness).await.status, 200);
    // It is given up, and charged what was generated for it.
    until(|| harness.store.channel(&slow.id()).is_some_and(|view| view.reserved == 0)).await;
    let view = harness.store.channel(&slow.id()).unwrap();
    let tokens = u128::from(generated.load(Ordering::SeqCst) - 3);
    assert!(view.charged > 0 && view.charged <= price(tokens), "{} for {tokens}", view.charged);
    drop((unread, silent));
    harness.stop().await;
}

/// A payer with a thousand channels that hold nothing: none is kept, and none costs a transaction.
#[tokio::test]
async fn a_payer_with_a_thousand_channels() {
    let engine = StubEngine::new("m");
    let started = Arc::clone(&engine.started);
    let harness = Harness::start(vec![engine]).await;
    let mut buyer = Buyer::new(3);
    let mut call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    let terms = harness.model("m").await.terms_hash;
    for number in 0..1_000_u64 {
        buyer.config.salt = B256::from(alloy_primitives::U256::from(number));
        let nonce = B256::from(alloy_primitives::U256::from(number + 1));
        call.payment.payload.channel_config = buyer.config;
        call.payment.payload.voucher = buyer.voucher(500).into();
        let body = call.body.clone();
        let info = call.info();
        info.nonce = Some(nonce);
        info.authorization = Some(buyer.authorization(terms, nonce, &body, 1_000_000));
        let reply = call.reply(&harness).await;
        assert!((400..500).contains(&reply.status), "{}", reply.status);
    }
    assert_eq!(started.load(Ordering::SeqCst), 0);
    assert_eq!(harness.chain.deposits.load(Ordering::SeqCst), 0);
    assert_eq!(harness.store.channels().len(), 0, "an empty channel is not kept");
    assert_eq!(buyer.config.id(&DOMAIN), buyer.id());
    harness.stop().await;
}
