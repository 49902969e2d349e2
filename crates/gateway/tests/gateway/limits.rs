//! What strangers can make the process do is bounded, and every answer is an answer of the API.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use vouch_store::Store;

use crate::{
    bad_input::check,
    buyer::{Buyer, CHAT, Reply, SessionCall, chat, streaming},
    harness::{Harness, limits},
    stub_engine::StubEngine,
};

async fn connect(harness: &Harness) -> TcpStream {
    TcpStream::connect(harness.url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// What comes until the server closes; in bounded time.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("it closes").unwrap();
    answer
}

#[tokio::test]
async fn a_connection_that_does_not_say_what_it_wants_is_closed() {
    let mut limits = limits();
    (limits.header_timeout, limits.max_connections) = (Duration::from_millis(200), 1);
    let harness = Harness::start_with(vec![StubEngine::new("m")], limits).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nx-slow: "] {
        let mut slow = connect(&harness).await;
        slow.write_all(begun.as_bytes()).await.unwrap();
        // There is one place: this is served once the slow one has lost it.
        assert_eq!(harness.get("/healthz").await.status(), 200);
        assert_eq!(read_to_end(&mut slow).await, "");
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let mut limits = limits();
    limits.body_timeout = Duration::from_millis(100);
    let harness = Harness::start_with(vec![StubEngine::new("m")], limits).await;
    for path in [CHAT, "/vouch/vouchers", "/vouch/faucet", "/log/cosignatures"] {
        let mut slow = connect(&harness).await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{{");
        slow.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let size = slow.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..size]);
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_incomplete"),
            "{answer}"
        );
    }
    harness.stop().await;
}

#[tokio::test]
async fn what_no_route_takes_is_refused_in_the_apis_own_words() {
    let harness = Harness::start(vec![StubEngine::new("m")]).await;
    let url = |path: &str| format!("{}{path}", harness.url);
    for path in ["/vouch/vouchers", "/vouch/faucet", "/log/cosignatures"] {
        let sent = harness.http.post(url(path)).body("x".repeat(5000)).send().await.unwrap();
        check(&Reply::read(sent).await, 413, "body_too_large");
        let sent = harness.http.get(url(path)).send().await.unwrap();
        check(&Reply::read(sent).await, 405, "method_not_allowed");
    }
    let sent = harness.http.delete(url(CHAT)).send().await.unwrap();
    check(&Reply::read(sent).await, 405, "method_not_allowed");
    for path in ["/vouch/models/%ff", "/vouch/channels/%ff", "/vouch/proof/%ff", "/log/%ff"] {
        check(&Reply::read(harness.get(path).await).await, 400, "invalid_request");
    }
    harness.stop().await;
}

#[tokio::test]
async fn nothing_that_changes_is_kept_on_the_way() {
    let harness = Harness::start(vec![StubEngine::new("m")]).await;
    let buyer = Buyer::new(9);
    harness.chain.add(buyer.id(), 1000);
    let call = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 500).await;
    let answer = call.send(&harness).await;
    assert_eq!(answer.headers()["cache-control"], "private, no-store");
    let channel = format!("/vouch/channels/{}", buyer.id());
    for path in [channel.as_str(), "/vouch/proof/0", "/healthz", "/metrics", CHAT, "/nothing"] {
        let answer = harness.get(path).await;
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_head_request_buys_nothing() {
    let harness = Harness::start(vec![StubEngine::new("m")]).await;
    let head = harness.http.head(format!("{}{CHAT}", harness.url)).send().await.unwrap();
    assert_eq!(head.status(), 402);
    harness.stop().await;
}

/// A store that has stopped, as for lack of space: what was under way has no outcome, what comes is
/// refused, and the server ends and says why. Strangers are not told where the data is.
#[tokio::test]
async fn a_store_that_stops_ends_the_gateway_and_tells_strangers_no_path() {
    let harness = Harness::start(vec![StubEngine::new("m")]).await;
    let buyer = Buyer::new(9);
    harness.chain.add(buyer.id(), 100_000);
    let first = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 1, 5000).await;
    assert_eq!(first.reply(&harness).await.status, 200);
    let next = SessionCall::new(&harness, &buyer, chat("m", "hello", 3), 2, 5000).await;
    let body = streaming(chat("m", "hello", 3));
    let streamed = SessionCall::new(&harness, &buyer, body, 3, 5000).await;
    harness.broken.store(true, Ordering::SeqCst);
    let broken = streamed.send(&harness).await.text().await.unwrap();
    assert!(broken.contains("t2 ") && broken.contains("outcome_unknown"), "{broken}");
    assert!(!broken.contains("[DONE]") && !broken.contains("secret"), "{broken}");
    // The server may have ended already; if it has not, it says what is wrong.
    if let Ok(sent) = harness
        .http
        .post(format!("{}{CHAT}", harness.url))
        .header(
            vouch_wire::x402::PAYMENT_SIGNATURE,
            vouch_wire::x402::encode(&next.payment).unwrap(),
        )
        .body(next.body.clone())
        .send()
        .await
    {
        let reply = Reply::read(sent).await;
        assert_eq!(reply.status, 503, "{}", reply.body);
        assert!(matches!(reply.code(), "store_stopped" | "stopping"), "{}", reply.body);
        assert!(!reply.body.to_string().contains("secret"), "{}", reply.body);
    }
    // What was acknowledged stands; what was not is not charged twice over.
    assert_eq!(harness.store.receipt(0).unwrap().unwrap().receipt.charge, 40);
    let why = harness.ended().await.to_string();
    assert!(why.contains("/a/secret/path is full") && why.contains("start again"), "{why}");
}
