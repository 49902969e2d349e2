//! What gas costs.

use alloy::consensus::{BlockHeader, Header, Transaction};
use alloy::eips::BlockNumberOrTag;
use alloy::rpc::types::FeeHistory;
use alloy_primitives::{B256, U64, U128};
use serde_json::Value;

use super::params::Params;
use super::{Outcome, Rpc, RpcError, json};
use crate::block::{SealedBlock, next_base_fee, next_header};
use crate::edit::NextBlock;
use crate::rules::Rules;

/// The tip suggested, in wei: the builder takes transactions as they arrive, so any will do.
pub(super) const PRIORITY_FEE_WEI: u64 = 1_000_000;
const MAX_BLOCKS: u64 = 1024;
const MAX_PERCENTILES: usize = 100;

pub(super) fn priority_fee() -> Outcome {
    json(U64::from(PRIORITY_FEE_WEI))
}

impl Rpc {
    /// Of the next block.
    pub(super) fn base_fee(&self) -> Outcome {
        json(U64::from(self.node.view.read().next_base_fee()))
    }

    pub(super) fn gas_price(&self) -> Outcome {
        let base_fee = self.node.view.read().next_base_fee();
        json(U64::from(base_fee.saturating_add(PRIORITY_FEE_WEI)))
    }

    /// Of the next block.
    pub(super) fn blob_base_fee(&self) -> Outcome {
        json(U128::from(self.blob_fee(&self.node.next_header())))
    }

    /// What a unit of blob gas costs in a block, in wei; 0 before there were blobs.
    pub(super) fn blob_fee(&self, header: &Header) -> u128 {
        let rules = Rules::of_header(self.node.genesis.config(), header);
        rules.blob_fee(header.excess_blob_gas)
    }

    fn next_blob_fee(&self, parent: &Header) -> u128 {
        let next = NextBlock::default();
        let time = parent.timestamp;
        self.blob_fee(&next_header(&self.node.genesis, parent, B256::ZERO, time, &next))
    }

    fn blob_gas_used_ratio(&self, header: &Header) -> f64 {
        let rules = Rules::of_header(self.node.genesis.config(), header);
        let used = header.blob_gas_used.zip(rules.blobs);
        used.map_or(0.0, |(used, params)| used as f64 / params.max_blob_gas_per_block() as f64)
    }

    pub(super) fn fee_history(&self, mut params: Params) -> Outcome {
        let count = block_count(params.next("block count")?)?.min(MAX_BLOCKS);
        let newest: BlockNumberOrTag = params.next("newest block")?;
        let percentiles: Vec<f64> = params.optional("percentiles")?.unwrap_or_default();
        params.finish()?;
        check_percentiles(&percentiles)?;
        let newest = self.target(Some(newest.into()))?.number;
        self.node.block(newest)?;
        // As many as there are, as where the chain is shorter.
        let kept = self.node.view.read().index.oldest();
        let oldest = (newest + 1).saturating_sub(count).max(kept);
        let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
        let mut rewards = Vec::new();
        for number in oldest..=newest {
            let Some(block) = self.node.block(number)? else { break };
            history.base_fee_per_gas.push(base_fee(&block).into());
            history
                .gas_used_ratio
                .push(block.header.gas_used as f64 / block.header.gas_limit as f64);
            history.base_fee_per_blob_gas.push(self.blob_fee(&block.header));
            history.blob_gas_used_ratio.push(self.blob_gas_used_ratio(&block.header));
            rewards.push(block_rewards(&block, &percentiles));
            if number == newest {
                let view = self.node.view.read();
                let next = match view.state.number() == newest {
                    true => view.next_base_fee(),
                    false => next_base_fee(&block.header),
                };
                drop(view);
                history.base_fee_per_gas.push(next.into());
                history.base_fee_per_blob_gas.push(self.next_blob_fee(&block.header));
            }
        }
        history.reward = (!percentiles.is_empty()).then_some(rewards);
        json(history)
    }
}

fn block_count(value: Value) -> Result<u64, RpcError> {
    let count = match value.as_u64() {
        Some(count) => count,
        None => serde_json::from_value::<U64>(value)
            .map_err(|_| RpcError::params("invalid argument 0 (block count): want a number"))?
            .to(),
    };
    match count {
        0 => Err(RpcError::params("invalid argument 0 (block count): want at least 1")),
        count => Ok(count),
    }
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    let in_range = percentiles.iter().all(|p| (0.0..=100.0).contains(p));
    if in_range && percentiles.is_sorted() && percentiles.len() <= MAX_PERCENTILES {
        return Ok(());
    }
    Err(RpcError::server(format!(
        "invalid reward percentile: want at most {MAX_PERCENTILES}, from 0 to 100, in order"
    )))
}

fn base_fee(block: &SealedBlock) -> u64 {
    block.header.base_fee_per_gas().unwrap_or_default()
}

/// The tip at each percentile of the block's gas; zeros for an empty block.
fn block_rewards(block: &SealedBlock, percentiles: &[f64]) -> Vec<u128> {
    let base_fee = base_fee(block);
    let mut tips: Vec<(u128, u64)> = (0..block.transactions().len())
        .map(|index| {
            let tip = block.transactions()[index].effective_tip_per_gas(base_fee);
            (tip.unwrap_or_default(), block.gas_used(index))
        })
        .collect();
    tips.sort_unstable();
    let (mut at, mut gas) = (0, tips.first().map_or(0, |(_, gas)| *gas));
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = (block.header.gas_used as f64 * percentile / 100.0) as u64;
            while gas < threshold && at + 1 < tips.len() {
                at += 1;
                gas += tips[at].1;
            }
            tips.get(at).map_or(0, |(tip, _)| *tip)
        })
        .collect()
}
