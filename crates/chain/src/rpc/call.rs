//! Running without mining: `eth_call` and `eth_estimateGas`.

use std::collections::BTreeMap;

use alloy::eips::BlockId;
use alloy::rpc::types::{BlockOverrides, TransactionRequest};
use alloy_primitives::{B256, Bytes, TxKind, U64, U256};
use alloy_sol_types::{Panic, Revert, SolError};
use revm::ExecuteEvm;
use revm::context::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::either::Either;

use super::error::quote;
use super::overrides::Overrides;
use super::params::Params;
use super::precompiles::Moved;
use super::{Outcome, Rpc, RpcError, Target, json};
use crate::execute::{EvmError, block_env, config, evm, tx_gas_limit_cap};
use crate::node::StateAt;
use crate::rules::Rules;
use crate::sender::recover_authorization;
use crate::state::{Overlay, StateError};

/// Gas of a call that names none, and the most it may name, as geth has it.
pub(super) const CALL_GAS_CAP: u64 = 50_000_000;
const TRANSFER_GAS: u64 = 21_000;
/// The stipend of calls with value, which a successful run does not show.
const CALL_STIPEND: u64 = 2_300;

/// A call's surroundings: state and what is overridden in it, block and configuration.
pub(super) struct Context {
    state: StateAt,
    overrides: Overrides,
    block: BlockEnv,
    config: CfgEnv,
    /// The most gas that a transaction could have.
    gas_cap: u64,
    precompiles: Moved,
    /// What `BLOCKHASH` is to say.
    block_hashes: BTreeMap<u64, B256>,
}

impl Rpc {
    pub(super) fn eth_call(&self, params: Params) -> Outcome {
        let (request, context) = self.prepare(params)?;
        let tx = context.call_env(&request)?;
        match context.run(tx).map_err(|e| failure(&e))? {
            ExecutionResult::Success { output, .. } => json(output.into_data()),
            ExecutionResult::Revert { output, .. } => Err(reverted(&output)),
            ExecutionResult::Halt { reason, .. } => Err(halted(&reason)),
        }
    }

    pub(super) fn estimate_gas(&self, params: Params) -> Outcome {
        let (request, context) = self.prepare(params)?;
        json(U64::from(context.estimate(&request)?))
    }

    pub(super) fn prepare(
        &self,
        mut params: Params,
    ) -> Result<(TransactionRequest, Context), RpcError> {
        let request: TransactionRequest = params.next("transaction")?;
        let target = self.target(params.optional::<BlockId>("block")?)?;
        let overrides = Overrides::new(params.optional("state overrides")?)?;
        let block = params.optional("block overrides")?.unwrap_or_default();
        params.finish()?;
        Ok((request, self.context(target, overrides, &block)?))
    }

    pub(super) fn context(
        &self,
        target: Target,
        overrides: Overrides,
        changed: &BlockOverrides,
    ) -> Result<Context, RpcError> {
        let state = self.node.state_at(target.number)?;
        let header = match target.pending {
            true => self.node.next_header(),
            false => match self.node.block(target.number)? {
                Some(block) => self.node.seen(&block.header),
                None => return Err(RpcError::server("header not found")),
            },
        };
        let rules = Rules::of_header(self.node.genesis.config(), &header);
        let mut config = config(&rules);
        config.disable_nonce_check = true;
        config.disable_base_fee = true;
        config.disable_eip3607 = true;
        config.disable_block_gas_limit = true;
        config.tx_gas_limit_cap = Some(u64::MAX);
        let (mut block, gas_cap) = (block_env(&header, &rules), tx_gas_limit_cap(&rules));
        override_block(&mut block, changed);
        let precompiles = overrides.precompiles(rules.spec)?;
        let block_hashes = changed.block_hash.clone().unwrap_or_default();
        Ok(Context { state, overrides, block, config, gas_cap, precompiles, block_hashes })
    }
}

impl Context {
    pub(super) fn config(&self) -> CfgEnv {
        self.config.clone()
    }

    pub(super) fn precompiles(&self) -> Moved {
        self.precompiles.clone()
    }

