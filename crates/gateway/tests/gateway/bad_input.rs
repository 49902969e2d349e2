//! Each bad input gets its status, its stable code and a sentence, and costs nobody anything.

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde_json::{Value, json};
use vouch_core::{channel::Voucher, domain::Domain, signature::Signature};
use vouch_store::Store;
use vouch_wire::x402::{PAYMENT_SIGNATURE, WireVoucher, code};

use crate::{
    buyer::{Buyer, CHAT, Reply, SessionCall, chat, post, send_voucher, streaming},
    harness::{DOMAIN, Harness, NOW_S, limits, secret},
    stub_engine::{CONTEXT_TOKENS, StubEngine},
};

async fn funded() -> (Harness, Buyer) {
    let harness = Harness::start(vec![StubEngine::new("m")]).await;
    let buyer = Buyer::new(9);
    harness.chain.add(buyer.id(), 1000);
    (harness, buyer)
}

/// Sends a call of one changed thing; nothing may be charged or stay reserved.
async fn refused(change: impl FnOnce(&Buyer, &mut SessionCall)) -> Reply {
    let (harness, buyer) = funded().await;
    let mut call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    change(&buyer, &mut call);
    let reply = call.reply(&harness).await;
    let (charged, reserved) =
        harness.store.channel(&buyer.id()).map_or((0, 0), |c| (c.charged, c.reserved));
    assert_eq!((charged, reserved), (0, 0));
    let message = reply.body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.len() > 20, "a sentence: {message:?}");
    harness.stop().await;
    reply
}

/// Status and code, and one sentence that goes on after it has said what is wrong.
pub fn check(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code()), (status, code), "{}", reply.body);
    let message = reply.body["error"]["message"].as_str().unwrap();
    assert!(message.contains([':', ',', ';']) && message.len() > 30, "{message}");
    assert!(!message.contains(". ") && !message.ends_with('.'), "{message}");
    if status == 402 {
        let required = reply.error_header.as_ref().expect("an offer");
        assert_eq!(required.error.as_deref(), Some(code));
    }
}

