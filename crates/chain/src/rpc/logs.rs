//! Logs: asked for once, or polled through filters.

use std::collections::BTreeMap;

use alloy::eips::BlockNumberOrTag;
use alloy::rpc::types::{Filter, FilterBlockOption, Log};
use alloy_primitives::{B256, U64};
use parking_lot::Mutex;
use serde_json::json as value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use super::blocks::{logs_before, rpc_log};
use super::params::Params;
use super::{Outcome, Rpc, RpcError, json};
use crate::Result;
use crate::block::SealedBlock;
use crate::fork::Place;

/// Most logs in one answer.
const MAX_LOGS: usize = 10_000;
/// Most bytes of log data in one answer.
const MAX_DATA_BYTES: usize = 16 << 20;
const MAX_FILTERS: usize = 1024;
/// Filters that nobody polls for this long may be dropped for new ones (geth drops them then).
const FILTER_IDLE_SECONDS: u64 = 300;

#[derive(Debug)]
enum Watched {
    Blocks,
    Logs(Box<Filter>),
    /// Hashes of transactions that come into the pool; of those that are not fetched in time only
    /// the newest.
    Pending(broadcast::Receiver<B256>),
}

#[derive(Debug)]
struct Installed {
    watched: Watched,
    /// The first block not yet told.
    next: u64,
    /// How often the chain had gone back when that was told.
    rewinds: u64,
    polled_at: u64,
}

/// Filters by id.
#[derive(Debug, Default)]
pub(super) struct Filters(Mutex<(u64, BTreeMap<u64, Installed>)>);

/// Logs collected so far, bounded.
#[derive(Default)]
struct Collected {
    logs: Vec<Log>,
    data_bytes: usize,
}

impl Rpc {
    pub(super) fn get_logs(&self, mut params: Params) -> Outcome {
        let filter: Filter = params.next("filter")?;
        params.finish()?;
        if filter.get_to_block().is_some_and(|to| to > *self.node.head.borrow()) {
            return Err(RpcError::params("block range extends beyond current head block"));
        }
        json(self.matching_logs(&filter)?)
    }

    fn matching_logs(&self, filter: &Filter) -> Result<Vec<Log>, RpcError> {
        let (from, to) = self.range(filter)?;
        let mut logs = Collected::default();
        if let Some(fork) = self.node.fork.as_ref().filter(|_| self.is_elsewhere(from)) {
            let until = to.min(self.node.first_block());
            let theirs = filter.clone().from_block(from).to_block(until);
            let found = fork.answer("eth_getLogs", vec![value!(theirs)], Place::Number(until))?;
            let found: Vec<Log> = serde_json::from_value(found.unwrap_or_default())
                .map_err(|e| RpcError::server(format!("the fork's logs cannot be read: {e}")))?;
            found.into_iter().try_for_each(|log| logs.add(log))?;
        }
        self.collect(filter, from, to, logs)
    }

