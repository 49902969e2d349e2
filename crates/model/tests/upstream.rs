//! The upstream engine against a stub: a scripted HTTP/1.1 server on loopback, not a model.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vouch_model::upstream::{UpstreamEngine, UpstreamOptions};
use vouch_model::{Engine, Error, Event, FinishReason, GenerateRequest, Prompt, Sampling, Usage};

/// What the stub was asked.
struct Asked {
    head: String,
    body: Value,
}

/// Answers one request with `pieces`, then either closes or waits for the client to.
async fn stub(pieces: &[&str], closes: bool) -> (String, JoinHandle<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    let task = tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let mut connection = BufReader::new(connection);
        let asked = read_request(&mut connection).await;
        for piece in pieces {
            if connection.get_mut().write_all(piece.as_bytes()).await.is_err() {
                return asked; // the client had enough
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if !closes {
            connection.read_to_end(&mut Vec::new()).await.ok();
        }
        asked
    });
    (url, task)
}

async fn read_request(connection: &mut BufReader<TcpStream>) -> Asked {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.unwrap();
    Asked { head, body: serde_json::from_slice(&body).unwrap() }
}

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const HI: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"h\u{ed}\"}}]}\n\n";
const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

fn engine(url: &str) -> UpstreamEngine {
    let options = UpstreamOptions {
        api_key: Some("k-123".into()),
        idle_timeout: Duration::from_millis(500),
        ..UpstreamOptions::new(url, "some/model")
    };
    assert!(!format!("{options:?}").contains("k-123"));
    UpstreamEngine::new(options).unwrap()
}

fn chat() -> GenerateRequest {
    let messages = json!([{"role": "user", "content": "hello"}]);
    GenerateRequest {
        sampling: Sampling { temperature: 0.5, top_p: 0.9 },
        stop: vec!["x".into()],
        seed: [0xff; 32],
        ..GenerateRequest::new(Prompt::Chat { messages, tools: None }, 7)
    }
}

async fn ask(url: &str, request: GenerateRequest) -> Vec<Result<Event, Error>> {
    let events = engine(url).generate(request).collect();
    timeout(Duration::from_secs(20), events).await.expect("an answer or an error in time")
}

/// The text, and how it ended.
fn assembled(events: Vec<Result<Event, Error>>) -> (String, FinishReason, Usage) {
    let mut text = String::new();
    for event in events {
        match event.unwrap() {
            Event::Started { input_ids, .. } => assert_eq!(input_ids, None),
            Event::Delta { text: more, ids, .. } => {
                assert!(ids.is_empty());
                text.push_str(&more);
            }
            Event::Finished { reason, usage, commitment } => {
                assert!(commitment.is_zero());
                return (text, reason, usage);
            }
        }
    }
    panic!("no end")
}

fn failure(events: Vec<Result<Event, Error>>) -> Error {
    events.into_iter().last().unwrap().unwrap_err()
}

#[tokio::test]
async fn a_stream_becomes_events() {
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3}}\n\n";
    // Cut inside a character and inside a line.
    let bytes = [HI, HI, END, usage, "data: [DONE]\n\n"].concat();
    let (head, tail) = bytes.split_at(bytes.find("\u{ed}").unwrap() - 3);
    let (url, task) = stub(&[STREAM, head, tail], true).await;
    let (text, reason, usage) = assembled(ask(&url, chat()).await);
    assert_eq!((text.as_str(), reason), ("h\u{ed}h\u{ed}", FinishReason::Stop));
    let counts = (usage.input_tokens, usage.output_tokens, usage.estimated);
    assert_eq!(counts, (11, 3, false));

    let Asked { head, body } = task.await.unwrap();
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{head}");
    assert!(head.to_ascii_lowercase().contains("authorization: bearer k-123"), "{head}");
    assert_eq!(
        body,
        json!({
            "model": "some/model", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9,
            "seed": 0x7fff_ffff_u32, "stop": ["x"], "stream": true,
            "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "hello"}],
        })
    );
}