/// The other signature of the same digest, with s in the upper half (EIP-2 refuses it).
fn high_s(signature: Signature) -> Bytes {
    let half = U256::from_be_bytes(hex!(
        "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0"
    ));
    let order = half * U256::from(2) + U256::from(1);
    let mut bytes = signature.0;
    let s = U256::from_be_slice(&bytes[32..64]);
    bytes[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
    bytes[64] = if bytes[64] == 27 { 28 } else { 27 };
    bytes.to_vec().into()
}

#[tokio::test]
async fn vouchers_with_a_bad_signature() {
    let cases: [fn(&Buyer) -> Bytes; 4] = [
        |_| Bytes::from_static(&[1; 64]),
        |_| Bytes::from_static(&[0; 65]),
        |buyer| high_s(buyer.voucher(500).signature),
        // A stranger's.
        |buyer| {
            let voucher = Voucher { channel_id: buyer.id(), max_claimable_amount: 500 };
            let signature = Signature::sign(voucher.digest(&DOMAIN), &secret(77));
            signature.0.to_vec().into()
        },
    ];
    for signature in cases {
        let reply =
            refused(|buyer, call| call.payment.payload.voucher.signature = signature(buyer)).await;
        check(&reply, 402, code::VOUCHER_SIGNATURE);
    }
}

#[tokio::test]
async fn vouchers_for_another_chain_contract_or_channel() {
    let elsewhere = [
        Domain { chain: 1, ..DOMAIN },
        Domain { settlement: Address::repeat_byte(0x99), ..DOMAIN },
    ];
    for domain in elsewhere {
        let reply = refused(|buyer, call| {
            let voucher = Voucher { channel_id: buyer.id(), max_claimable_amount: 500 };
            let signature = Signature::sign(voucher.digest(&domain), &secret(9));
            call.payment.payload.voucher.signature = signature.0.to_vec().into();
        })
        .await;
        check(&reply, 402, code::VOUCHER_SIGNATURE);
    }
    let reply = refused(|_, call| call.payment.payload.voucher.channel_id = B256::ZERO).await;
    check(&reply, 402, code::CHANNEL_ID_MISMATCH);
    let reply = refused(|_, call| call.payment.accepted.network = "eip155:1".into()).await;
    check(&reply, 402, code::NETWORK_MISMATCH);
    let reply = refused(|_, call| call.payment.accepted.asset = Address::ZERO).await;
    check(&reply, 402, "offer_mismatch");
}

#[tokio::test]
async fn channels_of_other_parties() {
    let other = Address::repeat_byte(0x13);
    type Change = fn(&mut SessionCall, Address);
    let cases: [(Change, &str); 4] = [
        (|c, a| c.payment.payload.channel_config.receiver = a, code::RECEIVER_MISMATCH),
        (
            |c, a| c.payment.payload.channel_config.receiver_authorizer = a,
            code::RECEIVER_AUTHORIZER_MISMATCH,
        ),
        (|c, a| c.payment.payload.channel_config.token = a, code::TOKEN_MISMATCH),
        (|c, _| c.payment.payload.channel_config.withdraw_delay = 1, code::WITHDRAW_DELAY_MISMATCH),
    ];
    for (change, code) in cases {
        check(&refused(|_, call| change(call, other)).await, 402, code);
    }
}

#[tokio::test]
async fn a_channel_whose_vouchers_its_payers_code_could_refuse() {
    let reply = refused(|buyer, call| {
        let config = &mut call.payment.payload.channel_config;
        config.payer_authorizer = Address::ZERO;
        let id = config.id(&DOMAIN);
        let voucher = Voucher { channel_id: id, max_claimable_amount: 500 };
        let signature = Signature::sign(voucher.digest(&DOMAIN), &secret(9));
        call.payment.payload.voucher =
            vouch_core::channel::SignedVoucher { voucher, signature }.into();
        let mut request = call.info().authorization.unwrap().request;
        request.channel = id;
        call.info().authorization = Some(buyer.sign(request));
    })
    .await;
    check(&reply, 402, "payer_authorizer_missing");
}

#[tokio::test]
async fn vouchers_over_the_deposit_or_of_no_use() {
    let set = |amount| {
        move |buyer: &Buyer, call: &mut SessionCall| {
            call.payment.payload.voucher = buyer.voucher(amount).into();
        }
    };
    check(&refused(set(1001)).await, 402, code::CUMULATIVE_EXCEEDS_BALANCE);
    for amount in [0, 39] {
        let reply = refused(set(amount)).await;
        check(&reply, 402, "voucher_needed");
        assert_eq!(reply.body["error"]["required"], "40");
    }
}

#[tokio::test]
async fn vouchers_on_their_own() {
    let (harness, buyer) = funded().await;
    let unknown = send_voucher(&harness, &buyer.voucher(500)).await;
    assert_eq!((unknown.status, unknown.code()), (402, code::MISSING_CHANNEL));
    harness.stop().await;
}

#[tokio::test]
async fn vouchers_on_their_own_for_a_known_channel() {
    let (harness, buyer) = funded().await;
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    assert_eq!(call.reply(&harness).await.status, 200);
    let send = async |voucher: WireVoucher| {
        let request = harness.http.post(format!("{}/vouch/vouchers", harness.url));
        let body = json!({ "voucher": voucher }).to_string();
        let reply = Reply::read(request.body(body).send().await.unwrap()).await;
        (reply.status, reply.code().to_owned(), reply.body["accepted"].clone())
    };
    let is = |status: u16, code: &str| (status, code.to_owned(), Value::Null);
    let voucher = |amount| WireVoucher::from(buyer.voucher(amount));
    assert_eq!(send(voucher(0)).await, is(400, "voucher_zero"));
    assert_eq!(send(voucher(499)).await, is(409, "voucher_lower"));
    assert_eq!(send(voucher(1001)).await, is(402, code::CUMULATIVE_EXCEEDS_BALANCE));
    let mut forged = voucher(700);
    forged.signature = high_s(buyer.voucher(700).signature);
    assert_eq!(send(forged).await, is(402, code::VOUCHER_SIGNATURE));
    let again = send(voucher(500)).await;
    assert_eq!((again.0, again.2), (200, json!("500")));
    // A deposit that nobody told of is found on chain.
    harness.chain.add(buyer.id(), 1000);
    assert_eq!(send(voucher(1500)).await.2, json!("1500"));
    let junk = harness.http.post(format!("{}/vouch/vouchers", harness.url)).body("{}");
    let junk = Reply::read(junk.send().await.unwrap()).await;
    assert_eq!((junk.status, junk.code()), (400, "invalid_request"));
    harness.stop().await;
}

#[tokio::test]
async fn requests_that_do_not_hold() {
    let reply = refused(|_, call| call.info().authorization = None).await;
    check(&reply, 402, "session_incomplete");
    let resign = |change: fn(&mut vouch_core::request::Request)| {
        move |buyer: &Buyer, call: &mut SessionCall| {
            let mut request = call.info().authorization.unwrap().request;
            change(&mut request);
            call.info().authorization = Some(buyer.sign(request));
        }
    };
    check(&refused(resign(|r| r.expiry = NOW_S - 1)).await, 402, "request_expired");
    check(&refused(resign(|r| r.expiry = u64::MAX)).await, 402, "request_expiry_too_far");
    check(&refused(resign(|r| r.terms = B256::ZERO)).await, 402, "terms_changed");
    check(&refused(resign(|r| r.channel = B256::ZERO)).await, 402, "request_mismatch");
    check(&refused(resign(|r| r.request = B256::ZERO)).await, 402, "request_mismatch");
    check(&refused(resign(|r| r.max_charge = 19)).await, 402, "max_charge_too_low");
    let reply = refused(|_, call| call.body = chat("m", "other", 3).to_string()).await;
    check(&reply, 402, "request_mismatch");
    // Changed after it was signed: another key seems to have signed it.
    let reply = refused(|_, call| {
        call.info().authorization.as_mut().unwrap().request.max_charge += 1;
    })
    .await;
    check(&reply, 402, "request_signature");
}

#[tokio::test]
async fn a_voucher_alone_buys_nothing_in_session_mode() {
    let (harness, buyer) = funded().await;
    let mut call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    assert_eq!(call.reply(&harness).await.status, 200);
    call.payment.extensions = None;
    check(&call.reply(&harness).await, 402, "request_unsigned");
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().charged, 40);
    harness.stop().await;
}

