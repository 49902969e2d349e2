//! What this node is and keeps: `eth_config` (EIP-7910) and `eth_capabilities`.

use std::collections::BTreeMap;

use alloy::eips::eip2124::ForkHash;
use alloy::eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy::eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy::eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy::eips::eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS;
use alloy::eips::eip7910::{EthConfig, EthForkConfig, SystemContract};
use alloy_primitives::U64;
use revm::precompile::{PrecompileSpecId, Precompiles};
use revm::primitives::hardfork::SpecId;
use serde_json::json;

use super::{Outcome, Rpc, RpcError};
use crate::index::Kept;
use crate::rules::{self, Rules};

impl Rpc {
    /// The forks by time: the one in force, the next, and the last that is planned.
    pub(super) fn fork_config(&self) -> Outcome {
        let now = self.node.head().header.timestamp;
        let times = rules::times(self.node.genesis.config());
        let current = times.iter().rev().find(|time| **time <= now);
        let current = current.and_then(|time| self.fork_at(*time));
        let current = current.ok_or_else(|| RpcError::server("no fork by time has begun yet"))?;
        let next = times.iter().find(|time| **time > now).and_then(|time| self.fork_at(*time));
        let last = times.last().filter(|time| **time > now).and_then(|time| self.fork_at(*time));
        super::json(EthConfig { current, next, last })
    }

    /// From Cancun on.
    fn fork_at(&self, time: u64) -> Option<EthForkConfig> {
        let config = self.node.genesis.config();
        let rules = Rules::of(config, u64::MAX, time, true);
        let precompiles = Precompiles::new(PrecompileSpecId::from_spec_id(rules.spec));
        let named = |address| {
            let one = precompiles.get(address)?;
            Some((one.id().name().to_owned(), *address))
        };
        let mut system_contracts =
            BTreeMap::from([(SystemContract::BeaconRoots, BEACON_ROOTS_ADDRESS)]);
        if rules.are(SpecId::PRAGUE) {
            system_contracts.extend([
                (SystemContract::HistoryStorage, HISTORY_STORAGE_ADDRESS),
                (SystemContract::WithdrawalRequestPredeploy, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
                (
                    SystemContract::ConsolidationRequestPredeploy,
                    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
                ),
            ]);
            system_contracts
                .extend(rules.deposits.map(|address| (SystemContract::DepositContract, address)));
        }
        let genesis = self.node.view.read().index.first_hash();
        let begun = self.node.genesis.timestamp();
        let heights = rules::heights(config).into_iter().filter(|at| *at > 0);
        let times = rules::times(config).into_iter().filter(|at| *at > begun && *at <= time);
        let fork_id = heights.chain(times).fold(ForkHash::from(genesis), |hash, at| hash + at);
        Some(EthForkConfig {
            activation_time: time,
            blob_schedule: rules.blobs?,
            chain_id: config.chain_id,
            fork_id: fork_id.0.into(),
            precompiles: precompiles.addresses().filter_map(named).collect(),
            system_contracts,
        })
    }

    /// What can be asked of which blocks.
    pub(super) fn capabilities(&self) -> Outcome {
        let head = self.node.head();
        let (state, blocks, window) = {
            let view = self.node.view.read();
            let window = view.index.kept().and_then(Kept::prune_blocks);
            (view.state.oldest(), view.index.oldest(), window)
        };
        let since = |oldest: u64| {
            let mut told = json!({ "disabled": false, "oldestBlock": U64::from(oldest) });
            if let Some(blocks) = window {
                told["deleteStrategy"] =
                    json!({ "type": "window", "retentionBlocks": U64::from(blocks) });
            }
            told
        };
        let proofs = match self.node.fork {
            Some(_) => json!({ "disabled": true }),
            None => since(state),
        };
        Ok(json!({
            "head": { "number": U64::from(head.header.number), "hash": head.hash },
            "state": since(state),
            "stateproofs": proofs,
            "tx": since(blocks),
            "logs": since(blocks),
            "receipts": since(blocks),
            "blocks": since(blocks),
        }))
    }
}
