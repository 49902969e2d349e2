//! `vouch serve`: the gateway against any EVM chain.

use std::{collections::BTreeMap, path::Path, time::Duration};

use alloy::providers::Provider as _;
use anyhow::ensure;
use vouch_settle::{Endpoints, Finality, Schedule, Sending};

use crate::{
    arguments,
    config::Config,
    deployed, onchain,
    output::Output,
    provider::{Keys, Provider, Settling},
    serve,
};

/// A chain that has made no block for so long stands, or its endpoint is cut off.
const HEAD_AGE: Duration = Duration::from_secs(300);
const WEI_A_GWEI: u128 = 1_000_000_000;

pub(crate) async fn run(
    mut arguments: arguments::Serve,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    config.fill_serve(&mut arguments);
    let urls: Vec<_> = arguments.chain.iter().map(|url| url.trim()).collect();
    ensure!(!urls.is_empty(), "--chain is missing: the JSON-RPC address of the chain that settles");
    let keys = Keys::open(data_dir)?;
    let endpoints = onchain::endpoints(arguments.chain.iter().map(String::as_str))?;
    let finality = match arguments.finality {
        Some(finality) => finality,
        None => usual_finality(&endpoints).await?,
    };
    let deployment = deployed::find(&endpoints.provider(), &keys, data_dir).await?;
    let second = Duration::from_secs(1);
    let schedule = Schedule {
        poll: 2 * second,
        claim: 600 * second,
        anchor: 300 * second,
        ..Schedule::default()
    };
    // Where nothing is taken back, blocks are made when there is something to put into them.
    let age = arguments.max_block_age_s.map(Duration::from_secs);
    let head_age = age.or((finality != Finality::Blocks(0)).then_some(HEAD_AGE));
    let mut sending = Sending::default();
    if let Some(gwei) = arguments.max_gas_gwei {
        sending.max_fee_per_gas = u128::from(gwei).saturating_mul(WEI_A_GWEI);
    }
    let settling = Settling {
        endpoints,
        deployment,
        contracts: BTreeMap::new(),
        rpc: None,
        finality,
        head_age,
        sending,
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

/// What suits the network; an embedded chain of Vouch's own takes nothing back.
async fn usual_finality(endpoints: &Endpoints) -> anyhow::Result<Finality> {
    let chain_id = endpoints.chain_id().await?;
    let client = endpoints.provider().get_client_version().await.unwrap_or_default();
    let finality = match client.starts_with("vouch/") {
        true => Finality::Blocks(0),
        false => Finality::usual(chain_id),
    };
    tracing::info!(chain_id, %finality, "deposits count at the network's usual finality");
    Ok(finality)
}
