//! When blocks are made, and what time they have.

use std::time::Duration;

use alloy_primitives::{Address, B256, U64};
use serde::Deserialize;
use serde_json::{Value, json as value};

use crate::admission::Rejection;
use crate::builder::Command;
use crate::chain::Mining;
use crate::edit::{Edit, NextBlock};
use crate::node::TimeShift;
use crate::rpc::params::{Number, Params};
use crate::rpc::{Outcome, Rpc, RpcError, json};

/// Most blocks that one call mines.
const MAX_BLOCKS: u64 = 10_000;
/// Timestamps stay below this (year 36812), so that nothing computed from them overflows.
const MAX_TIMESTAMP: u64 = 1 << 40;

/// The longest time between two blocks.
const MAX_INTERVAL: Duration = Duration::from_secs(1 << 32);
/// The least that Ethereum allows.
const MIN_GAS_LIMIT: u64 = 5_000;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Interval {
    Fixed(Number),
    Range([Number; 2]),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum MineRequest {
    Options { timestamp: Option<Number>, blocks: Option<Number> },
    Timestamp(Number),
}

impl Rpc {
    /// Moves the time of all later blocks; answers with the whole shift in seconds.
    pub(super) fn increase_time(&self, mut params: Params) -> Outcome {
        let Number(seconds) = params.next("seconds")?;
        params.finish()?;
        let now = self.node.next_timestamp(0);
        if now.saturating_add(seconds) >= MAX_TIMESTAMP {
            return Err(RpcError::params(
                "invalid argument 0 (seconds): time would leave its range",
            ));
        }
        let mut time = self.node.time.lock();
        time.offset = time.offset.saturating_add_unsigned(seconds);
        Ok(value!(time.offset))
    }

    pub(super) fn set_next_timestamp(&self, mut params: Params) -> Outcome {
        let timestamp: Number = params.next("timestamp")?;
        params.finish()?;
        self.demand_timestamp(timestamp)?;
        Ok(Value::Null)
    }

    fn demand_timestamp(&self, Number(timestamp): Number) -> Result<(), RpcError> {
        let latest = self.node.head().header.timestamp;
        if timestamp < latest || timestamp >= MAX_TIMESTAMP {
            return Err(RpcError::params(format!(
                "invalid timestamp {timestamp}: want at least the latest block's, {latest}"
            )));
        }
        self.node.time.lock().next = Some(timestamp);
        Ok(())
    }

    pub(super) fn mine(&self, mut params: Params) -> Outcome {
        let (timestamp, blocks) = match params.optional("options")? {
            None => (None, None),
            Some(MineRequest::Timestamp(timestamp)) => (Some(timestamp), None),
            Some(MineRequest::Options { timestamp, blocks }) => (timestamp, blocks),
        };
        params.finish()?;
        timestamp.map(|timestamp| self.demand_timestamp(timestamp)).transpose()?;
        self.mine_blocks(blocks.map_or(1, |Number(blocks)| blocks))?;
        Ok(value!("0x0"))
    }

    pub(super) fn mine_many(&self, mut params: Params) -> Outcome {
        let blocks: Option<Number> = params.optional("blocks")?;
        let interval: Option<Number> = params.optional("interval")?;
        params.finish()?;
        let blocks = blocks.map_or(1, |Number(blocks)| blocks);
        let Some(Number(seconds)) = interval else {
            self.mine_blocks(blocks)?;
            return Ok(Value::Null);
        };
        check_count(blocks)?;
        for mined in 0..blocks {
            if mined > 0 {
                let latest = self.node.head().header.timestamp;
                self.demand_timestamp(Number(latest.saturating_add(seconds)))?;
            }
            self.mine_blocks(1)?;
        }
        Ok(Value::Null)
    }

    /// Sets the chain's time; answers with the whole shift in seconds.
    pub(super) fn set_time(&self, mut params: Params) -> Outcome {
        let Number(timestamp) = params.next("timestamp")?;
        params.finish()?;
        // Some tools send milliseconds.
        let seconds = if timestamp >= MAX_TIMESTAMP { timestamp / 1000 } else { timestamp };
        if seconds >= MAX_TIMESTAMP {
            return Err(RpcError::params("invalid argument 0 (timestamp): out of range"));
        }
        let mut time = self.node.time.lock();
        time.offset = TimeShift::from(self.node.clock.as_ref(), seconds).offset;
        Ok(value!(time.offset))
    }

    /// So many seconds lie between blocks from now on, whatever the clock says.
    pub(super) fn set_timestamp_interval(&self, mut params: Params) -> Outcome {
        let Number(seconds) = params.next("seconds")?;
        params.finish()?;
        if seconds >= MAX_TIMESTAMP {
            return Err(RpcError::params("invalid argument 0 (seconds): out of range"));
        }
        self.node.time.lock().interval = Some(seconds);
        Ok(Value::Null)
    }

    /// Back to the clock; whether there was an interval.
    pub(super) fn remove_timestamp_interval(&self, params: Params) -> Outcome {
        params.finish()?;
        Ok(value!(self.node.time.lock().interval.take().is_some()))
    }

    pub(super) fn is_automine(&self, params: Params) -> Outcome {
        params.finish()?;
        Ok(value!(*self.node.mining.lock() == Mining::Instant))
    }

    pub(super) fn set_automine(&self, mut params: Params) -> Outcome {
        let instant: bool = params.next("whether")?;
        params.finish()?;
        self.set_mining(if instant { Mining::Instant } else { Mining::Manual })?;
        Ok(value!(true))
    }

    /// 0 for no interval; or a range, as hardhat has it, of which the lower bound counts.
    pub(super) fn set_interval_ms(&self, mut params: Params) -> Outcome {
        let milliseconds: Interval = params.next("milliseconds")?;
        params.finish()?;
        let (Interval::Fixed(Number(every)) | Interval::Range([Number(every), _])) = milliseconds;
        self.set_interval(Duration::from_millis(every))
    }

    /// As [`Self::set_interval_ms`], in seconds.
    pub(super) fn set_interval_s(&self, mut params: Params) -> Outcome {
        let Number(seconds) = params.next("seconds")?;
        params.finish()?;
        self.set_interval(Duration::from_secs(seconds))
    }

    fn set_interval(&self, every: Duration) -> Outcome {
        if every > MAX_INTERVAL {
            let most = MAX_INTERVAL.as_secs();
            return Err(RpcError::params(format!("interval too long, want at most {most} s")));
        }
        let set = if every.is_zero() { Mining::Manual } else { Mining::Interval(every) };
        self.set_mining(set)?;
        Ok(value!(true))
    }

    fn set_mining(&self, mining: Mining) -> Result<(), RpcError> {
        *self.node.mining.lock() = mining;
        Ok(self.node.wake()?)
    }

    /// The seconds between two blocks, where they are made by interval.
    pub(super) fn mining_interval_s(&self, params: Params) -> Outcome {
        params.finish()?;
        json(match *self.node.mining.lock() {
            Mining::Interval(every) => Some(every.as_secs()),
            Mining::Instant | Mining::Manual => None,
        })
    }

    pub(super) fn set_next_base_fee(&self, mut params: Params) -> Outcome {
        let Number(base_fee) = params.next("base fee")?;
        params.finish()?;
        self.edit(Edit::Next(NextBlock { base_fee: Some(base_fee), gas_limit: None }))
    }

    /// Of the next block, and so of all later ones.
    pub(super) fn set_gas_limit(&self, mut params: Params) -> Outcome {
        let Number(gas_limit) = params.next("gas limit")?;
        params.finish()?;
        if !(MIN_GAS_LIMIT..=i64::MAX as u64).contains(&gas_limit) {
            return Err(RpcError::params("invalid argument 0 (gas limit): out of range"));
        }
        self.edit(Edit::Next(NextBlock { base_fee: None, gas_limit: Some(gas_limit) }))?;
        Ok(value!(true))
    }

    /// Who later blocks are for, as `COINBASE` tells.
    pub(super) fn set_coinbase(&self, mut params: Params) -> Outcome {
        let beneficiary: Address = params.next("address")?;
        params.finish()?;
        self.node.chosen.lock().beneficiary = beneficiary;
        Ok(Value::Null)
    }

    /// What `PREVRANDAO` is in the next block.
    pub(super) fn set_prev_randao(&self, mut params: Params) -> Outcome {
        let prev_randao: B256 = params.next("value")?;
        params.finish()?;
        self.node.chosen.lock().prev_randao = Some(prev_randao);
        Ok(Value::Null)
    }

    fn mine_blocks(&self, blocks: u64) -> Result<U64, RpcError> {
        if !self.node.is_merged() {
            return Err(Rejection::NotMerged.into());
        }
        check_count(blocks)?;
        let mut number = 0;
        for _ in 0..blocks {
            number = self.node.ask(Command::Mine)??;
        }
        Ok(U64::from(number))
    }
}

fn check_count(blocks: u64) -> Result<(), RpcError> {
    if blocks > MAX_BLOCKS {
        return Err(RpcError::params(format!("too many blocks, want at most {MAX_BLOCKS}")));
    }
    Ok(())
}
