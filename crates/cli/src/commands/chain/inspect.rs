//! `vouch chain status`: what there is of a chain that does not run.

use std::{fs, io, path::Path};

use anyhow::Context;
use serde_json::json;
use vouch_chain::{Chain, ForkPoint, Status};

use crate::output::Output;

pub(super) fn run(chain: &Chain, directory: &Path, output: Output) -> anyhow::Result<()> {
    let size = |directory: &Path| {
        bytes(directory).with_context(|| format!("{} cannot be read", directory.display()))
    };
    let (journal, index) = (size(directory)?, size(&directory.join("index"))?);
    let Status {
        block,
        transactions,
        accounts,
        gas_limit,
        next_base_fee,
        oldest_state,
        oldest_block,
        ..
    } = chain.status();
    let id = chain.chain_id();
    let report = json!({
        "chainId": id,
        "block": block,
        "transactions": transactions,
        "accounts": accounts,
        "gasLimit": gas_limit,
        "nextBaseFee": next_base_fee,
        "oldestState": oldest_state,
        "oldestBlock": oldest_block,
        "journalBytes": journal,
        "indexBytes": index,
    });
    output.answer(&report, || {
        let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
        let first = chain.genesis().fork_point().map_or(0, ForkPoint::number);
        let pruned = match oldest_block == first {
            true => String::new(),
            false => format!(" (those before block {oldest_block} were pruned)"),
        };
        format!(
            "chain {id}: block {block}, {transactions} transactions, {accounts} accounts{pruned}\n\
             state is told from block {oldest_state} on; the next base fee is {next_base_fee} wei, \
             blocks may use {gas_limit} gas\n\
             {} MB of blocks and {} MB that find what is in them, in {}",
            megabytes(journal),
            megabytes(index),
            directory.display()
        )
    })
}

/// Of the files right in a directory; 0 if there is none.
pub(super) fn bytes(directory: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    entries.into_iter().try_fold(0, |sum, entry| {
        let metadata = entry?.metadata()?;
        Ok(sum + if metadata.is_file() { metadata.len() } else { 0 })
    })
}