    /// The blocks a filter is about.
    fn range(&self, filter: &Filter) -> Result<(u64, u64), RpcError> {
        let head = *self.node.head.borrow();
        match filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let number = self.node.view.read().index.number(hash)?;
                let place = Place::BlockHash(hash);
                let unknown = || RpcError::server("unknown block").elsewhere(place);
                let number = number.ok_or_else(unknown)?;
                if self.is_elsewhere(number) {
                    return Err(unknown());
                }
                Ok((number, number))
            }
            FilterBlockOption::Range { from_block, to_block } => {
                let oldest = self.earliest();
                let resolve = |tag: Option<BlockNumberOrTag>| match tag {
                    Some(BlockNumberOrTag::Number(number)) => number,
                    Some(BlockNumberOrTag::Earliest) => oldest,
                    _ => head,
                };
                let (from, to) = (resolve(from_block), resolve(to_block));
                if from > to && matches!(to_block, Some(BlockNumberOrTag::Number(_))) {
                    return Err(RpcError::params("invalid block range params: from is after to"));
                }
                Ok((from, to.min(head)))
            }
        }
    }

    fn logs_between(&self, filter: &Filter, from: u64, to: u64) -> Result<Vec<Log>, RpcError> {
        self.collect(filter, from, to, Collected::default())
    }

    /// Adds those of the blocks that are here.
    fn collect(
        &self,
        filter: &Filter,
        from: u64,
        to: u64,
        mut collected: Collected,
    ) -> Result<Vec<Log>, RpcError> {
        for number in from.max(self.node.first_block())..=to {
            let bloom = {
                let view = self.node.view.read();
                // Some that cannot be told are not to pass for none.
                view.check_block(number)?;
                view.index.bloom(number)?
            };
            if !bloom.is_some_and(|bloom| filter.matches_bloom(bloom)) {
                continue;
            }
            let Some(block) = self.node.block(number)? else { break };
            collected.add_block(filter, &block)?;
        }
        Ok(collected.logs)
    }

    pub(super) fn new_filter(&self, mut params: Params) -> Outcome {
        let filter: Filter = params.next("filter")?;
        params.finish()?;
        self.range(&filter).map_err(RpcError::here)?;
        self.install(Watched::Logs(Box::new(filter)))
    }

    pub(super) fn new_block_filter(&self, params: Params) -> Outcome {
        params.finish()?;
        self.install(Watched::Blocks)
    }

    pub(super) fn new_pending_filter(&self, params: Params) -> Outcome {
        params.finish()?;
        self.install(Watched::Pending(self.node.arrivals.subscribe()))
    }

    fn install(&self, watched: Watched) -> Outcome {
        let now = self.node.clock.unix_seconds();
        let mut guard = self.filters.0.lock();
        let (last_id, filters) = &mut *guard;
        if filters.len() >= MAX_FILTERS {
            filters.retain(|_, f| f.polled_at.saturating_add(FILTER_IDLE_SECONDS) >= now);
        }
        if filters.len() >= MAX_FILTERS {
            return Err(RpcError::limit(format!("{MAX_FILTERS} filters exist: uninstall some")));
        }
        *last_id += 1;
        let (next, rewinds) = {
            let rewinds = self.node.rewinds.lock();
            (*self.node.head.borrow() + 1, rewinds.total())
        };
        filters.insert(*last_id, Installed { watched, next, rewinds, polled_at: now });
        json(U64::from(*last_id))
    }

    pub(super) fn filter_changes(&self, mut params: Params) -> Outcome {
        let id: U64 = params.next("filter id")?;
        params.finish()?;
        let (from, head, filter) = {
            let mut guard = self.filters.0.lock();
            let installed = guard.1.get_mut(&id.to()).ok_or_else(no_filter)?;
            installed.polled_at = self.node.clock.unix_seconds();
            if let Watched::Pending(arrivals) = &mut installed.watched {
                return json(arrived(arrivals));
            }
            let rewinds = self.node.rewinds.lock();
            if let Some(lowest) = rewinds.lowest_since(installed.rewinds) {
                let lowest = lowest.max(self.node.first_block());
                installed.next = installed.next.min(lowest + 1);
            }
            installed.rewinds = rewinds.total();
            let head = *self.node.head.borrow();
            let from = std::mem::replace(&mut installed.next, head + 1);
            (from, head, installed.filter())
        };
        match filter {
            Some(filter) => json(self.logs_between(&filter, from, head)?),
            None => {
                let hash = |number| {
                    let view = self.node.view.read();
                    view.check_block(number)?;
                    Ok(view.index.hash(number)?)
                };
                let hashes = (from..=head).filter_map(|number| hash(number).transpose());
                json(hashes.collect::<Result<Vec<B256>>>()?)
            }
        }
    }

    pub(super) fn filter_logs(&self, mut params: Params) -> Outcome {
        let id: U64 = params.next("filter id")?;
        params.finish()?;
        let filter = self.filters.0.lock().1.get(&id.to()).and_then(Installed::filter);
        json(self.matching_logs(&filter.ok_or_else(no_filter)?).map_err(RpcError::here)?)
    }

    pub(super) fn uninstall_filter(&self, mut params: Params) -> Outcome {
        let id: U64 = params.next("filter id")?;
        params.finish()?;
        json(self.filters.0.lock().1.remove(&id.to()).is_some())
    }
}

impl Installed {
    fn filter(&self) -> Option<Filter> {
        match &self.watched {
            Watched::Logs(filter) => Some((**filter).clone()),
            Watched::Blocks | Watched::Pending(_) => None,
        }
    }
}

fn arrived(arrivals: &mut broadcast::Receiver<B256>) -> Vec<B256> {
    let mut hashes = Vec::new();
    loop {
        match arrivals.try_recv() {
            Ok(hash) => hashes.push(hash),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return hashes,
        }
    }
}

fn no_filter() -> RpcError {
    RpcError::server("filter not found")
}

impl Collected {
    fn add_block(&mut self, filter: &Filter, block: &SealedBlock) -> Result<(), RpcError> {
        for (index, receipt) in block.receipts.iter().enumerate() {
            let first = logs_before(block, index);
            for (log_index, log) in (first..).zip(receipt.logs()) {
                if filter.matches(log) {
                    self.add(rpc_log(block, index, log_index, log.clone()))?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, log: Log) -> Result<(), RpcError> {
        self.data_bytes += log.inner.data.data.len();
        if self.logs.len() >= MAX_LOGS || self.data_bytes > MAX_DATA_BYTES {
            return Err(RpcError::limit(format!(
                "query returned more than {MAX_LOGS} results or {MAX_DATA_BYTES} bytes: ask for \
                 fewer blocks"
            )));
        }
        self.logs.push(log);
        Ok(())
    }
}
