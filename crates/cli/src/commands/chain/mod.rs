//! `vouch chain`: the embedded chain alone.

mod accounts;
mod banner;
mod compact;
mod fork;
mod inspect;
mod status;

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
};

use alloy_primitives::Address;
use anyhow::{Context, ensure};
use serde_json::json;
use tempfile::TempDir;
use vouch_chain::{Chain, Genesis, Mining};
use vouch_wallet::Wallet;

use crate::{
    arguments::chain::{self as arguments, Task},
    commands::fsck,
    config::Config,
    node::{self, Usage},
    output::Output,
    serve,
};
use accounts::Accounts;

pub(crate) const DEFAULT_LISTEN: SocketAddr = serve::loopback(8545);
/// Files here are in memory.
const MEMORY: &str = "/dev/shm";

pub(crate) async fn run(
    arguments: arguments::Chain,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<ExitCode> {
    ensure!(
        !arguments.in_memory || arguments.task.is_none(),
        "--in-memory keeps nothing, so that nothing can be imported or looked at: leave it out"
    );
    if let Some(Task::Status | Task::Fsck(_) | Task::Compact) = &arguments.task {
        ensure!(
            node::has_blocks(data_dir),
            "{} holds no chain: name the directory of one with --data-dir",
            data_dir.display()
        );
    }
    match &arguments.task {
        Some(Task::Fsck(options)) => return fsck::run(options, &node::directory(data_dir), output),
        Some(Task::Compact) => {
            compact::run(&node::directory(data_dir), output)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let passing = arguments.in_memory.then(passing_directory).transpose()?;
    let data_dir = passing.as_ref().map_or(data_dir, TempDir::path);
    let (chain, accounts) = open(&arguments, data_dir)?;
    match &arguments.task {
        Some(Task::Import { file }) => import(&chain, file, output)?,
        Some(Task::Export { file, from, to }) => export(&chain, file, *from, *to, output)?,
        Some(_) => inspect::run(&chain, &node::directory(data_dir), output)?,
        None => listen_at(&chain, &arguments, config, accounts.as_ref(), data_dir, output).await?,
    }
    chain.close()?;
    Ok(ExitCode::SUCCESS)
}

/// Goes with the process.
fn passing_directory() -> anyhow::Result<TempDir> {
    let memory = Path::new(MEMORY);
    let directory = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    directory.context("--in-memory has no place to keep the chain while it runs")
}

fn open(
    arguments: &arguments::Chain,
    data_dir: &Path,
) -> anyhow::Result<(Chain, Option<Accounts>)> {
    let new = &arguments.new;
    let mining = match arguments.block_time {
        _ if arguments.no_mining || arguments.task.is_some() => Mining::Manual,
        Some(every) => Mining::Interval(every),
        None => Mining::Instant,
    };
    if let Some(file) = &new.genesis {
        return Ok((node::open_of(data_dir, genesis(file)?, mining, arguments.prune)?, None));
    }
    let accounts = Accounts::open_or_create(data_dir, new)?;
    let signers = accounts.as_ref().map(|accounts| accounts.signers.clone()).unwrap_or_default();
    if let Some(forked) = fork::of(arguments, data_dir)? {
        let prune_blocks = arguments.prune;
        let usage = Usage::Development { mining, prune_blocks, signers, new: new.clone() };
        let begun = fork::is_kept(data_dir)?;
        let chain = node::open_fork(data_dir, &forked, begun, usage)?;
        fork::keep(&forked, data_dir)?;
        return Ok((chain, accounts));
    }
    let operator = operator(arguments, data_dir, accounts.as_ref())?;
    let prune_blocks = arguments.prune;
    let usage = Usage::Development { mining, prune_blocks, signers, new: new.clone() };
    Ok((node::open(data_dir, operator, usage)?, accounts))
}

/// Who governs the contracts that stand on a new chain.
fn operator(
    arguments: &arguments::Chain,
    data_dir: &Path,
    accounts: Option<&Accounts>,
) -> anyhow::Result<Address> {
    let first = accounts.and_then(|accounts| accounts.signers.first());
    if let Some(first) = first.filter(|_| arguments.in_memory) {
        return Ok(first.address());
    }
    Ok(Wallet::open_or_create(&data_dir.join("provider"), &crate::passphrase())?.address())
}

async fn listen_at(
    chain: &Chain,
    arguments: &arguments::Chain,
    config: &Config,
    accounts: Option<&Accounts>,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let configured = arguments.listen.or(config.chain.listen).unwrap_or(DEFAULT_LISTEN);
    let host = arguments.host.unwrap_or(configured.ip());
    let port = arguments.port.unwrap_or(configured.port());
    let option = if arguments.listen.is_some() { "--listen" } else { "--port" };
    let (listener, address) = serve::bind((host, port).into(), option).await?;
    let end = serve::interrupted();
    let banner = banner::Banner { chain, address, accounts, data_dir, arguments };
    let text = banner.text()?;
    output.ready(&banner.json(), || text)?;
    let status = status::Line::start(chain, arguments.silent || output.json);
    let served = serve::until(listener, chain.router(), end).await;
    status.end();
    served
}

fn genesis(file: &Path) -> anyhow::Result<Genesis> {
    let json =
        fs::read(file).with_context(|| format!("--genesis {} cannot be read", file.display()))?;
    Genesis::from_json(&json).with_context(|| format!("--genesis {}", file.display()))
}

fn import(chain: &Chain, file: &Path, output: Output) -> anyhow::Result<()> {
    let why = || format!("{} cannot be imported", file.display());
    let blocks = BufReader::new(File::open(file).with_context(why)?);
    let bar = node::block_bar();
    let taken = chain.import(blocks, |progress| bar.set_position(progress.done));
    bar.finish_and_clear();
    let (taken, head) = (taken.with_context(why)?, *chain.subscribe_head().borrow());
    output.answer(&json!({ "imported": taken, "head": head }), || {
        format!("imported {taken} blocks, the newest is {head}")
    })
}

fn export(
    chain: &Chain,
    file: &Path,
    from: u64,
    to: Option<u64>,
    output: Output,
) -> anyhow::Result<()> {
    let why = || format!("{} cannot be written", file.display());
    // Of a fork, what is here.
    let from = chain.genesis().fork_point().map_or(from, |point| from.max(point.number() + 1));
    let oldest = chain.status().oldest_block;
    ensure!(
        from >= oldest,
        "block {from} was pruned: the oldest that is kept is {oldest}, name it or a later one with \
         --from"
    );
    // What is there stays until all is written.
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let blocks = File::create(&part).with_context(why)?;
    let numbers = from..=to.unwrap_or(u64::MAX);
    let written = chain.export(numbers, BufWriter::new(&blocks)).with_context(why)?;
    blocks.sync_all().with_context(why)?;
    fs::rename(&part, file).with_context(why)?;
    output.answer(&json!({ "exported": written }), || {
        format!("exported {written} blocks to {}", file.display())
    })
}
