//! What became of the transfers, as a node tells it after the clock has stopped.

use std::collections::HashSet;

use alloy_primitives::{B256, U64, U256, hex};
use alloy_sol_types::SolCall;
use anyhow::{Context, ensure};
use serde::Deserialize;
use vouch_contracts::bindings::TestDollar;

use crate::{
    measure::settled,
    node::Node,
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

/// Checks that the setup and the first `count` transfers did what they should, and that nothing else
/// did anything: each has a receipt of its success, no block has another, and each sender has the
/// tokens and the nonce that follow from all of them.
pub(crate) async fn check(node: &Node, transfers: &Transfers, count: usize) -> anyhow::Result<()> {
    let mut connection = node.connect().await?;
    check_receipts(&mut connection, transfers, count)
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
    connection: &mut Connection,
    transfers: &Transfers,
    count: usize,
) -> anyhow::Result<()> {
    let receipts = receipts(connection).await?;
    let expected = transfers.setup.iter().chain(&transfers.signed[..count]);
    let all = transfers.setup.len() + count;
    ensure!(receipts.len() == all, "{all} transactions have {} receipts", receipts.len());
    let succeeded = receipts.iter().filter(|receipt| receipt.status == U64::ONE);
    let succeeded: HashSet<_> = succeeded.map(|receipt| receipt.transaction_hash).collect();
    let failed = expected.filter(|signed| !succeeded.contains(&signed.hash)).count();
    ensure!(failed == 0, "{failed} of {all} transactions have no receipt of success");

    let step = (count / SAMPLE).max(1);
    for signed in transfers.signed[..count].iter().step_by(step) {
        let hash = format!(r#"["{}"]"#, signed.hash);
        let found = connection.call("eth_getTransactionReceipt", &hash).await?;
        let found: Receipt = serde_json::from_value(found)?;
        ensure!(found.transaction_hash == signed.hash, "{found:?} is that of {}", signed.hash);
    }
    Ok(())
}

/// All receipts of all blocks. Nodes that read a whole block for one transaction's receipt would
/// need hours to give them one by one.
async fn receipts(connection: &mut Connection) -> anyhow::Result<Vec<Receipt>> {
    let newest = number(&connection.call("eth_blockNumber", "[]").await?)?;
    let blocks: Vec<_> = (1..=newest).map(|block| format!(r#"["{block:#x}"]"#)).collect();
    let mut sizes = Vec::new();
    for body in batches("eth_getBlockTransactionCountByNumber", blocks.clone()) {
        let counts = connection.results(&body).await?;
        sizes.extend(counts.iter().map(number).collect::<anyhow::Result<Vec<_>>>()?);
    }
    let (mut receipts, mut waiting, mut transactions) = (Vec::new(), Vec::new(), 0);
    for (block, size) in blocks.into_iter().zip(sizes) {
        if !waiting.is_empty() && (waiting.len() == BATCH || transactions + size > RECEIPTS) {
            receipts.extend(receipts_of(connection, &mut waiting).await?);
            transactions = 0;
        }
        waiting.push(block);
        transactions += size;
    }
    receipts.extend(receipts_of(connection, &mut waiting).await?);
    Ok(receipts)
}

async fn receipts_of(
    connection: &mut Connection,
    blocks: &mut Vec<String>,
) -> anyhow::Result<Vec<Receipt>> {
    if blocks.is_empty() {
        return Ok(Vec::new());
    }
    let body = Body::new("eth_getBlockReceipts", blocks.drain(..));
    let found = connection.results(&body).await?.into_iter();
    let found = found.map(serde_json::from_value::<Vec<Receipt>>).collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().flatten().collect())
}
