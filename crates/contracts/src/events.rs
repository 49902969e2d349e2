//! What contracts have said: events, in questions that any node answers.

use std::ops::RangeInclusive;

use alloy::{
    eips::BlockNumberOrTag,
    providers::Provider,
    rpc::types::{Filter, Log},
    transports::{TransportErrorKind, TransportResult},
};

/// Blocks of one question, where nothing else is said: what public nodes allow.
pub const BLOCKS_A_QUERY: u64 = 1_000;

/// The logs that a filter asks for, in the chain's order, in `blocks`; asked in pieces of `at_once`
/// blocks. What a node adds of others' is left out.
///
/// # Errors
/// The transport's.
pub async fn logs(
    provider: &impl Provider,
    filter: &Filter,
    blocks: RangeInclusive<u64>,
    at_once: u64,
) -> TransportResult<Vec<Log>> {
    let mut all = Vec::new();
    let (mut start, last) = blocks.into_inner();
    while start <= last {
        let end = start.saturating_add(at_once.max(1)).saturating_sub(1).min(last);
        let page = filter.clone().from_block(start).to_block(end);
        let logs = provider.get_logs(&page).await?;
        all.extend(
            logs.into_iter().filter(|log| !log.removed && filter.matches_address(log.address())),
        );
        let Some(next) = end.checked_add(1) else { break };
        start = next;
    }
    Ok(all)
}

/// The first block at or after `time`, in Unix seconds; the one after the newest if there is none.
///
/// # Errors
/// The transport's, and a node that lacks a block below its newest.
pub async fn first_block_since(provider: &impl Provider, time: u64) -> TransportResult<u64> {
    let (mut low, mut high) = (0, provider.get_block_number().await?.saturating_add(1));
    while low < high {
        let middle = low.midpoint(high);
        let block = provider.get_block_by_number(BlockNumberOrTag::Number(middle)).await?;
        let missing = || TransportErrorKind::custom_str("the node lacks a block below its newest");
        if block.ok_or_else(missing)?.header.timestamp < time {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    Ok(low)
}
