//! `cargo xtask bench NAME`: ours and its peer, in turn, in one run.
//!
//! The peers are unmodified packages from npm and PyPI. Steps go to standard error, so that
//! standard output holds the figures alone.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, bail};

use crate::{
    setup,
    steps::{cargo, command, require, root, target},
};

const PEERS: &str = "benches/peers";
const ARTEFACTS: &str = "contracts/node_modules";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to measure.
    name: Name,
    /// Print a line of JSON a figure.
    #[arg(long)]
    json: bool,
    /// Ours alone.
    #[arg(long)]
    no_peer: bool,
    /// More for the benchmark itself, such as `-- --rounds 5`.
    #[arg(last = true)]
    more: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// A paid call, over a stub upstream; the peers are LiteLLM and the official x402 packages.
    Gateway,
    /// Token transfers on the embedded chain; the peers are anvil and hardhat.
    Chain,
    /// The exact engine; the peer is llama.cpp.
    Model,
    /// Receipts made durable: how many a second, how soon, at what cost; no peer.
    Log,
    /// Charges a second: the embedded store, and gateways on a PostgreSQL; no peer.
    Store,
    /// Vouchers verified, beside libsecp256k1's own recovery.
    Vouchers,
    /// Agents that trade, decide and act, and data that is valued and quoted; the peer is uagents.
    Economy,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut bench = bench(arguments)?;
    if arguments.json {
        bench.arg("--json");
    }
    bench.args(&arguments.more).stdin(Stdio::null());
    let status = bench.status().with_context(|| format!("{bench:?} does not start"))?;
    if !status.success() {
        bail!("{bench:?} ended with {status}");
    }
    told(&format!("bench: {:.0} s", start.elapsed().as_secs_f64()));
    Ok(())
}

fn bench(arguments: &Arguments) -> anyhow::Result<Command> {
    if arguments.json && matches!(arguments.name, Name::Log | Name::Store | Name::Vouchers) {
        bail!("this benchmark prints sentences: leave --json out");
    }
    let (target, peers) = (target()?, root().join(PEERS));
    let (release, data) = (target.join("release"), target.join("bench"));
    let peer = !arguments.no_peer;
    Ok(match arguments.name {
        Name::Log => {
            let mut bench = example("vouch-store", "receipts", &[]);
            // Below the target directory: on a disk, where a temporary directory may not be.
            bench.env("TMPDIR", target);
            bench
        }
        // In the temporary directory: PostgreSQL's own user cannot reach every other.
        Name::Store => example("vouch-store", "charges", &["--features", "postgres"]),
        Name::Vouchers => example("vouch-core", "vouchers", &[]),
        Name::Gateway => {
            let mut bench = built(arguments, &release.join("gateway"))?;
            bench.arg("run").arg("--vouch").arg(release.join("vouch")).arg("--data-dir").arg(data);
            if peer {
                bench.arg("--litellm").arg(peers.join(".venv")).arg("--x402").arg(peers);
            }
            bench
        }
        Name::Chain => {
            let mut bench = built(arguments, &release.join("chain"))?;
            bench.arg("--vouch").arg(release.join("vouch")).arg("--data-dir").arg(data);
            if peer {
                bench.arg("--peers").arg(peers);
            }
            bench
        }
        Name::Model => {
            let mut bench = built(arguments, &release.join("model"))?;
            if peer {
                bench.arg("--llama").arg(peers);
            }
            bench
        }
        Name::Economy => {
            let mut bench = built(arguments, &release.join("economy"))?;
            bench.arg("run").arg("--vouch").arg(release.join("vouch")).arg("--data-dir").arg(data);
            bench.arg("--artefacts").arg(root().join(ARTEFACTS));
            if peer {
                bench.arg("--uagents").arg(peers);
            }
            bench
        }
    })
}

/// A crate measured alone: what it needs is small.
fn example(package: &str, name: &str, more: &[&str]) -> Command {
    let run = ["run", "--release", "--quiet", "--package", package, "--example", name];
    cargo(&[&run[..], more, &["--"]].concat())
}

/// A binary of `benches`, once it, `vouch` and the peer are there.
fn built(arguments: &Arguments, binary: &Path) -> anyhow::Result<Command> {
    step("contracts", Command::new(std::env::current_exe()?).arg("setup"))?;
    if !arguments.no_peer {
        peer(arguments.name)?;
    }
    let build = ["build", "--release", "--package", "vouch-cli", "--package", "vouch-benches"];
    step("build", &mut cargo(&build))?;
    Ok(Command::new(binary))
}

/// Installs a benchmark's peer, unless that was done for the same pins.
fn peer(name: Name) -> anyhow::Result<()> {
    match name {
        // libsecp256k1 is in the crates already.
        Name::Log | Name::Store | Name::Vouchers => Ok(()),
        Name::Gateway => {
            python_peer("requirements.txt", ".venv")?;
            node_peers()
        }
        Name::Economy => python_peer("uagents.txt", ".venv-uagents"),
        Name::Chain | Name::Model => node_peers(),
    }
}

/// All of npm's: anvil, hardhat with the Node.js that it asks for, llama.cpp and x402.
fn node_peers() -> anyhow::Result<()> {
    require("npm", "installs the peers", "apt-get install nodejs npm")?;
    setup::once(PEERS, &["package-lock.json"], "node_modules", || {
        // Optional packages are the same programs for other machines, 700 MB of llama.cpp alone;
        // those for this one are named.
        let install = [&setup::INSTALL[..], &["--omit=optional"]].concat();
        step("peer: npm", &mut command("npm", &install, PEERS))
    })
}

/// One environment a peer: their pins need not agree.
fn python_peer(requirements: &str, venv: &str) -> anyhow::Result<()> {
    setup::python()?;
    setup::once(PEERS, &[requirements], venv, || {
        let make = ["-m", "venv", "--clear", venv];
        step("peer: venv", &mut command("python3", &make, PEERS))?;
        let install = ["install", "--quiet", "--requirement", requirements];
        step("peer: PyPI", &mut command(&format!("{venv}/bin/pip"), &install, PEERS))
    })
}

/// Runs a command whose standard output nobody needs.
fn step(title: &str, command: &mut Command) -> anyhow::Result<()> {
    told(title);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("{command:?} could not be started"))?;
    if !status.success() {
        bail!("{title} failed: {command:?} ended with {status}");
    }
    Ok(())
}

#[allow(clippy::print_stderr, reason = "apart from the figures")]
fn told(text: &str) {
    eprintln!("==> {text}");
}
