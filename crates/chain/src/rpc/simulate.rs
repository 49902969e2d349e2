//! `eth_simulateV1`: blocks made up on top of a real one, executed and thrown away.
//!
//! As geth has it, to the hash: what a caller leaves out is filled in the same way.

use alloy::consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy::consensus::transaction::Recovered;
use alloy::consensus::{Header, SignableTransaction, TxEnvelope};
use alloy::eips::BlockId;
use alloy::rpc::types::simulate::{MAX_SIMULATE_BLOCKS, SimBlock, SimulatePayload};
use alloy::rpc::types::{BlockOverrides, Log, TransactionRequest};
use alloy_primitives::{B256, Bytes, Signature, TxKind, U64, U256};
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction};
use revm::primitives::hardfork::SpecId;
use revm::{DatabaseCommit, InspectEvm};
use serde_json::{Value, json};

use super::blocks::{block_json, rpc_log};
use super::call::{CALL_GAS_CAP, failure, halted, reverted};
use super::overrides::Overrides;
use super::params::Params;
use super::transfers::Transfers;
use super::{Outcome, Rpc, RpcError};
use crate::block::{Body, SealedBlock, next_base_fee, next_excess_blob_gas, seal};
use crate::execute::{Begun, Execution, block_env, config, inspecting, tx_env};
use crate::node::StateAt;
use crate::rules::Rules;
use crate::state::{Changes, Overlay, Scratch};

/// Between made-up blocks, as between real ones.
const BLOCK_SECONDS: u64 = 12;
/// Error codes of this method, beside the usual ones.
const NONCE_TOO_LOW: i64 = -38010;
const NONCE_TOO_HIGH: i64 = -38011;
const FEE_CAP_TOO_LOW: i64 = -38012;
const INTRINSIC_GAS: i64 = -38013;
const FUNDS: i64 = -38014;
const BLOCK_GAS: i64 = -38015;
const BLOCK_NUMBERS: i64 = -38020;
const BLOCK_TIMES: i64 = -38021;
const INIT_CODE: i64 = -38025;
const TOO_MANY_BLOCKS: i64 = -38026;
const VM_ERROR: i64 = -32015;

/// A block to be made up, its height and time known.
struct Made {
    number: u64,
    timestamp: u64,
    block: SimBlock,
}

/// What a call came to.
struct Ran {
    result: ExecutionResult,
    logs: Vec<(u64, alloy_primitives::Log)>,
}

struct Simulation<'a> {
    rpc: &'a Rpc,
    overlay: Overlay<StateAt>,
    tries: Scratch,
    base: u64,
    parent: Header,
    /// Which other networks reckon otherwise.
    parent_hash: B256,
    validation: bool,
    trace_transfers: bool,
    /// What all calls together may still use.
    gas_left: u64,
}

impl Rpc {
    pub(super) fn simulate(&self, mut params: Params) -> Outcome {
        let payload: SimulatePayload = params.next("simulation")?;
        let target = self.target(params.optional::<BlockId>("block")?)?;
        params.finish()?;
        if payload.block_state_calls.is_empty() {
            return Err(RpcError::params("empty input"));
        }
        let state = self.node.state_at(target.number)?;
        let missing = || RpcError::server("header not found");
        let base = self.node.block(target.number)?.ok_or_else(missing)?;
        let made = in_order(&base.header, payload.block_state_calls)?;
        let mut simulation = Simulation {
            rpc: self,
            overlay: Overlay::new(state),
            tries: self.node.scratch(target.number)?,
            base: target.number,
            parent: self.node.seen(&base.header),
            parent_hash: base.hash,
            validation: payload.validation,
            trace_transfers: payload.trace_transfers,
            gas_left: CALL_GAS_CAP,
        };
        let mut told = Vec::with_capacity(made.len());
        for made in made {
            let (block, ran) = simulation.block(made)?;
            told.push(block_with_calls(&block, ran, payload.return_full_transactions)?);
        }
        Ok(Value::Array(told))
    }
}

