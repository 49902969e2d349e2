//! Methods of chains for development, under the names that anvil and hardhat gave them.

mod mining;
mod state;

use alloy_primitives::U256;
use serde_json::{Value, json as value};

use super::params::{Number, Params};
use super::{Outcome, Rpc, RpcError, json};
use crate::builder::Command;
use crate::chain::{ByHand, Mining};
use crate::edit::Edit;
use crate::fork::ForkPoint;
use crate::rules::Rules;

impl Rpc {
    pub(super) fn development(&self, method: &str, params: Params) -> Outcome {
        // Both tools have most of them, and each under its own name.
        let name = match method.split_once('_') {
            Some(("anvil" | "hardhat", name)) => name,
            _ => method,
        };
        let by_hand = self.node.by_hand;
        match name {
            _ if by_hand == ByHand::Nothing => Err(RpcError::method(method)),
            "evm_increaseTime" | "increaseTime" => self.increase_time(params),
            "evm_setNextBlockTimestamp" | "setNextBlockTimestamp" => {
                self.set_next_timestamp(params)
            }
            "evm_mine" => self.mine(params),
            "mine" => self.mine_many(params),
            _ if by_hand == ByHand::Time => Err(RpcError::method(method)),
            "evm_setTime" | "setTime" => self.set_time(params),
            "setBlockTimestampInterval" => self.set_timestamp_interval(params),
            "removeBlockTimestampInterval" => self.remove_timestamp_interval(params),
            "getAutomine" => self.is_automine(params),
            "evm_setAutomine" | "setAutomine" => self.set_automine(params),
            // Here the two differ in the unit.
            "evm_setIntervalMining" => self.set_interval_ms(params),
            "setIntervalMining" => self.set_interval_s(params),
            "getIntervalMining" => self.mining_interval_s(params),
            "setNextBlockBaseFeePerGas" => self.set_next_base_fee(params),
            "evm_setBlockGasLimit" | "setBlockGasLimit" => self.set_gas_limit(params),
            "setCoinbase" => self.set_coinbase(params),
            "setPrevRandao" => self.set_prev_randao(params),
            "setBalance" => self.set_balance(params),
            "addBalance" => self.add_balance(params),
            "setCode" => self.set_code(params),
            "setNonce" => self.set_nonce(params),
            "setStorageAt" => self.set_storage_at(params),
            "dumpState" => self.dump_state(params),
            "loadState" => self.load_state(params),
            "impersonateAccount" => self.impersonate(params),
            "stopImpersonatingAccount" => self.stop_impersonating(params),
            "autoImpersonateAccount" => self.impersonate_all(params),
            // Hardhat's says whether, anvil's which.
            "dropTransaction" => {
                let dropped = self.drop_transaction(params)?;
                let says_whether = method.starts_with("hardhat_");
                Ok(if says_whether { value!(!dropped.is_null()) } else { dropped })
            }
            "dropAllTransactions" => self.drop_all_transactions(params),
            "removePoolTransactions" => self.drop_transactions_of(params),
            "evm_snapshot" | "snapshot" => self.snapshot(params),
            "evm_revert" | "revert" => self.go_back(params),
            "reset" => self.reset(params),
            "nodeInfo" => self.node_info(params),
            "metadata" => self.metadata(params),
            // The log level is the process's.
            "setLoggingEnabled" => {
                drop(params);
                Ok(value!(true))
            }
            _ => Err(RpcError::method(method)),
        }
    }

    /// Changes something by hand; answers when it is durable.
    fn edit(&self, edit: Edit) -> Outcome {
        self.node
            .ask(|answer| Command::Edit(Box::new(edit), answer))?
            .map_err(|error| RpcError::params(error.to_string()))?;
        Ok(Value::Null)
    }

    fn snapshot(&self, params: Params) -> Outcome {
        params.finish()?;
        json(U256::from(self.node.ask(Command::Snapshot)?))
    }

    /// False if there is no such snapshot.
    fn go_back(&self, mut params: Params) -> Outcome {
        let Number(id) = params.next("snapshot")?;
        params.finish()?;
        Ok(value!(self.node.ask(|answer| Command::GoBack(id, answer))?))
    }

    fn reset(&self, mut params: Params) -> Outcome {
        let options: Option<Value> = params.optional("options")?;
        params.finish()?;
        let forking = options.as_ref().and_then(|options| options.get("forking"));
        if let Some(forking) = forking.filter(|forking| !forking.is_null()) {
            let number = forking.get("blockNumber").filter(|number| !number.is_null());
            let number = number.cloned().map(serde_json::from_value::<Number>);
            let number = number.transpose().map_err(|e| RpcError::params(e.to_string()))?;
            let forked = self.node.genesis.fork_point().map(ForkPoint::number);
            if forked.is_none() || number.is_some_and(|Number(number)| Some(number) != forked) {
                return Err(RpcError::params(
                    "a running chain cannot become a fork of another chain or block: start one \
                     with --fork-url",
                ));
            }
        }
        self.node.ask(Command::Reset)?;
        Ok(value!(true))
    }

    /// In the form of anvil.
    fn node_info(&self, params: Params) -> Outcome {
        params.finish()?;
        let header = self.node.next_header();
        let head = self.node.head();
        Ok(value!({
            "currentBlockNumber": format!("{:#x}", head.header.number),
            "currentBlockTimestamp": head.header.timestamp,
            "currentBlockHash": head.hash,
            "hardFork": <&str>::from(Rules::of_header(self.node.genesis.config(), &header).spec),
            "transactionOrder": "fifo",
            "environment": {
                "baseFee": format!("{:#x}", header.base_fee_per_gas.unwrap_or_default()),
                "chainId": self.node.genesis.chain_id(),
                "gasLimit": format!("{:#x}", header.gas_limit),
                "gasPrice": self.gas_price()?,
            },
            "forkConfig": self.node.genesis.fork_point().map_or_else(
                || value!({}),
                |point| value!({ "forkBlockNumber": point.number() }),
            ),
        }))
    }

    fn metadata(&self, params: Params) -> Outcome {
        params.finish()?;
        let (head, first) = (self.node.head(), self.node.view.read().index.first_hash());
        Ok(value!({
            "clientVersion": self.client_version(),
            "chainId": self.node.genesis.chain_id(),
            "instanceId": first,
            "latestBlockNumber": head.header.number,
            "latestBlockHash": head.hash,
            "automine": *self.node.mining.lock() == Mining::Instant,
            "snapshots": {},
            "forkedNetwork": self.node.genesis.fork_point().map(|point| value!({
                "chainId": point.chain_id(),
                "forkBlockNumber": point.number(),
                "forkBlockHash": point.hash(),
            })),
        }))
    }
}
