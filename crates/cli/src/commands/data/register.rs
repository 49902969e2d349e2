//! `vouch data register`: a node of the lineage, and where its income is sent.

use std::path::Path;

use alloy::providers::Provider as _;
use alloy_primitives::{Address, B256, keccak256};
use anyhow::{Context, ensure};
use serde_json::json;
use vouch_contracts::{
    bindings::{
        ProtocolParameters::ProtocolParametersInstance, RoyaltyVault::RoyaltyVaultInstance,
    },
    vault_under,
};
use vouch_data::lineage::{Kind, Lineage, Node, read};
use vouch_wallet::Wallet;

use super::{
    owner::{Owner, Place, fund, provider_wallet},
    uses::Gateway,
};
use crate::{
    arguments::data::{AtVault, Key, Made, Register},
    output::Output,
};

pub(super) async fn run(
    arguments: Register,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let owner = Owner::open(&arguments.on, data_dir).await?;
    let content = content(&owner, arguments.kind, &arguments.what)?;
    let place = &owner.place;
    let wallet = match arguments.key {
        Key::Owner => owner.wallet,
        Key::Provider => provider_wallet(data_dir)?.context(
            "there is no provider on this machine: `vouch up` or `vouch serve` makes one",
        )?,
    };
    let account = wallet.address();
    let node = Node::new(account, kind(arguments.kind), content, arguments.parents)?;
    if node.kind == Kind::Dataset {
        published(place, content, account).await?;
    }
    let (vault, id) = (vault(place, &arguments.vault, data_dir).await?, node.id());
    let receiver = vault.receiverOf(id).call().await.context("the chain does not answer")?;
    read(&place.provider, place.economy.lineage).await?.check(&node)?;
    let transaction = register(place, &wallet, &node, data_dir).await?;
    let value = json!({
        "node": id, "kind": node.kind, "owner": account, "content": content,
        "parents": node.parents, "passedBps": node.passed_bps(), "receiver": receiver,
        "transaction": transaction,
    });
    output.answer(&value, || {
        let parents = node.parents.iter().map(|(parent, share)| {
            format!("\n  parent    {parent}, {share} hundredths of a percent")
        });
        format!(
            "registered {id}\n  owner     {account}\n  receiver  {receiver}, for `vouch up \
             --receiver`{}",
            parents.collect::<String>()
        )
    })
}

async fn register(
    place: &Place,
    wallet: &Wallet,
    node: &Node,
    data_dir: &Path,
) -> anyhow::Result<B256> {
    fund(place, wallet.address(), data_dir).await?;
    let lineage = Lineage::new(&place.provider, place.economy.lineage, wallet)?;
    Ok(lineage.register(node).await?.transaction_hash)
}

fn kind(made: Made) -> Kind {
    match made {
        Made::Dataset => Kind::Dataset,
        Made::Model => Kind::Model,
        Made::FineTune => Kind::FineTune,
        Made::Service => Kind::Service,
    }
}

/// 32 bytes as they are written; else a dataset of this machine, or the hash of a name.
fn content(owner: &Owner, made: Made, what: &str) -> anyhow::Result<B256> {
    if let Ok(content) = what.parse() {
        return Ok(content);
    }
    ensure!(
        !what.is_empty() && !what.starts_with("0x"),
        "{what:?} is neither 32 bytes in hexadecimal nor a name"
    );
    match made {
        Made::Dataset => Ok(owner.dataset(what)?.id),
        Made::Model | Made::FineTune | Made::Service => Ok(keccak256(what)),
    }
}

/// A dataset's node is its publisher's: nobody takes another's place in the lineage.
async fn published(place: &Place, dataset: B256, account: Address) -> anyhow::Result<()> {
    let known = place.consents().await?.dataset(dataset);
    let known = known.with_context(|| {
        format!("dataset {dataset} is not on the chain: `vouch data publish` puts it there")
    })?;
    ensure!(
        known.owner == account,
        "dataset {dataset} is {}'s: only its owner registers it",
        known.owner
    );
    Ok(())
}

/// Whoever names a vault could name a contract that only looks like one: it must stand where the
/// code that splits by rule stands, and its fee come from parameters with bounds.
async fn genuine(
    place: &Place,
    vault: &RoyaltyVaultInstance<alloy::providers::DynProvider>,
) -> anyhow::Result<()> {
    let address = *vault.address();
    let cannot = || format!("{address} is no royalty vault");
    let parameters = vault.parameters().call().await.with_context(cannot)?;
    let reader = ProtocolParametersInstance::new(parameters, place.provider.clone());
    let timelock = reader.owner().call().await.with_context(cannot)?;
    ensure!(
        vault_under(place.economy.lineage, timelock)? == (parameters, address),
        "the contract at {address} is no royalty vault of this protocol: it could keep what is paid \
         to it; name another by --vault"
    );
    Ok(())
}

/// The vault that was named, else the one that this machine's provider governs; it must split by
/// this registry.
pub(super) async fn vault(
    place: &Place,
    at: &AtVault,
    data_dir: &Path,
) -> anyhow::Result<RoyaltyVaultInstance<alloy::providers::DynProvider>> {
    let address = match (at.vault, &at.provider) {
        (Some(vault), _) => vault,
        (None, Some(url)) => {
            let gateway = Gateway::open(url, place).await?;
            let named = gateway.document.contracts.get("vault").copied();
            named.with_context(|| format!("{url} names no royalty vault: name it by --vault"))?
        }
        (None, None) => {
            ensure!(
                provider_wallet(data_dir)?.is_some(),
                "which vault splits the income is not known here: name it by --vault, or by \
                 --provider a gateway that works with it"
            );
            place.economy.vault
        }
    };
    let code = place.provider.get_code_at(address).await;
    ensure!(
        !code.context("the chain does not answer")?.is_empty(),
        "there is no royalty vault at {address} on chain {}: `vouch contracts deploy` makes one",
        place.chain
    );
    let vault = RoyaltyVaultInstance::new(address, place.provider.clone());
    let registry = vault.registry().call().await;
    let registry = registry.with_context(|| format!("{address} is no royalty vault"))?;
    ensure!(
        registry == place.economy.lineage,
        "the vault {address} splits by another lineage registry, {registry}"
    );
    genuine(place, &vault).await?;
    Ok(vault)
}
