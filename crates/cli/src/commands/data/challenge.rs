//! `vouch data earnings --challenge` and `--enforce`: a left-out receipt is proven on the chain.

use std::path::Path;

use alloy::{eips::BlockNumberOrTag, providers::Provider as _};
use alloy_primitives::U256;
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use vouch_contracts::bindings::{
    ContributionRoot::{Challenge, ContributionRootInstance},
    TestDollar::TestDollarInstance,
};
use vouch_data::payout::{Contributions, Held, History, explain};

use super::owner::{Owner, Place, fund};
use crate::money::Dollars;

/// The time that a transaction sent now would see, in seconds.
pub(super) async fn chain_time(place: &Place) -> anyhow::Result<u64> {
    for tag in [BlockNumberOrTag::Pending, BlockNumberOrTag::Latest] {
        // Not every node shows what is pending.
        if let Ok(Some(block)) = place.provider.get_block_by_number(tag).await {
            return Ok(block.header.timestamp);
        }
    }
    anyhow::bail!("the chain does not answer for its time")
}

/// What was done about one series, for people and as JSON.
pub(super) struct Done {
    pub(super) text: String,
    pub(super) value: Value,
}

/// Sends the proof that the pending root leaves out a receipt of this owner's, if it does.
pub(super) async fn challenge(
    owner: &Owner,
    history: &History,
    held: &[Held],
    data_dir: &Path,
) -> anyhow::Result<Option<Done>> {
    let (account, series) = (owner.wallet.address(), history.series);
    let books = explain(history, held).accounts.into_iter().find(|b| b.account == account);
    let Some(omission) = books.and_then(|books| books.omission) else { return Ok(None) };
    let (provider, contract) = (&owner.place.provider, owner.place.economy.contributions);
    let reader = ContributionRootInstance::new(contract, provider.clone());
    let pending = reader.proposals(series).call().await.context("the chain does not answer")?;
    ensure!(
        pending.root == omission.root && chain_time(&owner.place).await? < pending.finalAt,
        "root {} of series {series} leaves a receipt out, and its window is over: what it leaves \
         out is owed in the next root, which can be challenged",
        omission.root
    );
    ensure!(
        matches!(pending.challenge, Challenge::None),
        "series {series} is challenged already, until Unix time {}: then --enforce",
        pending.deadline
    );
    let opened = reader.seriesOf(series).call().await.context("the chain does not answer")?;
    let token = TestDollarInstance::new(opened.token, provider.clone());
    let balance = token.balanceOf(account).call().await.context("the chain does not answer")?;
    ensure!(
        balance >= U256::from(opened.bond),
        "a challenge in series {series} risks {}, and {account} has {}: it comes back twice if the \
         publisher has no answer",
        Dollars(opened.bond),
        Dollars(balance.saturating_to())
    );
    fund(&owner.place, account, data_dir).await?;
    let contributions = Contributions::new(provider, contract, &owner.wallet)?;
    let Held { receipt, promise } = &omission.proof;
    let sent = contributions.challenge(series, receipt, promise).await?;
    let pending = reader.proposals(series).call().await.context("the chain does not answer")?;
    Ok(Some(Done {
        text: format!(
            "challenged root {} of series {series} with receipt {}\n  the publisher has until Unix \
             time {} to show a leaf that covers it; without an answer `vouch data earnings \
             --enforce` then voids the root, and {} comes here",
            omission.root,
            receipt.digest(),
            pending.deadline,
            Dollars(opened.bond.saturating_mul(2)),
        ),
        value: json!({
            "series": series, "challenged": omission.root, "receipt": receipt.digest(),
            "deadline": pending.deadline, "transaction": sent.transaction_hash,
        }),
    }))
}

/// Voids the pending root if it was challenged for this owner's receipt and had no answer in time.
pub(super) async fn enforce(
    owner: &Owner,
    history: &History,
    data_dir: &Path,
) -> anyhow::Result<Option<Done>> {
    let (account, series) = (owner.wallet.address(), history.series);
    let (provider, contract) = (&owner.place.provider, owner.place.economy.contributions);
    let reader = ContributionRootInstance::new(contract, provider.clone());
    let pending = reader.proposals(series).call().await.context("the chain does not answer")?;
    let ours = pending.account == account || pending.challenger == account;
    if !ours || matches!(pending.challenge, Challenge::None) {
        return Ok(None);
    }
    ensure!(
        chain_time(&owner.place).await? > pending.deadline,
        "the publisher of series {series} has until Unix time {} to answer",
        pending.deadline
    );
    fund(&owner.place, account, data_dir).await?;
    let contributions = Contributions::new(provider, contract, &owner.wallet)?;
    let sent = contributions.enforce(series).await?;
    let taken = contributions.withdraw(history.token).await?;
    Ok(Some(Done {
        text: format!(
            "root {} of series {series} is void: its publisher had no answer\n  {} of bonds came \
             here; what was left out is owed in the next root",
            pending.root,
            Dollars(taken.saturating_to()),
        ),
        value: json!({
            "series": series, "voided": pending.root, "taken": taken,
            "transaction": sent.transaction_hash,
        }),
    }))
}