#[tokio::test]
async fn text_goes_to_completions_and_chunks_are_counted() {
    let chunk = "data: {\"choices\":[{\"text\":\"ab\",\"finish_reason\":\"length\"}]}\n\n";
    let (url, task) = stub(&[STREAM, chunk], true).await;
    let request = GenerateRequest::new(Prompt::Text("once".into()), 1);
    let (text, reason, usage) = assembled(ask(&url, request).await);
    assert_eq!((text.as_str(), reason), ("ab", FinishReason::Length));
    assert!(usage.estimated && usage.output_tokens == 1 && usage.input_tokens >= 4);
    let asked = task.await.unwrap();
    assert!(asked.head.starts_with("POST /v1/completions "));
    assert_eq!(asked.body["prompt"], "once");
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let body = r#"{"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}],
                   "usage":{"prompt_tokens":2,"completion_tokens":1}}"#;
    let response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (url, _task) = stub(&[&response], true).await;
    let (text, _, usage) = assembled(ask(&url, chat()).await);
    assert_eq!((text.as_str(), usage.input_tokens), ("whole", 2));
}

#[tokio::test]
async fn what_breaks_in_mid_stream_says_how_far_it_came() {
    let chunked =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let piece = format!("{:x}\r\n{HI}{HI}\r\n", 2 * HI.len());
    let oversized = "x".repeat((1 << 20) + 9);
    for (pieces, closes, words) in [
        (vec![chunked, &piece], true, "broke the connection"),
        (vec![STREAM, HI, HI], true, "without a finish reason"),
        (vec![STREAM, HI, HI], false, "took too long"),
        (vec![STREAM, HI, HI, &oversized], true, "above 1 MiB"),
        (vec![STREAM, HI, HI, "data: {\"error\":{\"message\":\"boom\"}}\n\n"], true, "boom"),
        (vec![STREAM, HI, HI, "data: <html>\n\n"], true, "no JSON"),
    ] {
        let (url, _task) = stub(&pieces, closes).await;
        let error = failure(ask(&url, chat()).await);
        let Error::UpstreamBroke { output_tokens: 2, detail, .. } = &error else {
            panic!("{words}: {error}")
        };
        assert!(detail.contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn refusals_carry_the_status_and_never_follow_a_redirect() {
    let refused = "HTTP/1.1 429 Too Many\r\ncontent-length: 34\r\n\r\n{\"error\":{\"message\":\"slow\\ndown\"}}";
    let moved = "HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
    for (response, expected, words) in [(refused, 429, "slow down"), (moved, 307, "")] {
        let (url, _task) = stub(&[response], true).await;
        let error = failure(ask(&url, chat()).await);
        let Error::UpstreamStatus { status, detail, .. } = &error else { panic!("{error}") };
        assert_eq!((*status, detail.contains(words)), (expected, true), "{error}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_down_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let error = failure(ask(&url, chat()).await);
    assert!(matches!(&error, Error::Upstream { .. }), "{error}");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    for bad in ["nonsense", "ftp://host/v1", "http://user:pass@host/v1"] {
        let refused = UpstreamEngine::new(UpstreamOptions::new(bad, "m"));
        assert!(matches!(refused, Err(Error::Upstream { .. })), "{bad}");
    }
}

#[tokio::test]
async fn leaving_hangs_up() {
    let (url, task) = stub(&[STREAM, HI], false).await;
    let mut events = engine(&url).generate(chat());
    while !matches!(events.next().await.unwrap().unwrap(), Event::Delta { .. }) {}
    drop(events);
    timeout(Duration::from_secs(5), task).await.expect("the stub sees the end").unwrap();
}

#[tokio::test]
async fn what_an_upstream_cannot_take_is_refused() {
    let engine = engine("http://127.0.0.1:9/v1");
    let messages = json!([{"role": "user", "content": "hello"}]);
    let tools = Prompt::Chat { messages, tools: Some(json!([])) };
    for prompt in [Prompt::Tokens(vec![1]), tools] {
        let count = engine.count_input(&prompt).unwrap();
        assert!(!count.exact && count.tokens >= 1);
        let events = engine.generate(GenerateRequest::new(prompt, 1)).collect::<Vec<_>>().await;
        assert!(matches!(events.as_slice(), [Err(Error::Request(_))]), "{events:?}");
    }
    assert!(!engine.entry().identity.is_exact());
}
