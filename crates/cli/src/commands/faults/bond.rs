//! A provider's stake, and what reports have earned.

use alloy::{
    contract::Error as CallError,
    network::Ethereum,
    providers::{DynProvider, PendingTransactionBuilder},
    rpc::types::TransactionReceipt,
};
use alloy_primitives::{Address, U256};
use anyhow::{Context, ensure};
use serde_json::json;
use vouch_contracts::{
    bindings::{
        BondVault::BondVaultInstance,
        Erc20::Erc20Instance,
        KeyRegistry::{KeyRegistryInstance, Role},
    },
    open_demands,
};

use super::{Bench, answer};
use crate::{money::Dollars, output::Output};

async fn vault(bench: &Bench) -> anyhow::Result<BondVaultInstance<DynProvider>> {
    let address = bench.contract().await?.vault().call().await.context(UNANSWERED)?;
    Ok(BondVaultInstance::new(address, bench.signing.clone()))
}

pub(super) async fn show(bench: &Bench, provider: Address, output: Output) -> anyhow::Result<()> {
    let vault = vault(bench).await?;
    let keys = bench.contract().await?.keys().call().await.context(UNANSWERED)?;
    let keys = KeyRegistryInstance::new(keys, bench.signing.clone());
    let key = async |role| keys.keyOf(provider, role).call().await.context(UNANSWERED);
    let (receipts, checkpoints) = (key(Role::Receipts).await?, key(Role::Checkpoints).await?);
    let bond = vault.bonds(provider).call().await.context(UNANSWERED)?;
    let bonded = vault.isBonded(provider).call().await.context(UNANSWERED)?;
    let share = vault.shareBps().call().await.context(UNANSWERED)?;
    let open = open_demands(&bench.signing, bench.faults, provider).await.context(UNANSWERED)?;
    let value = json!({
        "demands": open.iter().map(answer::json).collect::<Vec<_>>(),
        "provider": provider, "stake": bond.stake.to_string(), "leaving": bond.leaving.to_string(),
        "leavesAt": bond.leavesAt, "bonded": bonded, "faultShareBps": share.to_string(),
        "keys": { "receipts": receipts, "checkpoints": checkpoints },
    });
    output.answer(&value, || {
        format!(
            "{provider}\n  stake        {}{}\n  leaving      {}, at Unix time {}\n  a fault costs \
             {share} basis points\n  receipts     {receipts}\n  checkpoints  {checkpoints}{}",
            Dollars(bond.stake),
            if bonded { "" } else { " (not bonded: nothing, or below the least stake)" },
            Dollars(bond.leaving),
            bond.leavesAt,
            open.iter().map(answer::line).collect::<String>(),
        )
    })
}

pub(super) async fn deposit(bench: &Bench, amount: Dollars, output: Output) -> anyhow::Result<()> {
    let vault = vault(bench).await?;
    let token = vault.token().call().await.context(UNANSWERED)?;
    let token = Erc20Instance::new(token, bench.signing.clone());
    let held = token.balanceOf(bench.account).call().await.context(UNANSWERED)?;
    ensure!(
        held >= U256::from(amount.0),
        "{} has {}, too little to stake {amount}",
        bench.account,
        Dollars(held.saturating_to())
    );
    let approval = token.approve(*vault.address(), U256::from(amount.0));
    mined("the approval", approval.send().await).await?;
    let sent = mined("the stake", vault.deposit(bench.account, amount.0).send().await).await?;
    let stake = vault.bonds(bench.account).call().await.context(UNANSWERED)?.stake;
    let value = json!({ "provider": bench.account, "stake": stake.to_string(), "transaction": sent.transaction_hash });
    output.answer(&value, || {
        format!(
            "{} of {} is staked\n  whoever doubts a claim may demand the receipt behind it: look by \
             `vouch faults show`, and answer within 3 days by `vouch faults answer`",
            Dollars(stake),
            bench.account
        )
    })
}

pub(super) async fn start(bench: &Bench, amount: Dollars, output: Output) -> anyhow::Result<()> {
    let vault = vault(bench).await?;
    mined("the withdrawal", vault.startWithdrawal(amount.0).send().await).await?;
    let bond = vault.bonds(bench.account).call().await.context(UNANSWERED)?;
    let value = json!({ "leaving": bond.leaving.to_string(), "leavesAt": bond.leavesAt });
    output.answer(&value, || {
        format!(
            "{} leaves the stake at Unix time {}: then `vouch faults withdraw`",
            Dollars(bond.leaving),
            bond.leavesAt
        )
    })
}

/// Whatever there is to take: of the stake only when its time has come.
pub(super) async fn withdraw(bench: &Bench, output: Output) -> anyhow::Result<()> {
    let (contract, vault) = (bench.contract().await?, vault(bench).await?);
    let reward = vault.rewards(bench.account).call().await.context(UNANSWERED)?;
    if !reward.is_zero() {
        mined("the reward", vault.withdrawReward().send().await).await?;
    }
    let credit = contract.credits(bench.account).call().await.context(UNANSWERED)?;
    if !credit.is_zero() {
        mined("the demand's bond", contract.withdrawCredit().send().await).await?;
    }
    let leaving = vault.bonds(bench.account).call().await.context(UNANSWERED)?.leaving;
    if leaving != 0 {
        mined("the withdrawal", vault.withdraw().send().await).await?;
    }
    let earned = reward.saturating_add(credit);
    let value = json!({ "stake": leaving.to_string(), "earned": earned.to_string() });
    output.answer(&value, || {
        let earned = Dollars(earned.saturating_to());
        format!("took {} of the stake, and {earned} of rewards", Dollars(leaving))
    })
}

const UNANSWERED: &str = "the chain does not answer";

type Sent = Result<PendingTransactionBuilder<Ethereum>, CallError>;

pub(super) async fn mined(what: &str, sent: Sent) -> anyhow::Result<TransactionReceipt> {
    let sent = sent.with_context(|| format!("{what} was refused"))?;
    let receipt =
        sent.get_receipt().await.with_context(|| format!("{what} is not seen on the chain"))?;
    ensure!(receipt.status(), "{what} failed: transaction {}", receipt.transaction_hash);
    Ok(receipt)
}
