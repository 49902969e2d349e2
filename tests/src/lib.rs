//! Start the real `vouch` binary in a temporary directory, talk to it, and stop it.
//!
//! Everything listens on free loopback ports; a process that is dropped is killed.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

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
}

impl Running {
    /// Starts a command and waits until it says that it is ready.
    ///
    /// # Panics
    /// If it ends instead; its error output is shown.
    #[must_use]
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut command = vouch(data, arguments);
        let mut child = command
            .arg("--json")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        stdout.read_line(&mut line).expect("stdout is UTF-8");
        let errors = child.stderr.take().expect("stderr is piped");
        let Ok(ready) = serde_json::from_str(&line) else {
            let mut said = String::new();
            BufReader::new(errors).read_to_string(&mut said).expect("stderr is UTF-8");
            panic!("{command:?} is not ready: {line}{said}");
        };
        // Pipes that nobody reads would fill up and stop the process.
        drain(stdout);
        drain(errors);
        Self { child, ready }
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

fn drain(mut from: impl Read + Send + 'static) {
    std::thread::spawn(move || std::io::copy(&mut from, &mut std::io::sink()));
}

/// A small HTTP/1.1 exchange, without a client library: status and body.
///
/// # Panics
/// If the server cannot be reached or answers with something else than HTTP.
#[must_use]
pub fn http(method: &str, url: &str, body: &str) -> (u16, Vec<u8>) {
    let rest = url.strip_prefix("http://").expect("an http URL");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
    let length = body.len();
    write!(
        stream,
        "{method} /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("the request is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the answer is read");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a header");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer[end + 4..].to_vec())
}
