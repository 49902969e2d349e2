//! Start the real `vouch` binary in a temporary directory, talk to it, and stop it.
//!
//! Everything listens on free loopback ports; a process that is dropped is killed.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

mod anvil;
mod bucket;
mod proxy;
mod random;

pub use anvil::Anvil;
pub use bucket::Bucket;
pub use proxy::{KEY, Mood, Proxy};
pub use random::{Random, seed, variable};
use serde_json::Value;
use tempfile::NamedTempFile;

/// The binary beside this test's own executable.
///
/// # Panics
/// If it was not built.
#[must_use]
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its executable");
    let path = test.ancestors().nth(2).expect("target/PROFILE/deps").join("vouch");
    assert!(path.exists(), "{} is missing: run `cargo build -p vouch-cli`", path.display());
    path
}

/// A command of the binary with its data in `data`, its environment free of the user's settings.
#[must_use]
pub fn vouch(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("--data-dir").arg(data).args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars() {
        if name.starts_with("VOUCH_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end and returns the JSON it prints.
///
/// # Panics
/// If it fails or prints something else.
#[must_use]
pub fn json(command: &mut Command) -> Value {
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{command:?} failed:\n{}", text(&output));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{command:?} printed no JSON ({error}):\n{}", text(&output)))
}

/// All that a command printed.
#[must_use]
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A long-running command of the binary: `up`, `connect`, `chain` or `witness`.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// The JSON document that it prints once it is ready.
    pub ready: Value,
    /// What it says on standard error.
    errors: NamedTempFile,
}

impl Running {
    /// Starts a command and waits until it says that it is ready.
    ///
    /// # Panics
    /// If it ends instead; its error output is shown.
    #[must_use]
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut command = vouch(data, arguments);
        command.arg("--json");
        Self::spawn(command)
    }

    /// As [`Running::start`], with a command that has `--json` already.
    ///
    /// # Panics
    /// As [`Running::start`].
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        let errors = NamedTempFile::new().expect("a file");
        let file = errors.reopen().expect("the file");
        let started = command.stdout(Stdio::piped()).stderr(file).spawn();
        let mut child = started.expect("the binary starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        stdout.read_line(&mut line).expect("stdout is UTF-8");
        // A pipe that nobody reads would fill up and stop the process.
        std::thread::spawn(move || io::copy(&mut stdout, &mut io::sink()));
        let mut running = Self { child, ready: Value::Null, errors };
        running.ready = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{command:?} is not ready: {line}{}", running.said()));
        running
    }

    /// A provider on free ports.
    #[must_use]
    pub fn up(data: &Path, more: &[&str]) -> Self {
        let ports = ["up", "--listen", "127.0.0.1:0", "--chain-listen", "127.0.0.1:0"];
        Self::start(data, &[&ports, more].concat())
    }

    /// A field of the ready document.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> String {
        let field = &self.ready[name];
        field.as_str().unwrap_or_else(|| panic!("no {name} in {}", self.ready)).to_owned()
    }

    /// What it said on standard error so far.
    ///
    /// # Panics
    /// If that is not UTF-8.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.errors.path()).expect("stderr is UTF-8")
    }

    /// A GET at its gateway: status and body.
    ///
    /// # Panics
    /// If it has none, or does not answer.
    #[must_use]
    pub fn get(&self, path: &str) -> (u16, Vec<u8>) {
        http("GET", &format!("{}{path}", self.field("gateway")), "")
    }

    /// Its exit code, once it has ended by itself.
    ///
    /// # Panics
    /// If it does not within half a minute.
    pub fn ended(&mut self) -> Option<i32> {
        let mut code = None;
        until("it ends", || {
            let status = self.child.try_wait().expect("it can be waited for");
            code = status.and_then(|status| status.code());
            status.is_some()
        });
        code
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If the process cannot be waited for.
    pub fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it can be waited for");
    }

    /// Ctrl-C; true if it then ended cleanly.
    ///
    /// # Panics
    /// If the process cannot be signalled or waited for.
    #[must_use]
    pub fn stop(mut self) -> bool {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().expect("kill runs");
        assert!(sent.success(), "{pid} was not running");
        self.child.wait().expect("it can be waited for").success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Copies a directory with all that is in it.
///
/// # Panics
/// If that cannot be done.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("it can be copied");
        }
    }
}

/// Waits, for half a minute at most.
///
/// # Panics
/// If it does not hold by then.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..300 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("within 30 s it did not come that {what}");
}

/// Runs a foreign client of `tests/clients`, unmodified, and returns the JSON it prints: a `.mjs`
/// with Node, a `.py` with the Python that has its packages.
///
/// # Panics
/// If it was not installed, or fails.
#[must_use]
pub fn client(script: &str, arguments: &[&str]) -> Value {
    let python = script.ends_with(".py");
    let packages = installed(if python { ".venv" } else { "node_modules" });
    let runs = if python { packages.join("bin/python") } else { "node".into() };
    json(Command::new(runs).arg(script).args(arguments).current_dir(clients()))
}

/// Where the foreign clients are.
#[must_use]
pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// What was installed for the tests, by its path below `tests/clients`.
///
/// # Panics
/// If it was not.
#[must_use]
pub fn installed(path: &str) -> PathBuf {
    let found = clients().join(path);
    assert!(found.exists(), "{} is missing: run `cargo xtask test`", found.display());
    found
}

/// An address of this machine that nothing listens on at the moment, for what must come back on the
/// same one.
///
/// # Panics
/// If no port is free.
#[must_use]
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").to_string()
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    head: String,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A header's value, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }
}

/// A small HTTP/1.0 exchange, without a client library.
///
/// # Errors
/// If the server is not there, goes away in the middle, or answers with something else than HTTP.
pub fn try_http(method: &str, url: &str, body: &str) -> io::Result<Reply> {
    let mut stream = send(method, url, body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let no_http = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(no_http)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(no_http)?;
    let body = answer.split_off(end + 4);
    let reply = Reply { status, head, body };
    match reply.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) if reply.body.len() < length => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(reply),
    }
}

/// Sends a request and returns the connection, from which the answer can be read.
///
/// # Errors
/// If the server is not there.
///
/// # Panics
/// If the URL is not an http one.
pub fn send(method: &str, url: &str, body: &str) -> io::Result<TcpStream> {
    let rest = url.strip_prefix("http://").expect("an http URL");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let length = body.len();
    write!(
        stream,
        "{method} /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    Ok(stream)
}

/// As [`try_http`], where the server must be there: status and body.
///
/// # Panics
/// If it is not.
#[must_use]
pub fn http(method: &str, url: &str, body: &str) -> (u16, Vec<u8>) {
    let reply = try_http(method, url, body).expect("the server answers");
    (reply.status, reply.body)
}

/// Calls a chain's JSON-RPC; returns the result.
///
/// # Panics
/// If the chain does not answer, or with an error.
#[must_use]
pub fn rpc(chain: &str, method: &str, parameters: &Value) -> Value {
    let call =
        serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
    let (status, body) = http("POST", chain, &call.to_string());
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert!(status == 200 && answer.get("error").is_none(), "{answer}");
    answer["result"].clone()
}

/// Moves a test chain's time, which then has a block of that time.
///
/// # Panics
/// As [`rpc`].
pub fn later(chain: &str, seconds: u64) {
    let _shift = rpc(chain, "evm_increaseTime", &serde_json::json!([seconds]));
    let _block = rpc(chain, "evm_mine", &serde_json::json!([]));
}
