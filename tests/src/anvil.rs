//! A foreign EVM node: anvil, from npm.

use std::{
    io::{self, BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{installed, rpc};

/// An anvil of this test, on a free loopback port; stopped when it is dropped.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    /// Where its JSON-RPC is.
    pub url: String,
}

impl Anvil {
    /// Starts one with more options.
    ///
    /// # Panics
    /// If it was not installed or does not start.
    #[must_use]
    pub fn start(more: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(["--host", "127.0.0.1", "--port", "0"]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("anvil starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut anvil = Self { child, url: String::new() };
        let mut line = String::new();
        while anvil.url.is_empty() {
            line.clear();
            assert!(stdout.read_line(&mut line).expect("text") > 0, "anvil ended at its start");
            if let Some(address) = line.trim().strip_prefix("Listening on ") {
                anvil.url = format!("http://{address}");
            }
        }
        // A pipe that nobody reads would fill up and stop it.
        std::thread::spawn(move || io::copy(&mut stdout, &mut io::sink()));
        anvil
    }

    /// Calls it; gives the result.
    ///
    /// # Panics
    /// If it answers with an error.
    pub fn call(&self, method: &str, parameters: Value) -> Value {
        rpc(&self.url, method, &parameters)
    }

    /// Makes blocks.
    pub fn mine(&self, blocks: u64) {
        self.call("anvil_mine", json!([format!("{blocks:#x}")]));
    }

    /// Takes the newest blocks back, and all that is in them, and makes empty ones instead.
    pub fn reorganise(&self, depth: u64) {
        self.call("anvil_reorg", json!([depth, []]));
    }

    /// Gives an account a thousand ether.
    pub fn fund(&self, account: &str) {
        self.call("anvil_setBalance", json!([account, "0x3635c9adc5dea00000"]));
    }

    /// The number of its newest block.
    ///
    /// # Panics
    /// If it gives none.
    #[must_use]
    pub fn height(&self) -> u64 {
        let number = self.call("eth_blockNumber", json!([]));
        let digits = number.as_str().and_then(|number| number.strip_prefix("0x"));
        u64::from_str_radix(digits.expect("hexadecimal"), 16).expect("a number")
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The platform's own program, without the script around it, so that to kill it ends it.
fn binary() -> PathBuf {
    let entries = std::fs::read_dir(installed("node_modules/@foundry-rs")).expect("a directory");
    let mut binaries = entries.flatten().filter_map(|entry| {
        let platform = entry.file_name().to_str()?.starts_with("anvil-");
        Some(entry.path().join("bin/anvil")).filter(|path| platform && path.exists())
    });
    binaries.next().expect("anvil is missing: run `cargo xtask test`")
}
