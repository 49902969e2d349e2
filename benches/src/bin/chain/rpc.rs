//! JSON-RPC that costs little: bodies are made beforehand, and an answer is only looked through.

use std::{fmt::Write, net::SocketAddr};

use alloy_primitives::hex;
use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request,
    client::conn::http1::SendRequest,
    header::{CONTENT_TYPE, HOST, HeaderValue},
};
use serde_json::Value;
use vouch_benches::load;

use crate::transfers::Signed;

/// Calls in a batch, unless it says otherwise.
pub(crate) const BATCH: usize = 100;

/// One call or a batch, as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    text: Bytes,
    pub(crate) calls: usize,
}

impl Body {
    /// Calls of one method with parameters in JSON: a batch, or if it is one, that call.
    pub(crate) fn new(method: &str, parameters: impl IntoIterator<Item = String>) -> Self {
        let (mut text, mut calls) = (String::from("["), 0);
        for parameters in parameters {
            let comma = if calls > 0 { "," } else { "" };
            let call = format_args!(
                r#"{comma}{{"jsonrpc":"2.0","id":{calls},"method":"{method}","params":{parameters}}}"#
            );
            text.write_fmt(call).expect("a string takes all");
            calls += 1;
        }
        let text = if calls == 1 { text.split_off(1) } else { text + "]" };
        Self { text: text.into(), calls }
    }

    /// Transactions for `eth_sendRawTransaction` or a method like it.
    pub(crate) fn transactions(method: &str, signed: &[&Signed]) -> Self {
        Self::new(method, signed.iter().map(|one| format!(r#"["0x{}"]"#, hex::encode(&one.raw))))
    }
}

/// Calls of one method in batches.
pub(crate) fn batches(method: &str, parameters: Vec<String>) -> Vec<Body> {
    parameters.chunks(BATCH).map(|part| Body::new(method, part.iter().cloned())).collect()
}

/// A connection that is kept alive, for one request after another.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let host = HeaderValue::from_str(&address.to_string())?;
        Ok(Self { sender: load::connect(address).await?, host })
    }

    /// The answer to a body, with a result for each of its calls.
    pub(crate) async fn exchange(&mut self, body: &Body) -> anyhow::Result<Bytes> {
        let mut request = Request::new(Full::new(body.text.clone()));
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let answer = response.into_body().collect().await?.to_bytes();
        // An error has none.
        let results = std::str::from_utf8(&answer)?.matches(r#""result""#).count();
        ensure!(results == body.calls, "{} calls got {}", body.calls, quoted(&answer));
        Ok(answer)
    }

    /// The results of a body's calls, in their order.
    pub(crate) async fn results(&mut self, body: &Body) -> anyhow::Result<Vec<Value>> {
        let answer: Value = serde_json::from_slice(&self.exchange(body).await?)?;
        let mut answers = match answer {
            Value::Array(answers) => answers,
            one => vec![one],
        };
        answers.sort_by_key(|answer| answer["id"].as_u64());
        Ok(answers.iter_mut().map(|answer| answer["result"].take()).collect())
    }

    /// The result of one call.
    pub(crate) async fn call(&mut self, method: &str, parameters: &str) -> anyhow::Result<Value> {
        let results = self.results(&Body::new(method, [parameters.to_owned()])).await?;
        results.into_iter().next().context("no answer")
    }
}

/// A quantity of Ethereum's JSON-RPC.
pub(crate) fn number(value: &Value) -> anyhow::Result<u64> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let digits = digits.with_context(|| format!("{value} is no quantity"))?;
    Ok(u64::from_str_radix(digits, 16)?)
}

fn quoted(answer: &[u8]) -> String {
    let start = &answer[..answer.len().min(500)];
    String::from_utf8_lossy(start).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Body, batches};

    #[test]
    fn one_call_is_no_batch() {
        let value = |body: &Body| serde_json::from_slice::<Value>(&body.text).unwrap();
        let bodies = batches("eth_chainId", vec!["[]".to_owned(); 101]);
        let [many, one] = bodies.as_slice() else { panic!("{bodies:?}") };
        let call = json!({ "jsonrpc": "2.0", "id": 0, "method": "eth_chainId", "params": [] });
        assert_eq!(value(one), call);
        assert_eq!((value(many).as_array().unwrap().len(), many.calls), (100, 100));
        assert_eq!(value(many)[99]["id"], 99);
    }
}