/// Gives each block a height and a time, and fills gaps with empty ones.
fn in_order(base: &Header, blocks: Vec<SimBlock>) -> Result<Vec<Made>, RpcError> {
    let (mut number, mut timestamp) = (base.number, base.timestamp);
    let mut made = Vec::new();
    for block in blocks {
        let overrides = block.block_overrides.clone().unwrap_or_default();
        let next = overrides.number.map_or(number.saturating_add(1), |asked| asked.saturating_to());
        if next <= number {
            let message = format!("block numbers must be in order: {next} <= {number}");
            return Err(RpcError::new(BLOCK_NUMBERS, message));
        }
        if next - base.number > MAX_SIMULATE_BLOCKS {
            return Err(RpcError::new(TOO_MANY_BLOCKS, "too many blocks"));
        }
        for number in number + 1..next {
            timestamp = timestamp.saturating_add(BLOCK_SECONDS);
            made.push(Made { number, timestamp, block: SimBlock::default() });
        }
        let time = overrides.time.unwrap_or(timestamp.saturating_add(BLOCK_SECONDS));
        if time <= timestamp {
            let message = format!("block timestamps must be in order: {time} <= {timestamp}");
            return Err(RpcError::new(BLOCK_TIMES, message));
        }
        (number, timestamp) = (next, time);
        made.push(Made { number, timestamp, block });
    }
    Ok(made)
}

impl Simulation<'_> {
    fn block(&mut self, made: Made) -> Result<(SealedBlock, Vec<Ran>), RpcError> {
        let Made { number, timestamp, block } = made;
        let overrides = block.block_overrides.unwrap_or_default();
        let (header, rules) = self.header(number, timestamp, &overrides);
        let state = Overrides::new(block.state_overrides)?;
        state.apply(&mut self.overlay)?;
        drop(Execution::begin(&mut self.overlay, header.clone(), rules)?);

        let mut env = block_env(&header, &rules);
        if let (Some(fee), Some(blobs)) =
            (overrides.blob_base_fee, &mut env.blob_excess_gas_and_price)
        {
            blobs.blob_gasprice = fee.saturating_to();
        }
        let precompiles = state.precompiles(rules.spec)?;
        let mut watched = Transfers::new(self.trace_transfers);
        let (mut begun, mut ran) = (Begun::default(), Vec::new());
        let mut transactions = Vec::new();
        for call in block.calls {
            let transaction = self.transaction(call, &header, &rules, begun.gas_used)?;
            let tx = tx_env(&transaction, transaction.signer());
            let mut config = config(&rules);
            config.disable_nonce_check = !self.validation;
            config.disable_eip3607 = true;
            config.disable_block_gas_limit = true;
            config.tx_gas_limit_cap = Some(u64::MAX);
            let priced = tx.gas_price > 0 || tx.gas_priority_fee.is_some_and(|tip| tip > 0);
            config.disable_base_fee = !self.validation && !priced;
            let outcome = inspecting(&mut self.overlay, config, env.clone(), &mut watched)
                .with_precompiles(precompiles.clone())
                .inspect_tx(tx);
            let outcome = outcome.map_err(|error| refused(&error))?;
            self.overlay.commit(outcome.state);
            let result = outcome.result;
            self.gas_left = self.gas_left.saturating_sub(result.tx_gas_used());
            begun.add(&transaction, &result);
            transactions.push(transaction);
            ran.push(Ran { result, logs: watched.take() });
        }
        let body = Body::of(transactions, &rules);
        let execution = Execution::resume(&mut self.overlay, header, rules, begun);
        let (header, executed) = execution.finish(&body)?;
        let accounts = self.overlay.writes(&self.rpc.node.view.read().state, self.base)?;
        let changes = Changes { accounts, codes: Vec::new() };
        let state_root = self.rpc.node.apply(&mut self.tries, &changes)?;
        let block = seal(header, body, executed, state_root);
        self.overlay.set_block_hash(number, block.hash);
        (self.parent, self.parent_hash) = (block.header.clone(), block.hash);
        Ok((block, ran))
    }

    fn header(&self, number: u64, timestamp: u64, overrides: &BlockOverrides) -> (Header, Rules) {
        let parent = &self.parent;
        let difficulty = overrides.difficulty.unwrap_or(parent.difficulty);
        let config = self.rpc.node.genesis.config();
        let rules = Rules::of(config, number, timestamp, difficulty.is_zero());
        let base_fee = match (overrides.base_fee, self.validation) {
            (Some(fee), _) => fee.saturating_to(),
            (None, true) => next_base_fee(parent),
            (None, false) => 0,
        };
        let beacon_root = overrides.beacon_root.unwrap_or_default();
        let header = Header {
            parent_hash: self.parent_hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: overrides.coinbase.unwrap_or(parent.beneficiary),
            difficulty,
            number,
            gas_limit: overrides.gas_limit.unwrap_or(parent.gas_limit),
            timestamp,
            mix_hash: overrides.random.unwrap_or_default(),
            base_fee_per_gas: rules.are(SpecId::LONDON).then_some(base_fee),
            excess_blob_gas: next_excess_blob_gas(&rules, parent),
            parent_beacon_block_root: rules.are(SpecId::CANCUN).then_some(beacon_root),
            ..Header::default()
        };
        (header, rules)
    }

    /// The call as a transaction that nobody has signed, with what it leaves out filled in.
    fn transaction(
        &self,
        mut call: TransactionRequest,
        header: &Header,
        rules: &Rules,
        gas_used: u64,
    ) -> Result<Recovered<TxEnvelope>, RpcError> {
        let from = call.from.unwrap_or_default();
        let account = self.overlay.account(from)?.unwrap_or_default();
        let left = header.gas_limit.saturating_sub(gas_used);
        let gas = call.gas.unwrap_or(left);
        if gas > left {
            let message = format!("block gas limit reached: {gas_used} >= {}", header.gas_limit);
            return Err(RpcError::new(BLOCK_GAS, message));
        }
        if call.gas_price.is_some() && call.max_fee_per_gas.is_some() {
            return Err(RpcError::params(
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
            ));
        }
        let nonce = call.nonce.unwrap_or(account.nonce);
        if nonce == u64::MAX && self.validation {
            return Err(RpcError::internal(format!("nonce has max value: address {from}")));
        }
        call.nonce = Some(nonce);
        call.gas = Some(gas.min(self.gas_left));
        call.chain_id.get_or_insert(rules.chain_id);
        call.to.get_or_insert(TxKind::Create);
        if call.gas_price.is_some() {
            // As geth: a price of gas makes it a legacy one, whatever else it names.
            call.access_list = None;
            call.authorization_list = None;
            call.blob_versioned_hashes = None;
        } else {
            call.max_fee_per_gas.get_or_insert_default();
            call.max_priority_fee_per_gas.get_or_insert_default();
            call.access_list.get_or_insert_default();
        }
        if call.blob_versioned_hashes.is_some() {
            call.max_fee_per_blob_gas.get_or_insert_default();
        }
        let built = call.build_consensus_tx().map_err(|e| RpcError::params(e.error))?;
        let nobody = Signature::new(U256::ZERO, U256::ZERO, false);
        Ok(Recovered::new_unchecked(built.into_signed(nobody).into(), from))
    }
}

