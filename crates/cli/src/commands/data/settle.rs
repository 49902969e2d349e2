//! `vouch data settle`: the provider proposes the root of all that it owes for data.

use std::{collections::BTreeSet, path::Path, time::Duration};

use alloy_primitives::{Address, U256};
use anyhow::{Context, bail, ensure};
use serde_json::json;
use vouch_contracts::bindings::{
    ContributionRoot::{Challenge, ContributionRootInstance, proposalsReturn},
    TestDollar::TestDollarInstance,
};
use vouch_data::payout::{Contributions, Leaf, Tree, history, totals};
use vouch_wallet::Wallet;

use super::{
    challenge::chain_time,
    owner::{Place, fund, provider_wallet},
    uses::Gateway,
};
use crate::{arguments::data::Settle, money::Dollars, output::Output, time::unix_milliseconds};

/// Receipts get their time a moment before they are durable: none of before the cut-off comes later.
const SETTLING: Duration = Duration::from_secs(1);

pub(super) async fn run(arguments: Settle, data_dir: &Path, output: Output) -> anyhow::Result<()> {
    let place = Place::open(&arguments.on, data_dir).await?;
    let wallet = provider_wallet(data_dir)?
        .context("there is no provider on this machine: `vouch up` or `vouch serve` makes one")?;
    let account = wallet.address();
    let gateway = Gateway::open(&arguments.gateway, &place).await?;
    ensure!(
        gateway.document.provider == account,
        "the gateway is of {}, this machine's provider is {account}",
        gateway.document.provider
    );
    fund(&place, account, data_dir).await?;
    let contract = place.economy.contributions;
    let contributions = Contributions::new(&place.provider, contract, &wallet)?;
    let token = gateway.document.asset.address;
    let series = match own_series(&place, &gateway).await? {
        Some(series) => series,
        None => {
            let (window, bond) = (arguments.window, arguments.bond.0);
            let settlement = gateway.domain.settlement;
            contributions.open(settlement, token, Address::ZERO, window, bond).await?
        }
    };
    let reader = ContributionRootInstance::new(contract, place.provider.clone());
    let pending = reader.proposals(series).call().await.context("the chain does not answer")?;
    let history = history(&place.provider, contract, series).await?;
    let before = history.newest();
    let known = before.map(|before| Tree::from_evidence(&before.evidence)).transpose()?;
    if let Some(said) = wait(&place, &contributions, series, &pending, known.as_ref()).await? {
        return output.answer(&json!({ "series": series, "answered": pending.root }), || said);
    }
    contributions.withdraw(token).await?;

    let until = unix_milliseconds().min(chain_time(&place).await?.saturating_mul(1_000));
    tokio::time::sleep(SETTLING).await;
    let mut leaves = owed(&place, &gateway, &wallet, until).await?;
    if let Some(left_out) = arguments.leave_out {
        leaves.retain(|leaf| leaf.account != left_out);
        leaves.extend(known.as_ref().and_then(|tree| Some(tree.proof(left_out)?.0)));
    }
    if leaves.is_empty() || known.as_ref().is_some_and(|tree| tree.leaves() == sorted(&leaves)) {
        let value = json!({ "series": series, "root": null, "accounts": leaves });
        return output.answer(&value, || format!("series {series} owes nothing new"));
    }
    let tree = Tree::new(leaves)?;
    afford(&place, &gateway, (series, &pending), tree.total()?).await?;
    let sent = contributions.propose(series, &tree, until).await?;
    let pending = reader.proposals(series).call().await.context("the chain does not answer")?;
    let value = json!({
        "series": series, "root": tree.root(), "total": tree.total()?.to_string(), "until": until,
        "finalAt": pending.finalAt, "accounts": tree.leaves(), "transaction": sent.transaction_hash,
    });
    output.answer(&value, || describe(series, &tree, pending.finalAt))
}

fn describe(series: U256, tree: &Tree, final_at: u64) -> String {
    let lines = tree.leaves().iter().map(|leaf| {
        let (account, earned) = (leaf.account, Dollars(leaf.cumulative));
        format!("\n  {account}  {earned} by {} receipts", leaf.sequence)
    });
    format!(
        "series {series}\n  root     {}\n  total    {}\n  final at Unix time {final_at}, if nobody \
         shows a receipt that it leaves out{}",
        tree.root(),
        Dollars(tree.total().unwrap_or_default()),
        lines.collect::<String>(),
    )
}

