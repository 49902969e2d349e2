//! The local endpoint as an OpenAI client sees it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stub;

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use stub::{MODEL, Misbehave, Stub, buyer, policy};
use tokio::task::JoinHandle;
use vouch_buyer::{Buyer, Connect};
use vouch_wire::{openai::Chunk, sse};

struct Endpoint {
    url: String,
    buyer: Buyer,
    stub: Stub,
    http: Client,
    server: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Endpoint {
    async fn start(total: u128) -> Self {
        let (dir, stub) = (tempfile::tempdir().unwrap(), Stub::start().await);
        let mut policy = policy(total, total);
        policy.max_deposit = 1_000_000;
        let buyer = buyer(dir.path(), &stub, policy);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Connect::new(buyer.clone()).router();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, buyer, stub, http: Client::new(), server, _dir: dir }
    }

    async fn chat(&self, stream: bool, max_tokens: u32, headers: &[(&str, &str)]) -> Response {
        let body = json!({
            "model": MODEL, "messages": [{"role": "user", "content": "hello"}],
            "stream": stream, "max_tokens": max_tokens,
        });
        let mut request = self.http.post(format!("{}/v1/chat/completions", self.url)).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }
}

fn events(text: &str) -> Vec<sse::Event> {
    sse::Parser::new(1 << 20).push(text.as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_key_gets_plain_openai() {
    let endpoint = Endpoint::start(100_000).await;
    let models = endpoint.get("/v1/models").await;
    assert_eq!(models["data"][0]["id"], MODEL);

    let response = endpoint.chat(false, 6, &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let digest = response.headers()["x-vouch-receipt"].to_str().unwrap().to_owned();
    assert!(response.headers()["x-vouch-charge"].to_str().unwrap().parse::<u128>().unwrap() > 0);
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "Two ti");
    assert!(body.get("vouch").is_none());

    let bundle = endpoint.get(&format!("/vouch/bundles/{digest}")).await;
    assert_eq!(bundle["response"]["choices"], body["choices"]);
    assert!(bundle["log"].is_null());
    let logged = endpoint.get(&format!("/vouch/bundles/{digest}?wait_s=5")).await;
    assert_eq!(logged["log"]["index"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_what_was_spent_and_on_what() {
    let endpoint = Endpoint::start(100_000).await;
    let response = endpoint.chat(false, 6, &[]).await;
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let (digest, charge) = (header("x-vouch-receipt"), header("x-vouch-charge"));
    let status = endpoint.get("/vouch/status").await;
    assert_eq!(status["latest"][0]["digest"], digest.as_str());
    assert_eq!(status["latest"][0]["charge"], charge.as_str());
    assert_eq!(status["latest"][0]["model"], MODEL);
    assert_eq!((&status["receipts"], &status["inFlight"]), (&json!(1), &json!(0)));
    assert_eq!(status["budget"]["spent"], charge.as_str());
    assert_eq!(status["channels"][0]["phase"], "open");
    assert_eq!(status["distrusted"], json!([]));

    endpoint.stub.misbehave(Misbehave::Overcharge);
    endpoint.chat(false, 6, &[]).await;
    let status = endpoint.get("/vouch/status").await;
    assert!(status["latest"][0]["misconduct"].as_str().unwrap().contains("price"), "{status}");
    let provider = json!(endpoint.stub.inner.document.provider);
    assert_eq!(status["distrusted"][0][0], provider);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_plain_unless_asked() {
    let endpoint = Endpoint::start(100_000).await;
    let text = endpoint.chat(true, 9, &[]).await.text().await.unwrap();
    let digest = endpoint.buyer.receipts(1)[0].digest.to_string();
    assert!(text.contains(&format!(": x-vouch-receipt {digest}")), "{text}");
    let plain = events(&text);
    assert!(plain.iter().all(|event| event.name.is_none()));
    assert_eq!(plain.last().unwrap().data, "[DONE]");
    let chunks: Vec<Chunk> =
        plain[..plain.len() - 1].iter().map(|e| serde_json::from_str(&e.data).unwrap()).collect();
    assert!(chunks.iter().all(|chunk| chunk.vouch.is_none()));
    assert_eq!(chunks.len(), 9 + 2);

    let text = endpoint.chat(true, 9, &[("x-vouch", "1")]).await.text().await.unwrap();
    let full = events(&text);
    assert!(full.iter().any(|event| event.name.as_deref() == Some("vouch.receipt")));
    assert!(full.iter().any(|event| event.data.contains("inputIds")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_spent_says_so() {
    let endpoint = Endpoint::start(10).await;
    let response = endpoint.chat(false, 100, &[]).await;
    assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "budget_exceeded");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("raise") || message.contains("lower"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_ends_a_stream_says_so_at_its_end() {
    let endpoint = Endpoint::start(700).await;
    let text = endpoint.chat(true, 400, &[]).await.text().await.unwrap();
    let events = events(&text);
    let last: Value = serde_json::from_str(&events.last().unwrap().data).unwrap();
    assert_eq!(last["error"]["code"], "budget_exceeded", "{last}");
    assert!(!text.contains("[DONE]"));
    assert!(text.contains(": x-vouch-receipt"), "what came was paid for");
    assert!(events.len() > 40);

    let endpoint = Endpoint::start(900).await;
    let response = endpoint.chat(false, 400, &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-vouch-cut"], "budget_exceeded");
}

/// A client that asked for a stream cannot read anything else, whatever became of the first sending.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_stays_one_when_its_call_is_sent_again() {
    let endpoint = Endpoint::start(100_000).await;
    endpoint.stub.misbehave(Misbehave::Stumbles);
    let response = endpoint.chat(true, 9, &[]).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    assert_eq!(events(&text).last().unwrap().data, "[DONE]");
    assert!(text.contains("Two times") && !text.contains("outputIds"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_check_ends_a_stream_in_an_error() {
    let endpoint = Endpoint::start(100_000).await;
    endpoint.stub.misbehave(Misbehave::WrongIds);
    let text = endpoint.chat(true, 9, &[]).await.text().await.unwrap();
    let events = events(&text);
    let last: Value = serde_json::from_str(&events.last().unwrap().data).unwrap();
    assert_eq!(last["error"]["code"], "provider_misconduct");
    assert!(!text.contains("[DONE]"));

    let endpoint = Endpoint::start(100_000).await;
    endpoint.stub.misbehave(Misbehave::WrongIds);
    let response = endpoint.chat(false, 9, &[]).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert!(!response.text().await.unwrap().contains("choices"), "the answer is withheld");
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_are_kept_out() {
    let endpoint = Endpoint::start(100_000).await;
    for header in [
        ("origin", "https://evil.example"),
        ("host", "evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let response = endpoint.chat(false, 4, &[header]).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{header:?}");
    }
    assert_eq!(endpoint.stub.books().generated, 0);
    let own = endpoint.url.clone();
    assert_eq!(endpoint.chat(false, 4, &[("origin", &own)]).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_have_openais_errors() {
    let endpoint = Endpoint::start(100_000).await;
    let none = format!("/vouch/bundles/0x{}", "00".repeat(32));
    let large = "x".repeat((4 << 20) + 1);
    for (method, path, body, status, code) in [
        ("POST", "/v1/chat/completions", "{", 400, "invalid_request"),
        (
            "POST",
            "/v1/chat/completions",
            r#"{"model":"m","messages":[],"n":2}"#,
            400,
            "invalid_request",
        ),
        ("POST", "/v1/chat/completions", &large, 413, "body_too_large"),
        ("GET", "/v1/chat/completions", "", 405, "method_not_allowed"),
        ("POST", "/v1/nowhere", "{}", 404, "not_found"),
        (
            "POST",
            "/v1/completions",
            r#"{"model":"no-such-model","prompt":"a"}"#,
            404,
            "model_not_found",
        ),
        ("GET", "/vouch/bundles/0x12", "", 400, "invalid_request"),
        ("GET", &none, "", 404, "not_found"),
        ("GET", &format!("{none}?wait_s=soon"), "", 400, "invalid_request"),
        ("GET", &format!("{none}?wait_s=1"), "", 404, "not_found"),
    ] {
        let url = format!("{}{path}", endpoint.url);
        let request = endpoint.http.request(method.parse().unwrap(), url).body(body.to_owned());
        let response = request.send().await.unwrap();
        let text = || format!("{method} {path} {:.80}", body);
        assert_eq!(response.status().as_u16(), status, "{}", text());
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(body["error"]["code"], code, "{}", text());
        assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string());
    }
    assert_eq!(endpoint.stub.books().generated, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_cannot_be_reached_is_named() {
    let endpoint = Endpoint::start(100_000).await;
    let url = endpoint.stub.url.clone();
    endpoint.stub.stop();
    let response = endpoint.chat(false, 9, &[]).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "provider_unreachable");
    assert!(body["error"]["message"].as_str().unwrap().contains(&url));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_stops_the_provider() {
    for stream in [true, false] {
        let endpoint = Endpoint::start(1_000_000).await;
        *endpoint.stub.inner.pace.lock() = Duration::from_millis(2);
        // A stream's head comes at once, and is kept; the other answer does not come in this time.
        let asked = endpoint.chat(stream, 2000, &[]);
        let response = tokio::time::timeout(Duration::from_millis(300), asked).await;
        assert_eq!(response.is_ok(), stream);
        drop(response);
        for _ in 0..500 {
            if endpoint.buyer.status().receipts == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(endpoint.buyer.status().receipts, 1, "the receipt of the part is kept");
        let generated = endpoint.stub.books().generated;
        assert!(generated < 1000, "{generated} were generated");
    }
}
