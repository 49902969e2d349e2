//! A word with the demo's own servers, without a client library.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::{Context, ensure};

/// Fetches an http URL of this machine, for what the server does about it.
pub(super) fn get(url: &str) -> anyhow::Result<()> {
    exchange(url, "GET", "")
}

/// Posts JSON to an http URL of this machine.
pub(super) fn post(url: &str, body: &str) -> anyhow::Result<()> {
    exchange(url, "POST", body)
}

fn exchange(url: &str, method: &str, body: &str) -> anyhow::Result<()> {
    let rest = url.strip_prefix("http://").context("not an http URL")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).with_context(|| format!("{url} does not listen"))?;
    let length = body.len();
    write!(
        stream,
        "{method} /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200"), "{url} answers {status}");
    Ok(())
}

/// Moves a test chain's time, which then has a block of that time.
pub(super) fn pass(chain: &str, seconds: u64) -> anyhow::Result<()> {
    let call = |method: &str, parameters: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[{parameters}]}}"#)
    };
    post(chain, &call("evm_increaseTime", &seconds.to_string()))?;
    post(chain, &call("evm_mine", ""))
}