/// The provider's account must hold what the next root adds, and the bond.
async fn afford(
    place: &Place,
    gateway: &Gateway,
    (series, pending): (U256, &proposalsReturn),
    total: u128,
) -> anyhow::Result<()> {
    let reader = ContributionRootInstance::new(place.economy.contributions, place.provider.clone());
    let opened = reader.seriesOf(series).call().await.context("the chain does not answer")?;
    // A root whose window has passed becomes final with the next proposal.
    let paid_in = if pending.root.is_zero() { opened.total } else { pending.total };
    let needed = total.saturating_sub(paid_in).saturating_add(opened.bond);
    let (token, account) = (gateway.document.asset.address, gateway.document.provider);
    let dollar = TestDollarInstance::new(token, place.provider.clone());
    let balance = dollar.balanceOf(account).call().await.context("the chain does not answer")?;
    ensure!(
        balance >= U256::from(needed),
        "the root needs {} and the provider's account {account} has {}: channels that are claimed \
         bring dollars",
        Dollars(needed),
        Dollars(balance.saturating_to())
    );
    Ok(())
}

fn sorted(leaves: &[Leaf]) -> Vec<Leaf> {
    let mut leaves = leaves.to_vec();
    leaves.sort_by_key(|leaf| leaf.account);
    leaves
}

/// The newest series of this provider in its settlement and token.
async fn own_series(place: &Place, gateway: &Gateway) -> anyhow::Result<Option<U256>> {
    let contract = place.economy.contributions;
    let reader = ContributionRootInstance::new(contract, place.provider.clone());
    let mut series = reader.seriesCount().call().await.context("the chain does not answer")?;
    while !series.is_zero() {
        let opened = reader.seriesOf(series).call().await.context("the chain does not answer")?;
        if opened.publisher == gateway.document.provider
            && opened.settlement == gateway.domain.settlement
            && opened.token == gateway.document.asset.address
        {
            return Ok(Some(series));
        }
        series -= U256::ONE;
    }
    Ok(None)
}

/// A root that is not final stands in the way of the next: a challenge that this root covers is
/// answered, and said; nothing is said where the next can come.
async fn wait(
    place: &Place,
    contributions: &Contributions,
    series: U256,
    pending: &proposalsReturn,
    known: Option<&Tree>,
) -> anyhow::Result<Option<String>> {
    if pending.root.is_zero() {
        return Ok(None);
    }
    let now = chain_time(place).await?;
    match pending.challenge {
        Challenge::None if now >= pending.finalAt => Ok(None),
        Challenge::None => bail!(
            "root {} of series {series} can be challenged until Unix time {}: settle again then",
            pending.root,
            pending.finalAt
        ),
        Challenge::Cover => {
            let covers = known.filter(|tree| tree.root() == pending.root).filter(|tree| {
                tree.proof(pending.account).is_some_and(|(leaf, _)| {
                    leaf.cumulative >= pending.cumulative && leaf.sequence >= pending.sequence
                })
            });
            let tree = covers.with_context(|| {
                format!(
                    "root {} of series {series} leaves out receipt {} of {}, as a challenge says: \
                     it is void once someone enforces that, after Unix time {}",
                    pending.root, pending.sequence, pending.account, pending.deadline
                )
            })?;
            contributions.answer(series, tree, pending.account).await?;
            Ok(Some(format!(
                "answered the challenge of root {}: its window runs anew",
                pending.root
            )))
        }
        _ => bail!("root {} of series {series} is before its arbiter", pending.root),
    }
}

/// What this provider owes by its own receipts of before `until`.
async fn owed(
    place: &Place,
    gateway: &Gateway,
    wallet: &Wallet,
    until: u64,
) -> anyhow::Result<Vec<Leaf>> {
    let provider = gateway.document.provider;
    let grants = place.consents().await?.grants();
    // Also of grants that ended or were revoked: what was used before is owed.
    let ours = grants.iter().filter(|(_, held)| held.grant.grantee == provider);
    let owners: BTreeSet<Address> = ours.map(|(_, held)| held.grant.owner).collect();
    let mut receipts = Vec::new();
    for owner in owners {
        let found = gateway.uses(owner, wallet).await?;
        ensure!(
            found.faults.is_empty(),
            "the own receipts are damaged: {}",
            found.faults.join("; ")
        );
        receipts.extend(found.uses.into_iter().map(|usage| usage.receipt));
    }
    let asset = gateway.document.asset.address;
    Ok(totals(&receipts, &gateway.domain, provider, asset, until)?)
}