    /// The call as revm takes it, with the gas it names or may have.
    pub(super) fn call_env(&self, request: &TransactionRequest) -> Result<TxEnv, RpcError> {
        self.tx_env(request, request.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP))
    }

    pub(super) fn overlay(&self) -> Result<Overlay<StateAt>, StateError> {
        let mut overlay = Overlay::new(self.state.clone());
        for (number, hash) in &self.block_hashes {
            overlay.set_block_hash(*number, *hash);
        }
        self.overrides.apply(&mut overlay)?;
        Ok(overlay)
    }

    /// As geth: a call that names no price sees none, neither of gas nor of blobs.
    pub(super) fn block_for(&self, tx: &TxEnv) -> BlockEnv {
        let mut block = self.block.clone();
        if tx.gas_price == 0 {
            block.basefee = 0;
        }
        if tx.max_fee_per_blob_gas == 0
            && let Some(blobs) = &mut block.blob_excess_gas_and_price
        {
            blobs.blob_gasprice = 0;
        }
        block
    }

    fn run(&self, tx: TxEnv) -> Result<ExecutionResult, EvmError> {
        let mut overlay = self.overlay().map_err(EVMError::Database)?;
        let block = self.block_for(&tx);
        let precompiles = self.precompiles.clone();
        evm(&mut overlay, self.config.clone(), block).with_precompiles(precompiles).transact_one(tx)
    }

    fn tx_env(&self, request: &TransactionRequest, gas_limit: u64) -> Result<TxEnv, RpcError> {
        if request.gas_price.is_some() && request.max_fee_per_gas.is_some() {
            return Err(RpcError::params(
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
            ));
        }
        let input = match (&request.input.input, &request.input.data) {
            (Some(input), Some(data)) if input != data => {
                return Err(RpcError::params(
                    "both \"data\" and \"input\" are set and not equal; use \"input\"",
                ));
            }
            (Some(input), _) | (None, Some(input)) => input.clone(),
            (None, None) => Bytes::new(),
        };
        let authorizations = request.authorization_list.as_deref().unwrap_or_default();
        Ok(TxEnv {
            tx_type: tx_type(request),
            caller: request.from.unwrap_or_default(),
            gas_limit,
            gas_price: request.max_fee_per_gas.or(request.gas_price).unwrap_or_default(),
            kind: request.to.unwrap_or(TxKind::Create),
            value: request.value.unwrap_or_default(),
            data: input,
            nonce: request.nonce.unwrap_or_default(),
            chain_id: Some(request.chain_id.unwrap_or(self.config.chain_id)),
            access_list: request.access_list.clone().unwrap_or_default(),
            gas_priority_fee: (tx_type(request) >= 2)
                .then(|| request.max_priority_fee_per_gas.unwrap_or_default()),
            authorization_list: authorizations
                .iter()
                .map(|signed| Either::Right(recover_authorization(signed)))
                .collect(),
            blob_hashes: request.blob_versioned_hashes.clone().unwrap_or_default(),
            max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or_default(),
        })
    }

    /// The least gas (within 1.5%, as geth) with which the transaction succeeds.
    pub(super) fn estimate(&self, request: &TransactionRequest) -> Result<u64, RpcError> {
        let mut high = self.gas_allowance(request)?;
        let result = self.run(self.tx_env(request, high)?).map_err(|e| failure(&e))?;
        let (used, refunded) = match result {
            ExecutionResult::Success { gas, .. } => (gas.tx_gas_used(), gas.inner_refunded()),
            ExecutionResult::Revert { output, .. } => return Err(reverted(&output)),
            ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => {
                return Err(RpcError::server(format!("gas required exceeds allowance ({high})")));
            }
            ExecutionResult::Halt { reason, .. } => return Err(halted(&reason)),
        };
        let mut low = used.saturating_sub(1);
        // Enough for all transactions that do not look at the gas they have left.
        let likely = (used + refunded + CALL_STIPEND) * 64 / 63;
        for first in [used, likely] {
            if (low + 1..high).contains(&first) {
                match self.succeeds(request, first)? {
                    true => high = first,
                    false => low = first,
                }
            }
        }
        while low + 1 < high && (high - low) * 1000 > high * 15 {
            let middle = (low + (high - low) / 2).min(low.saturating_mul(2));
            match self.succeeds(request, middle)? {
                true => high = middle,
                false => low = middle,
            }
        }
        Ok(high)
    }

    /// The most gas the transaction could have: what it names or the cap, and can pay for.
    fn gas_allowance(&self, request: &TransactionRequest) -> Result<u64, RpcError> {
        let most = request.gas.filter(|gas| *gas >= TRANSFER_GAS).unwrap_or(self.gas_cap);
        let most = most.min(self.gas_cap);
        let price = request.max_fee_per_gas.or(request.gas_price).unwrap_or_default();
        if price == 0 {
            return Ok(most);
        }
        let sender = request.from.unwrap_or_default();
        let account = self.overlay()?.account(sender)?.unwrap_or_default();
        let left = account.balance.checked_sub(request.value.unwrap_or_default());
        let left = left.ok_or_else(|| RpcError::server("insufficient funds for transfer"))?;
        let affordable = u64::try_from(left / U256::from(price)).unwrap_or(u64::MAX);
        if affordable < TRANSFER_GAS {
            let message = format!("gas required exceeds allowance ({affordable})");
            return Err(RpcError::server(message));
        }
        Ok(most.min(affordable))
    }

    fn succeeds(&self, request: &TransactionRequest, gas: u64) -> Result<bool, RpcError> {
        use InvalidTransaction::{CallGasCostMoreThanGasLimit, GasFloorMoreThanGasLimit};
        match self.run(self.tx_env(request, gas)?) {
            Ok(result) => Ok(result.is_success()),
            Err(EVMError::Transaction(
                CallGasCostMoreThanGasLimit { .. } | GasFloorMoreThanGasLimit { .. },
            )) => Ok(false),
            Err(error) => Err(failure(&error)),
        }
    }
}

