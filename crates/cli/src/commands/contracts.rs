//! `vouch contracts`: the contracts on a chain, and where they stand.

use std::path::Path;

use alloy::providers::{DynProvider, Provider as _};
use alloy_primitives::Address;
use anyhow::{Context, bail};
use serde_json::json;
use vouch_contracts::{Deployment, Economy, Governance, deploy_economy, economy, standing};
use vouch_settle::without_keys;

use super::market;
use crate::{
    arguments::{Contracts, Economics},
    deployed, onchain,
    output::Output,
    provider::Keys,
};

pub(crate) async fn run(
    arguments: Contracts,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let (economics, deploys) = match &arguments {
        Contracts::Deploy(economics) => (economics, true),
        Contracts::Show(economics) => (economics, false),
        Contracts::Market(market) => return market::run(market, data_dir, output).await,
    };
    let keys = Keys::open(data_dir)?;
    let url = economics.chain.as_deref().unwrap_or(onchain::DEFAULT_CHAIN);
    let reader = onchain::reader(url)?;
    let from = keys.wallet.address();
    let governance = governance(economics, from);
    let (deployment, economy) = match deploys {
        false => {
            let standing = standing(&reader, economics.dollar, from).await?;
            (standing.deployment, economy(&governance)?)
        }
        true => {
            let balance = reader.get_balance(from).await;
            let silent = || format!("the chain at {} does not answer", without_keys(url));
            if balance.with_context(silent)?.is_zero() {
                bail!("the account {from} has no ether on that chain: send it some to deploy");
            }
            let deployment = deployed::make(&reader, &keys, data_dir, economics.dollar).await?;
            let signer = onchain::signer(&reader, &keys.wallet)?;
            (deployment, deploy_economy(&signer, from, &governance).await?)
        }
    };
    print(&reader, &deployment, &governance, &economy, output).await
}

/// Votes of days with a holder that is named, else of seconds for the machine's own provider.
pub(super) fn governance(economics: &Economics, provider: Address) -> Governance {
    let governance = match (economics.holder, economics.development) {
        (Some(holder), false) => Governance::public(holder),
        (holder, _) => Governance::development(holder.unwrap_or(provider)),
    };
    Governance { dollar: economics.dollar.unwrap_or(governance.dollar), ..governance }
}

async fn print(
    reader: &DynProvider,
    deployment: &Deployment,
    governance: &Governance,
    economy: &Economy,
    output: Output,
) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for (name, address) in deployed::named(deployment).into_iter().chain(economy.named()) {
        let code = reader.get_code_at(address).await.context("the chain does not answer")?;
        lines.push((name, address, !code.is_empty()));
    }
    let value = json!({
        "deployment": deployment,
        "governance": governance,
        "economy": economy,
        "missing": lines.iter().filter(|line| !line.2).map(|line| line.0).collect::<Vec<_>>(),
    });
    output.answer(&value, || {
        let lines = lines.iter().map(|(name, address, stands)| {
            format!("{name:<20} {address}{}", if *stands { "" } else { "  not deployed" })
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}