#[tokio::test]
async fn a_channel_without_a_deposit() {
    let harness = Harness::start(vec![StubEngine::new("m")]).await;
    let buyer = Buyer::new(9);
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    check(&call.reply(&harness).await, 402, code::CHANNEL_NOT_FOUND);
    harness.stop().await;
}

#[tokio::test]
async fn payments_that_cannot_be_read() {
    let (harness, _) = funded().await;
    let body = chat("m", "hello", 3).to_string();
    let huge = "A".repeat(40_000);
    for header in ["%%%", "e30=", "bm90IGpzb24=", huge.as_str()] {
        let request = harness.http.post(format!("{}{CHAT}", harness.url)).body(body.clone());
        let request = request.header(PAYMENT_SIGNATURE, header);
        let reply = Reply::read(request.send().await.unwrap()).await;
        check(&reply, 400, "payment_malformed");
    }
    harness.stop().await;
}

#[tokio::test]
async fn requests_that_cannot_be_served() {
    let (harness, _) = funded().await;
    let send = async |body: Value| Reply::read(post(&harness, &body.to_string(), None).await).await;
    let unknown = send(chat("gpt-17", "hello", 3)).await;
    check(&unknown, 404, "model_not_found");
    let message = unknown.body["error"]["message"].as_str().unwrap();
    assert!(message.contains("\"gpt-17\"") && message.contains("there are: m"), "{message}");
    let long = send(chat("m", "hello", CONTEXT_TOKENS)).await;
    check(&long, 400, "context_length_exceeded");
    let message = long.body["error"]["message"].as_str().unwrap();
    assert!(message.contains("5 tokens") && message.contains("4096"), "{message}");
    check(&send(chat("m", &"x".repeat(5000), 1)).await, 400, "context_length_exceeded");
    check(&send(chat("m", &"x".repeat(70_000), 1)).await, 413, "body_too_large");
    check(&send(json!([])).await, 400, "invalid_request");
    let mut two = chat("m", "hello", 3);
    two["n"] = 2.into();
    let two = send(two).await;
    check(&two, 400, "invalid_parameter");
    assert_eq!(two.body["error"]["param"], "n");
    // Without a length announced, the limit holds all the same.
    let pieces = (0..100).map(|_| Ok::<_, std::io::Error>("x".repeat(1024)));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let request = harness.http.post(format!("{}{CHAT}", harness.url)).body(body);
    check(&Reply::read(request.send().await.unwrap()).await, 413, "body_too_large");
    check(&Reply::read(harness.get("/v2/nothing").await).await, 404, "not_found");
    harness.stop().await;
}

