//! A provider over an upstream that does what the question says, and a buyer beside it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use alloy_primitives::hex;
use serde_json::Value;
use vouch_tests::{http, text, vouch};

/// What an answer to a question with "long" in it weighs.
const LONG_CHUNKS: usize = 200;
const CHUNK_BYTES: usize = 4096;

pub(crate) struct House {
    pub(crate) directory: tempfile::TempDir,
    upstream: String,
}

/// A provider that runs; what it says on standard error goes to a file.
pub(crate) struct Up {
    child: Child,
    pub(crate) ready: Value,
    errors: PathBuf,
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

    pub(crate) fn up(&self) -> Up {
        Up::start(self, self.command(&self.upstream))
    }

    /// As [`Self::up`], before an upstream that is not there.
    pub(crate) fn up_alone(&self) -> Up {
        Up::start(self, self.command(&format!("http://{}/v1", vouch_tests::free_address())))
    }

    /// As [`Self::up`], where no file may grow beyond `limit_bytes`.
    pub(crate) fn up_limited(&self, limit_bytes: u64) -> Up {
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
        Up::start(self, limited)
    }

    /// Starts a provider that must not start: exit code 1, and what it says.
    pub(crate) fn refused(&self) -> String {
        let output = self.command(&self.upstream).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let said = text(&output);
        assert_eq!(said.lines().filter(|line| line.starts_with("vouch: ")).count(), 1, "{said}");
        said
    }

    pub(crate) fn try_ask(&self, up: &Up, question: &str) -> Output {
        let gateway = up.field("gateway");
        let buyer = self.directory.path().join("buyer");
        let mut ask = vouch(&buyer, &["ask", question, "--provider", &gateway, "--json"]);
        ask.output().expect("it starts")
    }

    /// Asks and pays; what is printed about it.
    pub(crate) fn ask(&self, up: &Up, question: &str) -> Value {
        let output = self.try_ask(up, question);
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

impl Up {
    fn start(house: &House, mut command: Command) -> Self {
        let errors = house.directory.path().join("errors");
        let file = fs::File::create(&errors).expect("a file");
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().expect("it starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        stdout.read_line(&mut line).expect("UTF-8");
        // A pipe that nobody reads would fill up and stop the process.
        thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let mut up = Self { child, ready: Value::Null, errors };
        up.ready = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("it is not ready: {line}{}", up.said()));
        up
    }

    pub(crate) fn field(&self, name: &str) -> String {
        self.ready[name].as_str().expect("a field of the ready document").to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said on standard error so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.errors).expect("UTF-8")
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Vec<u8>) {
        http("GET", &format!("{}{path}", self.field("gateway")), "")
    }

    /// A channel as the provider sees it.
    pub(crate) fn channel(&self, id: &Value) -> Value {
        let (status, body) = self.get(&format!("/vouch/channels/{}", id.as_str().expect("an id")));
        assert_eq!(status, 200);
        serde_json::from_slice(&body).expect("JSON")
    }

    /// Whether the log has an entry of each of these receipts, once it has published.
    pub(crate) fn holds(&self, answers: &[Value]) {
        let wanted = u64::try_from(answers.len()).expect("few");
        let mut entries = Vec::new();
        until("the log has every receipt", || {
            let (_, note) = self.get("/log/checkpoint");
            let note = String::from_utf8(note).expect("a note is text");
            let size: u64 = note.lines().nth(1).and_then(|s| s.parse().ok()).expect("a size");
            if size >= wanted {
                entries = self.get(&format!("/log/tile/entries/000.p/{size}")).1;
            }
            size >= wanted
        });
        for answer in answers {
            let digest = hex::decode(answer["receipt"].as_str().expect("a digest")).expect("hex");
            assert!(entries.windows(32).any(|window| window == digest), "{answer} is lost");
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it can be waited for");
    }

    /// Ctrl-C, and a clean end.
    pub(crate) fn stop(mut self) {
        let sent = Command::new("kill").args(["-INT", &self.pid().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let ended = self.child.wait().expect("it can be waited for");
        assert!(ended.success(), "{}", self.said());
    }

    /// Its exit code, once it has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let mut code = None;
        until("it ends", || {
            let status = self.child.try_wait().expect("it can be waited for");
            code = status.and_then(|status| status.code());
            status.is_some()
        });
        code
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Waits, in bounded time.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..300 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("within 30 s it did not come that {what}");
}

/// A copy of a directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("it can be copied");
        }
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
