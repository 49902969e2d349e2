//! Running transactions with revm, under the rules of Prague.

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{Header, Receipt, ReceiptEnvelope, Transaction, TxEnvelope, TxType};
use alloy::eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy::eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy_primitives::{Address, Bytes, U256};
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::either::Either;
use revm::handler::{
    ExecuteCommitEvm, MainBuilder, MainnetContext, MainnetEvm, SystemCallCommitEvm,
};
use revm::primitives::eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE;
use revm::primitives::hardfork::SpecId;
use revm::{Context, Database};

use crate::sender::recover_authorization;
use crate::state::{Overlay, StateError, StateRead};
use crate::{Error, Result};

/// The rules of every block.
pub(crate) const SPEC: SpecId = SpecId::PRAGUE;
/// The most gas one transaction may ask for. Not a rule of Prague (EIP-7825 brings a lower one
/// with Osaka): it bounds how long one transaction can hold up the builder.
pub(crate) const TX_GAS_LIMIT_CAP: u64 = 1 << 25;
/// A block takes no further transaction beyond this many bytes of transactions and logs, which
/// keeps its record well below what the journal takes.
const BLOCK_SIZE_LIMIT_BYTES: usize = 32 << 20;

/// A transaction with its sender.
pub(crate) type SignedTransaction = Recovered<TxEnvelope>;
/// An EVM over the writes of one block.
pub(crate) type Evm<'a, R> = MainnetEvm<MainnetContext<&'a mut Overlay<R>>>;
/// What revm reports for a transaction that did not run.
pub(crate) type EvmError = EVMError<StateError, InvalidTransaction>;

/// The EVM's configuration for blocks.
pub(crate) fn config(chain_id: u64) -> CfgEnv {
    let mut config = CfgEnv::new_with_spec(SPEC).with_chain_id(chain_id);
    config.tx_gas_limit_cap = Some(TX_GAS_LIMIT_CAP);
    config
}

/// What transactions see of their block.
pub(crate) fn block_env(header: &Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: U256::ZERO,
        prevrandao: Some(header.mix_hash),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new(
            header.excess_blob_gas.unwrap_or_default(),
            BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE,
        )),
        ..BlockEnv::default()
    }
}

/// An EVM that reads and writes `overlay`.
pub(crate) fn evm<R: StateRead>(
    overlay: &mut Overlay<R>,
    config: CfgEnv,
    block: BlockEnv,
) -> Evm<'_, R> {
    let context: MainnetContext<&mut Overlay<R>> = Context::new(overlay, SPEC);
    context.with_cfg(config).with_block(block).build_mainnet()
}

/// A transaction as revm takes it.
pub(crate) fn tx_env(transaction: &TxEnvelope, sender: Address) -> TxEnv {
    TxEnv {
        tx_type: transaction.tx_type().into(),
        caller: sender,
        gas_limit: transaction.gas_limit(),
        gas_price: transaction.max_fee_per_gas(),
        kind: transaction.kind(),
        value: transaction.value(),
        data: transaction.input().clone(),
        nonce: transaction.nonce(),
        chain_id: transaction.chain_id(),
        access_list: transaction.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: transaction.max_priority_fee_per_gas(),
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: transaction
            .authorization_list()
            .unwrap_or_default()
            .iter()
            .map(|signed| Either::Right(recover_authorization(signed)))
            .collect(),
    }
}

/// Why a transaction is not in the block; the block goes on without it.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It does not fit into what is left of the block.
    NoRoom,
    /// Its fee cap is below the block's base fee.
    FeeTooLow,
    /// It can never be executed as things are.
    Invalid(InvalidTransaction),
}

/// One block while its transactions are executed.
pub(crate) struct Execution<'a, R: StateRead> {
    evm: Evm<'a, R>,
    header: Header,
    receipts: Vec<ReceiptEnvelope>,
    gas_used: u64,
    size_bytes: usize,
}

impl<'a, R: StateRead> Execution<'a, R> {
    /// Begins the block whose header (so far) is given: EIP-4788 and EIP-2935 system calls, for
    /// the contracts that the genesis has.
    pub(crate) fn begin(
        overlay: &'a mut Overlay<R>,
        header: Header,
        chain_id: u64,
    ) -> Result<Self> {
        let mut calls: Vec<(Address, Bytes)> = Vec::new();
        let beacon_root = header.parent_beacon_block_root.unwrap_or_default();
        for (address, data) in
            [(BEACON_ROOTS_ADDRESS, beacon_root), (HISTORY_STORAGE_ADDRESS, header.parent_hash)]
        {
            let account = overlay.basic(address).map_err(|e| failed(&header, &e))?;
            if account.is_some_and(|account| !account.is_empty_code_hash()) {
                calls.push((address, data.0.into()));
            }
        }
        let mut evm = evm(overlay, config(chain_id), block_env(&header));
        for (address, data) in calls {
            evm.system_call_commit(address, data).map_err(|e| failed(&header, &e))?;
        }
        Ok(Self { evm, header, receipts: Vec::new(), gas_used: 0, size_bytes: 0 })
    }

    /// Executes one transaction. `Ok(Err(_))` leaves the block as it was.
    pub(crate) fn execute(
        &mut self,
        transaction: &SignedTransaction,
    ) -> Result<Result<(), Refused>> {
        if self.gas_used + transaction.gas_limit() > self.header.gas_limit
            || self.size_bytes > BLOCK_SIZE_LIMIT_BYTES
        {
            return Ok(Err(Refused::NoRoom));
        }
        match self.evm.transact_commit(tx_env(transaction, transaction.signer())) {
            Ok(result) => {
                self.add(transaction.tx_type(), transaction.input().len(), result);
                Ok(Ok(()))
            }
            Err(EVMError::Transaction(InvalidTransaction::GasPriceLessThanBasefee)) => {
                Ok(Err(Refused::FeeTooLow))
            }
            Err(EVMError::Transaction(reason)) => Ok(Err(Refused::Invalid(reason))),
            Err(error) => Err(failed(&self.header, &error)),
        }
    }

    fn add(&mut self, tx_type: TxType, input_bytes: usize, result: ExecutionResult) {
        self.gas_used += result.tx_gas_used();
        let receipt = Receipt {
            status: result.is_success().into(),
            cumulative_gas_used: self.gas_used,
            logs: match result.is_success() {
                true => result.into_logs(),
                false => Vec::new(),
            },
        };
        let log_bytes: usize = receipt.logs.iter().map(|log| log.data.data.len() + 160).sum();
        self.size_bytes += input_bytes + log_bytes + 512;
        self.receipts.push(ReceiptEnvelope::from_typed(tx_type, receipt.with_bloom()));
    }

    /// Whether no transaction is in the block yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.receipts.is_empty()
    }

    /// The header as it was begun, the receipts, and the gas used.
    pub(crate) fn finish(self) -> (Header, Vec<ReceiptEnvelope>, u64) {
        (self.header, self.receipts, self.gas_used)
    }
}

fn failed(header: &Header, error: &dyn std::fmt::Display) -> Error {
    Error::Execution { number: header.number, reason: error.to_string() }
}