/// Shows a call another block than there is.
fn override_block(block: &mut BlockEnv, changed: &BlockOverrides) {
    let BlockEnv {
        number, beneficiary, timestamp, gas_limit, basefee, difficulty, prevrandao, ..
    } = block;
    *number = changed.number.unwrap_or(*number);
    *beneficiary = changed.coinbase.unwrap_or(*beneficiary);
    *timestamp = changed.time.map_or(*timestamp, U256::from);
    *gas_limit = changed.gas_limit.unwrap_or(*gas_limit);
    *basefee = changed.base_fee.map_or(*basefee, |fee| fee.saturating_to());
    *difficulty = changed.difficulty.unwrap_or(*difficulty);
    *prevrandao = changed.random.or(*prevrandao);
    if let (Some(fee), Some(blobs)) = (changed.blob_base_fee, &mut block.blob_excess_gas_and_price)
    {
        blobs.blob_gasprice = fee.saturating_to();
    }
}

fn tx_type(request: &TransactionRequest) -> u8 {
    if request.authorization_list.is_some() {
        4
    } else if request.blob_versioned_hashes.is_some() {
        3
    } else if request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some() {
        2
    } else if request.access_list.is_some() {
        1
    } else {
        0
    }
}

/// As geth: code 3, the data, and the reason in the message where it is a standard one.
pub(super) fn reverted(output: &Bytes) -> RpcError {
    let reason = Revert::abi_decode(output)
        .map(|revert| quote(&revert.reason))
        .ok()
        .or_else(|| Some(Panic::abi_decode(output).ok()?.kind()?.as_str().to_owned()));
    let message = match reason {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    };
    RpcError::reverted(message, output)
}

pub(super) fn halted(reason: &HaltReason) -> RpcError {
    RpcError::server(match reason {
        HaltReason::OutOfGas(_) => "out of gas".to_owned(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode => "invalid opcode".to_owned(),
        HaltReason::InvalidJump => "invalid jump destination".to_owned(),
        HaltReason::StackUnderflow => "stack underflow".to_owned(),
        HaltReason::StackOverflow => "stack limit reached 1024".to_owned(),
        HaltReason::CreateCollision => "contract address collision".to_owned(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".to_owned(),
        other => format!("execution failed: {other:?}"),
    })
}

/// Words for what never ran.
pub(super) fn failure(error: &EvmError) -> RpcError {
    RpcError::server(match error {
        EVMError::Transaction(InvalidTransaction::LackOfFundForMaxFee { fee, balance }) => {
            format!("insufficient funds for gas * price + value: balance {balance}, tx cost {fee}")
        }
        EVMError::Transaction(InvalidTransaction::CallGasCostMoreThanGasLimit {
            initial_gas,
            gas_limit,
        }) => format!("intrinsic gas too low: gas {gas_limit}, minimum needed {initial_gas}"),
        EVMError::Transaction(reason) => reason.to_string(),
        EVMError::Database(error) => error.to_string(),
        other => other.to_string(),
    })
}
