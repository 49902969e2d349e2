//! `vouch serve`: the gateway against any EVM chain.

use std::{collections::BTreeMap, path::Path, time::Duration};

use alloy::providers::{DynProvider, Provider as _};
use anyhow::{Context, bail};
use vouch_contracts::{Deployment, deploy};
use vouch_settle::Schedule;

use crate::{
    arguments,
    config::Config,
    onchain,
    output::Output,
    provider::{Keys, Provider, Settling},
    serve,
};

/// Blocks until a deposit counts, on a chain that others run.
const FINALITY_BLOCKS: u64 = 2;

pub(crate) async fn run(
    mut arguments: arguments::Serve,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    config.fill_sale(&mut arguments.sale);
    let url = arguments.chain.as_ref().or(config.chain.url.as_ref());
    let url = url.context("--chain is missing: the JSON-RPC address of the chain that settles")?;
    let keys = Keys::open(data_dir)?;
    let provider = onchain::reader(url)?;
    let deployment = deployment(&provider, &keys, data_dir).await?;
    let second = Duration::from_secs(1);
    let schedule = Schedule {
        poll: 2 * second,
        claim: 600 * second,
        anchor: 300 * second,
        ..Schedule::default()
    };
    let settling = Settling {
        provider,
        deployment,
        contracts: BTreeMap::new(),
        rpc: None,
        finality: FINALITY_BLOCKS,
        schedule,
    };
    let provider =
        Provider::start(data_dir, keys, settling, &arguments.sale, &arguments.storage).await?;
    let end = serve::interrupted();
    provider.announce(None, output)?;
    provider.serve(end).await?;
    output.line("ended");
    Ok(())
}

/// The contracts in use: those deployed earlier, else the canonical ones, else new ones.
async fn deployment(
    provider: &DynProvider,
    keys: &Keys,
    data_dir: &Path,
) -> anyhow::Result<Deployment> {
    let chain = provider.get_chain_id().await.context("the chain does not answer")?;
    let path = data_dir.join("provider").join(format!("deployment-{chain}.json"));
    if let Ok(text) = std::fs::read_to_string(&path) {
        return serde_json::from_str(&text)
            .with_context(|| format!("{} is not valid", path.display()));
    }
    let genesis = Deployment::genesis(chain);
    let standing =
        provider.get_code_at(genesis.anchor).await.context("the chain does not answer")?;
    let deployment = if standing.is_empty() {
        let address = keys.wallet.address();
        if provider.get_balance(address).await?.is_zero() {
            bail!(
                "the provider's account {address} has no ether on chain {chain}: send it some to deploy the contracts"
            );
        }
        let signing = onchain::signer(provider, &keys.wallet)?;
        deploy(&signing, address, address).await?
    } else {
        genesis
    };
    std::fs::write(&path, serde_json::to_vec_pretty(&deployment)?)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(deployment)
}
