//! What became of the transfers, as a node tells it after the clock has stopped.

use std::collections::HashSet;

use alloy_primitives::{Address, B256, U64, U256, hex};
use alloy_sol_types::{SolCall, SolEvent};
use anyhow::{Context, ensure};
use serde::Deserialize;
use vouch_contracts::bindings::TestDollar;

use crate::{
    measure::settled,
    node::{Node, Who},
    rpc::{BATCH, Body, Connection, batches, number},
    transfers::Transfers,
};

/// Receipts that are asked for at once: they are 2 kB each.
const RECEIPTS: u64 = 1_000;
/// So many transfers are looked up by their hash too.
const SAMPLE: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    transaction_hash: B256,
    status: U64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    transaction_hash: B256,
}

/// Checks that the setup and the first `count` transfers did what they should, and that nothing else
/// did anything: each has a receipt of its success, no block has another, and each sender has the
/// tokens and the nonce that follow from all of them.
pub(crate) async fn check(node: &Node, transfers: &Transfers, count: usize) -> anyhow::Result<()> {
    let mut connection = node.connect().await?;
    check_receipts(node, &mut connection, transfers, count)
        .await
        .with_context(|| format!("{:?} did something else", node.who))?;
    settled(&mut connection, &transfers.nonces(count)).await?;
    let token = transfers.token;
    let calls = transfers.senders.iter().map(|account| {
        let data = hex::encode(TestDollar::balanceOfCall { account: *account }.abi_encode());
        format!(r#"[{{"to":"{token}","data":"0x{data}"}},"latest"]"#)
    });
    let mut found = Vec::new();
    for body in batches("eth_call", calls.collect()) {
        found.extend(connection.results(&body).await?);
    }
    let expected = transfers.balances(count).into_iter().map(U256::from);
    let wrong = found.iter().zip(expected).filter(|(found, expected)| {
        found.as_str().and_then(|text| text.parse::<U256>().ok()) != Some(*expected)
    });
    let wrong = wrong.count();
    ensure!(wrong == 0, "{:?}: {wrong} of {} balances are wrong", node.who, found.len());
    Ok(())
}

async fn check_receipts(
    node: &Node,
    connection: &mut Connection,
    transfers: &Transfers,
    count: usize,
) -> anyhow::Result<()> {
    let expected: Vec<_> = transfers.setup.iter().chain(&transfers.signed[..count]).collect();
    let hashes: Vec<_> = expected.iter().map(|signed| format!(r#"["{}"]"#, signed.hash)).collect();
    let blocks = blocks(connection).await?;
    let (all, found) = (expected.len() as u64, blocks.iter().map(|(_, size)| size).sum::<u64>());
    ensure!(found == all, "{all} transactions were sent, {found} are in blocks");
    let setup = transfers.setup.len();
    let sample = hashes.iter().step_by((hashes.len() / SAMPLE).max(1));
    let some = hashes[..setup].iter().chain(sample).cloned().collect();
    let mut succeeded = by_hash(connection, some).await?;
    succeeded.extend(match node.who {
        Who::Hardhat => by_hash(connection, hashes).await?,
        Who::Anvil | Who::AnvilInterval => by_logs(connection, transfers.token, blocks).await?,
        Who::Vouch | Who::VouchInterval => by_block(connection, blocks).await?,
    });
    let failed = expected.iter().filter(|signed| !succeeded.contains(&signed.hash)).count();
    ensure!(failed == 0, "{failed} of {all} transactions have no receipt of success");
    Ok(())
}

/// All blocks but the first, and how many transactions each has.
async fn blocks(connection: &mut Connection) -> anyhow::Result<Vec<(String, u64)>> {
    let newest = number(&connection.call("eth_blockNumber", "[]").await?)?;
    let blocks: Vec<_> = (1..=newest).map(|block| format!(r#"["{block:#x}"]"#)).collect();
    let mut sizes = Vec::new();
    for body in batches("eth_getBlockTransactionCountByNumber", blocks.clone()) {
        let counts = connection.results(&body).await?;
        sizes.extend(counts.iter().map(number).collect::<anyhow::Result<Vec<_>>>()?);
    }
    Ok(blocks.into_iter().zip(sizes).collect())
}

/// Hardhat has no other way, and one transaction a block. A node that reads a whole block for one
/// receipt takes long where blocks are large.
async fn by_hash(
    connection: &mut Connection,
    hashes: Vec<String>,
) -> anyhow::Result<HashSet<B256>> {
    let mut succeeded = HashSet::new();
    for body in batches("eth_getTransactionReceipt", hashes) {
        for receipt in connection.results(&body).await? {
            succeeded.extend(success(&serde_json::from_value(receipt)?));
        }
    }
    Ok(succeeded)
}

/// A transfer that fails leaves no log. Anvil takes seconds for the receipts of a block of thousands,
/// also if it is asked for each.
async fn by_logs(
    connection: &mut Connection,
    token: Address,
    blocks: Vec<(String, u64)>,
) -> anyhow::Result<HashSet<B256>> {
    let topic = TestDollar::Transfer::SIGNATURE_HASH;
    let filters = blocks.iter().filter(|(_, size)| *size > 0).map(|(block, _)| {
        let block = block.trim_matches(['[', ']']);
        format!(
            r#"[{{"address":"{token}","topics":["{topic}"],"fromBlock":{block},"toBlock":{block}}}]"#
        )
    });
    let mut succeeded = HashSet::new();
    for filter in filters {
        let logs = connection.call("eth_getLogs", &filter).await?;
        let logs: Vec<Log> = serde_json::from_value(logs)?;
        succeeded.extend(logs.iter().map(|log| log.transaction_hash));
    }
    Ok(succeeded)
}

async fn by_block(
    connection: &mut Connection,
    blocks: Vec<(String, u64)>,
) -> anyhow::Result<HashSet<B256>> {
    let (mut succeeded, mut waiting, mut transactions) = (HashSet::new(), Vec::new(), 0);
    for (block, size) in blocks {
        if !waiting.is_empty() && (waiting.len() == BATCH || transactions + size > RECEIPTS) {
            succeeded.extend(of_blocks(connection, &mut waiting).await?);
            transactions = 0;
        }
        waiting.push(block);
        transactions += size;
    }
    succeeded.extend(of_blocks(connection, &mut waiting).await?);
    Ok(succeeded)
}

async fn of_blocks(
    connection: &mut Connection,
    blocks: &mut Vec<String>,
) -> anyhow::Result<Vec<B256>> {
    let body = Body::new("eth_getBlockReceipts", blocks.drain(..));
    let mut succeeded = Vec::new();
    for receipts in connection.results(&body).await? {
        let receipts: Vec<Receipt> = serde_json::from_value(receipts)?;
        succeeded.extend(receipts.iter().filter_map(success));
    }
    Ok(succeeded)
}

fn success(receipt: &Receipt) -> Option<B256> {
    (receipt.status == U64::ONE).then_some(receipt.transaction_hash)
}
