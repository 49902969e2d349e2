//! `vouch up`: chain, model, gateway and log in one process.

use std::path::Path;

use alloy::providers::DynProvider;
use vouch_contracts::{Deployment, Economy, Governance, deploy_economy};
use vouch_settle::{Endpoints, Finality, Schedule, Sending};

use super::chain;
use crate::{
    arguments,
    config::Config,
    node, onchain,
    output::Output,
    provider::{Keys, Provider, Settling},
    serve,
};

pub(crate) async fn run(
    mut arguments: arguments::Up,
    config: &Config,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    config.fill_sale(&mut arguments.sale);
    let keys = Keys::open(data_dir)?;
    let chain = node::open(data_dir, keys.wallet.address(), node::Usage::Provider)?;
    let listen = arguments.chain_listen.or(config.chain.listen).unwrap_or(chain::DEFAULT_LISTEN);
    let (listener, address) = serve::bind(listen, "--chain-listen").await?;
    let rpc = format!("http://{address}");
    let economy = economy(&chain.provider(), &keys).await?;
    let settling = Settling {
        endpoints: Endpoints::one(chain.provider()),
        deployment: Deployment::genesis(chain.chain_id()),
        contracts: economy.named().map(|(name, address)| (name.to_owned(), address)).into(),
        rpc: Some(rpc.clone()),
        finality: Finality::Blocks(0),
        head_age: None,
        sending: Sending::default(),
        schedule: Schedule::default(),
    };
    let provider =
        Provider::start(data_dir, keys, settling, &arguments.sale, &arguments::Storage::default())
            .await?;
    let json_rpc = tokio::spawn(serve::until(listener, chain.router(), std::future::pending()));
    let end = serve::interrupted();
    provider.announce(Some(&rpc), output)?;
    provider.serve(end).await?;
    // The chain outlives the gateway, whose last transactions go to it.
    json_rpc.abort();
    chain.close()?;
    output.line("ended");
    Ok(())
}

/// The economy's contracts, deployed once; the provider's key holds the votes.
async fn economy(chain: &DynProvider, keys: &Keys) -> anyhow::Result<Economy> {
    let from = keys.wallet.address();
    let signing = onchain::signer(chain, &keys.wallet)?;
    Ok(deploy_economy(&signing, from, &Governance::development(from)).await?)
}