fn refused(error: &crate::execute::EvmError) -> RpcError {
    use InvalidTransaction as Invalid;
    let EVMError::Transaction(reason) = error else { return failure(error) };
    let code = match reason {
        Invalid::NonceTooLow { .. } => NONCE_TOO_LOW,
        Invalid::NonceTooHigh { .. } => NONCE_TOO_HIGH,
        Invalid::GasPriceLessThanBasefee => FEE_CAP_TOO_LOW,
        Invalid::CallGasCostMoreThanGasLimit { .. } | Invalid::GasFloorMoreThanGasLimit { .. } => {
            INTRINSIC_GAS
        }
        Invalid::LackOfFundForMaxFee { .. } | Invalid::OverflowPaymentInTransaction => FUNDS,
        Invalid::CreateInitCodeSizeLimit => INIT_CODE,
        Invalid::PriorityFeeGreaterThanMaxFee => return RpcError::params(failure(error).message),
        _ => return RpcError::internal(failure(error).message),
    };
    RpcError::new(code, failure(error).message)
}

/// The block as JSON, with what each call came to.
fn block_with_calls(block: &SealedBlock, ran: Vec<Ran>, full: bool) -> Outcome {
    let mut value = super::json(block_json(block, full))?;
    let calls = ran.into_iter().enumerate().map(|(index, Ran { result, logs })| {
        let logs = logs.into_iter().map(|(number, log)| rpc_log(block, index, number, log));
        let logs: Vec<Log> = logs.collect();
        let gas = result.gas();
        let mut call = json!({
            "gasUsed": U64::from(gas.tx_gas_used()),
            "maxUsedGas": U64::from(gas.total_gas_spent().max(gas.floor_gas())),
            "status": U64::from(result.is_success()),
            "logs": logs,
            "returnData": Bytes::new(),
        });
        match result {
            ExecutionResult::Success { output, .. } => {
                call["returnData"] = json!(output.into_data());
            }
            ExecutionResult::Revert { output, .. } => {
                let RpcError { code, message, data, .. } = reverted(&output);
                call["error"] = json!({ "code": code, "message": message, "data": data });
            }
            ExecutionResult::Halt { reason, .. } => {
                call["error"] = json!({ "code": VM_ERROR, "message": halted(&reason).message });
            }
        }
        call
    });
    value["calls"] = calls.collect();
    Ok(value)
}
