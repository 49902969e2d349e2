//! `vouch agent`: mandates, the signer that acts inside them, and what trades and votes through it.

mod actor;
mod acts;
mod adviser;
mod ask;
mod asker;
mod delegate;
mod hand;
mod log;
mod mandate;
mod report;
mod run;
mod signer;
mod simulation;

use std::path::{Path, PathBuf};

use alloy::providers::{DynProvider, Provider as _};
use anyhow::{Context, ensure};
use serde_json::json;
use vouch_agent::{mandate::Grant, signer::Client};
use vouch_wallet::Wallet;

use crate::arguments::agent::{Agent, Which};
use crate::{config::Config, endpoint::Endpoint, onchain, output::Output};

const MANDATE: &str = "mandate.json";
const KEY: &str = "key.json";
const DEFAULT_CONNECT: &str = "http://127.0.0.1:4021";

pub(crate) async fn run(
    arguments: Agent,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    match arguments {
        Agent::Mandate(command) => mandate::run(command, config, data_dir, output).await,
        Agent::Signer(arguments) => signer::run(arguments, config, data_dir, output).await,
        Agent::Ask(arguments) => ask::run(arguments, data_dir, output).await,
        Agent::Key { name } => {
            let address = agent_key(&home(data_dir, &name)?)?.address();
            output.answer(&json!({ "name": name, "address": address }), || address.to_string())
        }
        Agent::Run(run) if run.history.history.is_some() => simulation::run(&run, output),
        Agent::Run(run) => run::run(&run, config, data_dir, output).await,
        Agent::Report(report) => report::run(&report, data_dir, output),
        Agent::Log(log) => acts::run(&log, data_dir, output).await,
        Agent::Delegate(delegate) => delegate::run(&delegate, config, data_dir, output).await,
    }
}

/// `data_dir/agent/NAME`.
fn home(data_dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ensure!(
        !name.is_empty() && name.len() <= 64 && name.bytes().all(plain),
        "{name:?} is no name for an agent: use letters, digits, - and _"
    );
    Ok(data_dir.join("agent").join(name))
}

/// Where an agent's signer listens, if nothing else was said.
fn socket(home: &Path) -> PathBuf {
    home.join("run").join("signer.sock")
}

/// The agent's signer.
fn client(named: Option<&PathBuf>, home: &Path) -> Client {
    Client::new(named.cloned().unwrap_or_else(|| socket(home)))
}

/// The `vouch connect` that questions go through, without a slash at its end.
fn connect(named: Option<&String>, data_dir: &Path) -> String {
    let url = match named {
        Some(url) => url.clone(),
        None => Endpoint::described(data_dir)
            .map_or_else(|| DEFAULT_CONNECT.to_owned(), |endpoint| endpoint.url),
    };
    url.trim_end_matches('/').trim_end_matches("/v1").to_owned()
}

/// The chain that was named, on the command line or in the file, and its id.
async fn chain(which: &Which, config: &Config) -> anyhow::Result<(DynProvider, u64)> {
    let url = which.chain.as_ref().or(config.chain.url.as_ref());
    let url = url.map_or(onchain::DEFAULT_CHAIN, String::as_str);
    let provider = onchain::reader(url)?;
    provider.client().set_poll_interval(std::time::Duration::from_millis(200));
    let id = provider.get_chain_id().await;
    let id = id.with_context(|| {
        format!("the chain at {url} does not answer: start `vouch up`, or use --chain")
    })?;
    Ok((provider, id))
}

fn read_grant(path: &Path) -> anyhow::Result<Grant> {
    let text = std::fs::read(path).with_context(|| {
        format!("{} cannot be read: make one with `vouch agent mandate new`", path.display())
    })?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no mandate", path.display()))
}

fn agent_key(home: &Path) -> anyhow::Result<Wallet> {
    Ok(Wallet::open_or_create_file(&home.join(KEY), &crate::passphrase())?)
}
