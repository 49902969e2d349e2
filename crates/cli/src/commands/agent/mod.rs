//! `vouch agent`: agents that trade and vote.

mod adviser;
mod delegate;
mod report;
mod run;
mod simulation;

use std::path::{Path, PathBuf};

use alloy::{
    primitives::Address,
    providers::{DynProvider, Provider, ProviderBuilder},
};
use anyhow::{Context, bail};
use vouch_agent::{
    market::Chain,
    portfolio::Venues,
    run::{Direct, Journal, Order, Outcome},
};
use vouch_wallet::Wallet;

use self::adviser::Connected;
use crate::{
    arguments::{Acting, Agent},
    config::Config,
    endpoint::Endpoint,
    output::Output,
};

const DEFAULT_CHAIN: &str = "http://127.0.0.1:8545";
const DEFAULT_CONNECT: &str = "http://127.0.0.1:4021";

pub(crate) async fn run(
    arguments: Agent,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    match arguments {
        Agent::Run(run) if run.history.history.is_some() => simulation::run(&run, output),
        Agent::Run(run) => run::run(&run, config, data_dir, output).await,
        Agent::Report(report) => report::run(&report, data_dir, output),
        Agent::Delegate(delegate) => delegate::run(&delegate, config, data_dir, output).await,
    }
}

/// Where the run of a file is recorded.
fn journal_dir(named: Option<&PathBuf>, file: &Path, data_dir: &Path) -> anyhow::Result<PathBuf> {
    if let Some(dir) = named {
        return Ok(dir.clone());
    }
    let stem = file.file_stem().with_context(|| format!("{} names no file", file.display()))?;
    Ok(data_dir.join("agent").join(stem))
}

/// All that an acting agent needs.
struct Actor {
    chain: Chain,
    chain_id: u64,
    account: Address,
    executor: Direct,
    adviser: Connected,
    journal: Journal,
}

impl Actor {
    async fn open(
        acting: &Acting,
        file: &Path,
        venues: Venues,
        config: &Config,
        data_dir: &Path,
    ) -> anyhow::Result<Self> {
        if !acting.unguarded {
            bail!(
                "say --unguarded to sign with the agent's own key for its own account: no mandate \
                 then holds it to anything, so give that account no more than it may lose"
            );
        }
        let url = acting.chain.as_deref().or(config.chain.url.as_deref()).unwrap_or(DEFAULT_CHAIN);
        let endpoint = url.parse().with_context(|| format!("{url} is no address of a chain"))?;
        let provider: DynProvider = ProviderBuilder::new().connect_http(endpoint).erased();
        let chain_id = provider.get_chain_id().await;
        let chain_id = chain_id.with_context(|| format!("the chain at {url} does not answer"))?;
        let wallet = Wallet::open_or_create(&data_dir.join("agent"), &crate::passphrase())?;
        let journal = journal_dir(acting.journal.as_ref(), file, data_dir)?;
        let connect = match &acting.connect {
            Some(url) => url.clone(),
            None => Endpoint::described(data_dir)
                .map_or_else(|| DEFAULT_CONNECT.to_owned(), |endpoint| endpoint.url),
        };
        Ok(Self {
            chain: Chain::new(provider.clone()),
            chain_id,
            account: wallet.address(),
            executor: Direct::new(provider, &wallet, venues)?,
            adviser: Connected::new(&connect)?,
            journal: Journal::open(&journal)?,
        })
    }
}

/// What came of an order, for a person.
fn outcome(order: &Order, outcome: &Outcome) -> String {
    let came = match outcome {
        Outcome::Settled(fill) => format!("settled in {}", fill.transaction),
        Outcome::Failed { reason, .. } => format!("failed: {reason}"),
        Outcome::Unknown => "unknown: it is looked for before anything else is done".into(),
    };
    format!("order {} ({})\n  {came}", order.id, order.reason)
}
