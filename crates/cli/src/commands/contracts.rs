//! `vouch contracts`: the economy's contracts on a chain, and where they stand.

use std::path::Path;

use alloy::providers::{DynProvider, Provider as _};
use alloy_primitives::Address;
use anyhow::{Context, bail};
use serde_json::json;
use vouch_contracts::{Economy, Governance, deploy_economy, economy};

use super::market;
use crate::{
    arguments::{Contracts, Economics},
    onchain,
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
    let governance = governance(economics, keys.wallet.address());
    let economy = match deploys {
        false => economy(&governance)?,
        true => {
            let from = keys.wallet.address();
            let balance = reader.get_balance(from).await;
            if balance.with_context(|| format!("the chain at {url} does not answer"))?.is_zero() {
                bail!("the account {from} has no ether on that chain: send it some to deploy");
            }
            deploy_economy(&onchain::signer(&reader, &keys.wallet)?, from, &governance).await?
        }
    };
    print(&reader, &governance, &economy, output).await
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
    governance: &Governance,
    economy: &Economy,
    output: Output,
) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for (name, address) in economy.named() {
        let code = reader.get_code_at(address).await.context("the chain does not answer")?;
        lines.push((name, address, !code.is_empty()));
    }
    let value = json!({
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
