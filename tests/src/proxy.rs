//! A node that fails, lags or lies: a proxy before one that does not.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use serde_json::{Value, json};

use crate::http;

/// What a proxy does with what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// Passes it on.
    #[default]
    Well,
    /// Hangs up.
    Down,
    /// Says that it is another chain.
    OtherChain,
    /// Knows nothing newer than this block.
    Behind(u64),
    /// Gives its blocks other hashes.
    Forked,
    /// Gives the events of so many blocks at once, and of no more.
    FewLogs(u64),
}

/// A JSON-RPC proxy on a free loopback port, for as long as the process.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens; the path is a key that nobody may be told.
    pub url: String,
    mood: Arc<Mutex<Mood>>,
}

/// The key in a proxy's URL.
pub const KEY: &str = "s3cr3t-k3y";

impl Proxy {
    /// Starts one before a node.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start(node: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let mood = Arc::new(Mutex::new(Mood::Well));
        let (node, shared) = (node.to_owned(), mood.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (node, mood) = (node.clone(), shared.clone());
                thread::spawn(move || {
                    let mood = *mood.lock().unwrap_or_else(PoisonError::into_inner);
                    // Whoever asked has gone, or is hung up on.
                    let _ended = answer(stream, &node, mood);
                });
            }
        });
        Self { url: format!("http://{address}/{KEY}"), mood }
    }

    /// Changes what it does.
    pub fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }
}

/// One request of a connection, which is then closed.
fn answer(mut stream: TcpStream, node: &str, mood: Mood) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        let field = line.to_lowercase();
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let call: Value = serde_json::from_slice(&body)?;
    let Some(reply) = reply(call, node, mood) else { return Ok(()) };
    let reply = reply.to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{reply}",
        reply.len()
    )
}

fn reply(mut call: Value, node: &str, mood: Mood) -> Option<Value> {
    let method = call["method"].as_str().unwrap_or_default().to_owned();
    let id = call["id"].clone();
    let says = |result: Value| Some(json!({ "jsonrpc": "2.0", "id": id, "result": result }));
    match (mood, method.as_str()) {
        (Mood::Down, _) => return None,
        (Mood::OtherChain, "eth_chainId") => return says(json!("0x539")),
        (Mood::Behind(height), "eth_blockNumber") => return says(json!(format!("{height:#x}"))),
        (Mood::Behind(height), _) => {
            replace(&mut call["params"], "latest", &format!("{height:#x}"))
        }
        (Mood::FewLogs(blocks), "eth_getLogs") => {
            let number = |name: &str| {
                let text = call["params"][0][name].as_str()?;
                u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
            };
            if number("toBlock")? - number("fromBlock")? >= blocks {
                let error = json!({ "code": -32005, "message": "block range is too large" });
                return Some(json!({ "jsonrpc": "2.0", "id": id, "error": error }));
            }
        }
        _ => {}
    }
    let (_, body) = http("POST", node, &call.to_string());
    let mut reply: Value = serde_json::from_slice(&body).ok()?;
    if mood == Mood::Forked && reply["result"]["hash"].is_string() && method.contains("Block") {
        reply["result"]["hash"] = json!(format!("0x{}", "ab".repeat(32)));
    }
    Some(reply)
}

/// Puts one text in the place of another, however deep.
fn replace(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text == from => to.clone_into(text),
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, from, to)),
        _ => {}
    }
}
