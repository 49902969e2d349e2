//! Which contracts a provider settles by: kept for each chain in its directory.

use std::path::{Path, PathBuf};

use alloy::providers::{DynProvider, Provider as _};
use alloy_primitives::Address;
use anyhow::{Context, bail};
use vouch_contracts::{Deployment, Standing, deploy, standing};

use crate::{onchain, provider::Keys};

/// Those that `vouch contracts deploy` deployed here or that stand where they would be.
pub(crate) async fn find(
    chain: &DynProvider,
    keys: &Keys,
    data_dir: &Path,
) -> anyhow::Result<Deployment> {
    let chain_id = chain.get_chain_id().await.context("the chain does not answer")?;
    if let Some(kept) = read(data_dir, chain_id)? {
        for (name, address) in named(&kept) {
            let code = chain.get_code_at(address).await.context("the chain does not answer")?;
            if code.is_empty() {
                bail!(
                    "{} names {address} as {name}, and nothing stands there on chain {chain_id}: \
                     remove the file and run `vouch contracts deploy`",
                    path(data_dir, chain_id).display()
                );
            }
        }
        return Ok(kept);
    }
    let Standing { deployment, missing } = standing(chain, None, keys.wallet.address()).await?;
    if !missing.is_empty() {
        bail!(
            "chain {chain_id} lacks {}: deploy what is missing with `vouch contracts deploy --chain \
             URL`, which the provider's account {} pays for",
            missing.join(", "),
            keys.wallet.address()
        );
    }
    Ok(deployment)
}

/// Deploys what is missing and keeps which contracts these are; `dollar` pays, or a test dollar.
pub(crate) async fn make(
    chain: &DynProvider,
    keys: &Keys,
    data_dir: &Path,
    dollar: Option<Address>,
) -> anyhow::Result<Deployment> {
    let from = keys.wallet.address();
    let signing = onchain::signer(chain, &keys.wallet)?;
    let deployment = deploy(&signing, from, dollar, from).await?;
    let path = path(data_dir, deployment.chain_id);
    std::fs::write(&path, serde_json::to_vec_pretty(&deployment)?)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(deployment)
}

/// The contracts by name.
pub(crate) fn named(deployment: &Deployment) -> [(&'static str, Address); 4] {
    [
        ("token", deployment.token),
        ("settlement", deployment.settlement),
        ("collector", deployment.collector),
        ("anchor", deployment.anchor),
    ]
}

fn read(data_dir: &Path, chain_id: u64) -> anyhow::Result<Option<Deployment>> {
    let path = path(data_dir, chain_id);
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("{} is not valid", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

fn path(data_dir: &Path, chain_id: u64) -> PathBuf {
    data_dir.join("provider").join(format!("deployment-{chain_id}.json"))
}
