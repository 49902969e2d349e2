//! A provider over an upstream that does what the question says, and a buyer beside it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread,
};

use alloy_primitives::hex;
use serde_json::Value;
use vouch_tests::{Running, text, until, vouch};

/// What an answer to a question with "long" in it weighs.
const LONG_CHUNKS: usize = 200;
const CHUNK_BYTES: usize = 4096;

pub(crate) struct House {
    pub(crate) directory: tempfile::TempDir,
    upstream: String,
}

impl House {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory"), upstream: upstream() }
    }

    /// The provider's data.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("provider")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.data().join("provider").join("store")
    }

    /// The one segment of the store's journal.
    pub(crate) fn journal(&self) -> PathBuf {
        self.store().join("journal").join("journal-00000000.log")
    }

    fn command(&self, upstream: &str) -> Command {
        let ports = ["up", "--listen", "127.0.0.1:0", "--chain-listen", "127.0.0.1:0", "--json"];
        let model = ["--upstream", upstream, "--upstream-model", "stub"];
        vouch(&self.data(), &[&ports[..], &model].concat())
    }

    pub(crate) fn up(&self) -> Running {
        Running::spawn(self.command(&self.upstream))
    }

    /// As [`Self::up`], before an upstream that is not there.
    pub(crate) fn up_alone(&self) -> Running {
        Running::spawn(self.command(&format!("http://{}/v1", vouch_tests::free_address())))
    }

    /// As [`Self::up`], where no file may grow beyond `limit_bytes`.
    pub(crate) fn up_limited(&self, limit_bytes: u64) -> Running {
        let command = self.command(&self.upstream);
        let mut limited = Command::new("sh");
        // POSIX counts in blocks of 512 bytes. Without the trap the signal would end the process.
        let script = "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"";
        limited.args(["-c", script, &(limit_bytes / 512).to_string()]);
        limited.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        Running::spawn(limited)
    }

    /// Starts a provider that must not start: exit code 1, and what it says.
    pub(crate) fn refused(&self) -> String {
        let output = self.command(&self.upstream).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let said = text(&output);
        assert_eq!(said.lines().filter(|line| line.starts_with("vouch: ")).count(), 1, "{said}");
        said
    }

    pub(crate) fn try_ask(&self, up: &Running, question: &str) -> Output {
        let gateway = up.field("gateway");
        let buyer = self.directory.path().join("buyer");
        let mut ask = vouch(&buyer, &["ask", question, "--provider", &gateway, "--json"]);
        ask.output().expect("it starts")
    }

    /// Asks and pays; what is printed about it.
    pub(crate) fn ask(&self, up: &Running, question: &str) -> Value {
        let output = self.try_ask(up, question);
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

/// A channel as the provider sees it.
pub(crate) fn seen(up: &Running, id: &Value) -> Value {
    let (status, body) = up.get(&format!("/vouch/channels/{}", id.as_str().expect("an id")));
    assert_eq!(status, 200);
    serde_json::from_slice(&body).expect("JSON")
}

/// The log has an entry of each of these receipts, once it has published.
pub(crate) fn holds(up: &Running, answers: &[Value]) {
    let wanted = u64::try_from(answers.len()).expect("few");
    let mut entries = Vec::new();
    until("the log has every receipt", || {
        let (_, note) = up.get("/log/checkpoint");
        let note = String::from_utf8(note).expect("a note is text");
        let size: u64 = note.lines().nth(1).and_then(|s| s.parse().ok()).expect("a size");
        if size >= wanted {
            entries = up.get(&format!("/log/tile/entries/000.p/{size}")).1;
        }
        size >= wanted
    });
    for answer in answers {
        let digest = hex::decode(answer["receipt"].as_str().expect("a digest")).expect("hex");
        assert!(entries.windows(32).any(|window| window == digest), "{answer} is lost");
    }
}

/// An OpenAI-compatible server; its base URL.
fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/v1", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A caller that has left is none of its business.
            thread::spawn(move || answer(stream).ok());
        }
    });
    url
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body);
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    )?;
    let chunks = if body.contains("long") { LONG_CHUNKS } else { 3 };
    let text = if body.contains("long") { "x".repeat(CHUNK_BYTES) } else { "word ".to_owned() };
    for _ in 0..chunks {
        write!(stream, "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")?;
    }
    if body.contains("die") {
        return Ok(());
    }
    write!(stream, "data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n")?;
    write!(stream, "data: [DONE]\n\n")
}
