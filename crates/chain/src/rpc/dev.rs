//! Development methods: time and mining by hand.

use std::sync::mpsc::sync_channel;

use alloy_primitives::{U64, U256};
use serde::Deserialize;
use serde_json::{Value, json as value};

use super::params::Params;
use super::{Outcome, Rpc, RpcError};
use crate::admission::Rejection;
use crate::builder::Command;

/// Most blocks that one call mines.
const MAX_BLOCKS: u64 = 10_000;
/// Timestamps stay below this (year 36812), so that nothing computed from them overflows.
const MAX_TIMESTAMP: u64 = 1 << 40;

/// A number as tools send it: a JSON number or a hex or decimal string.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Value")]
struct Number(u64);

impl TryFrom<Value> for Number {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let number = match &value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => {
                text.parse::<U256>().ok().and_then(|number| u64::try_from(number).ok())
            }
            _ => None,
        };
        number.map(Self).ok_or_else(|| "want a number".to_owned())
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum MineRequest {
    Options { timestamp: Option<Number>, blocks: Option<Number> },
    Timestamp(Number),
}

impl Rpc {
    pub(super) fn development(&self, method: &str, params: Params) -> Outcome {
        match method {
            "evm_increaseTime" => self.increase_time(params),
            "evm_setNextBlockTimestamp" => self.set_next_timestamp(params),
            "evm_mine" => self.mine(params),
            "anvil_mine" | "hardhat_mine" => self.mine_many(params),
            _ => Err(RpcError::method(method)),
        }
    }

    /// Moves the time of all later blocks; answers with the whole shift in seconds.
    fn increase_time(&self, mut params: Params) -> Outcome {
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

    fn set_next_timestamp(&self, mut params: Params) -> Outcome {
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

    fn mine(&self, mut params: Params) -> Outcome {
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

    fn mine_many(&self, mut params: Params) -> Outcome {
        let blocks: Option<Number> = params.optional("blocks")?;
        let interval: Option<Number> = params.optional("interval")?;
        params.finish()?;
        if interval.is_some_and(|Number(seconds)| seconds > 1) {
            return Err(RpcError::params(
                "invalid argument 1 (interval): not supported, use 0 or 1",
            ));
        }
        self.mine_blocks(blocks.map_or(1, |Number(blocks)| blocks))?;
        Ok(Value::Null)
    }

    fn mine_blocks(&self, blocks: u64) -> Result<U64, RpcError> {
        if !self.node.is_merged() {
            return Err(Rejection::NotMerged.into());
        }
        if blocks > MAX_BLOCKS {
            return Err(RpcError::params(format!("too many blocks, want at most {MAX_BLOCKS}")));
        }
        let mut number = 0;
        for _ in 0..blocks {
            let (answer, mined) = sync_channel(1);
            let gone = |_| RpcError::internal("the chain is closed or has stopped");
            self.node.commands.send(Command::Mine(answer)).map_err(|e| gone(e.to_string()))?;
            number = mined.recv().map_err(|e| gone(e.to_string()))?;
        }
        Ok(U64::from(number))
    }
}