#[tokio::test]
async fn an_upstream_that_is_down_costs_nothing_and_stays_unnamed() {
    for stream in [false, true] {
        let mut engine = StubEngine::new("m");
        engine.fails_after = Some(0);
        let harness = Harness::start(vec![engine]).await;
        let buyer = Buyer::new(9);
        harness.chain.add(buyer.id(), 1000);
        let body = chat("m", "hello", 3);
        let body = if stream { streaming(body) } else { body };
        let call = SessionCall::new(&harness, &buyer, body, 1, 500).await;
        for _ in 0..2 {
            // The same call may be made again: nothing was charged, nothing stays reserved.
            let reply = call.reply(&harness).await;
            check(&reply, 502, "upstream_unavailable");
            assert!(!reply.body.to_string().contains("secret.invalid"));
            let channel = harness.store.channel(&buyer.id()).unwrap();
            assert_eq!((channel.charged, channel.reserved), (0, 0));
        }
        harness.stop().await;
    }
}

#[tokio::test]
async fn too_many_calls_are_turned_away() {
    let mut engine = StubEngine::new("m");
    engine.gate = Some(std::sync::Arc::new(tokio::sync::Semaphore::new(0)));
    let gate = engine.gate.clone().unwrap();
    let started = engine.started.clone();
    let mut limits = limits();
    (limits.max_running, limits.max_waiting) = (1, 0);
    let harness = Harness::start_with(vec![engine], limits).await;
    let buyer = Buyer::new(9);
    harness.chain.add(buyer.id(), 1000);
    let first = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    let second = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 2, 500).await;
    let (first, second) = tokio::join!(first.reply(&harness), async {
        crate::stub_engine::until(|| started.load(std::sync::atomic::Ordering::SeqCst) == 1).await;
        let reply = second.reply(&harness).await;
        gate.add_permits(100);
        reply
    });
    check(&second, 429, "too_busy");
    assert!(second.retry_after.is_some());
    assert_eq!(first.status, 200);
    assert_eq!(harness.store.channel(&buyer.id()).unwrap().reserved, 0);
    harness.stop().await;
}

#[tokio::test]
async fn a_stale_chain_takes_no_new_work_and_gives_what_was_answered() {
    let (harness, buyer) = funded().await;
    let answered = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    let first = answered.reply(&harness).await;
    assert_eq!(first.status, 200);
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello again", 3), 2, 1_000).await;
    harness.chain.stale.store(true, std::sync::atomic::Ordering::SeqCst);
    check(&call.reply(&harness).await, 503, "chain_stale");
    let repeat = answered.reply(&harness).await;
    assert_eq!((repeat.status, &repeat.body), (200, &first.body));
    harness.stop().await;
}
