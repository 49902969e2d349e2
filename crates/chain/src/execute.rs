//! Running transactions with revm, and what a block does besides: system calls, withdrawals,
//! rewards.

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{Eip658Value, Header, Receipt, ReceiptEnvelope, Transaction, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy::eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy::eips::eip6110::DEPOSIT_REQUEST_TYPE;
use alloy::eips::eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_TYPE};
use alloy::eips::eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_TYPE};
use alloy::eips::eip7685::Requests;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolEvent, sol};
use revm::Context;
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::ContextTr;
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::either::Either;
use revm::handler::{
    ExecuteCommitEvm, MainBuilder, MainnetContext, MainnetEvm, SystemCallCommitEvm,
};
use revm::primitives::eip7825;
use revm::primitives::hardfork::SpecId;

use crate::accounts::is_unsigned;
use crate::block::Body;
use crate::rules::Rules;
use crate::sender::recover_authorization;
use crate::state::{Overlay, StateError, StateRead};
use crate::{Error, Result};

/// The most gas that one transaction may ask for where the rules set no bound (EIP-7825 does so
/// from Osaka on): it bounds how long one transaction can hold up the builder.
const TX_GAS_LIMIT_CAP: u64 = 1 << 25;
/// Gwei, in which withdrawals are, in wei.
const GWEI: u128 = 1_000_000_000;
/// A block takes no further transaction beyond this many bytes of transactions and logs, which
/// keeps its record well below what the journal takes.
const BLOCK_SIZE_LIMIT_BYTES: usize = 32 << 20;

/// Of the block's RLP from Osaka on, nor beyond this: 8 MiB, less what one more transaction and the
/// header may have.
const OSAKA_RLP_LIMIT_BYTES: usize = (8 << 20) - (256 << 10);

/// A transaction with its sender.
pub(crate) type SignedTransaction = Recovered<TxEnvelope>;
/// An EVM over the writes of one block.
pub(crate) type Evm<'a, R> = MainnetEvm<MainnetContext<&'a mut Overlay<R>>>;
/// What revm reports for a transaction that did not run.
pub(crate) type EvmError = EVMError<StateError, InvalidTransaction>;

sol! {
    /// The deposit contract's, whose parts joined are a request (EIP-6110).
    event DepositEvent(
        bytes pubkey,
        bytes withdrawal_credentials,
        bytes amount,
        bytes signature,
        bytes index
    );
}

/// The EVM's configuration for blocks.
pub(crate) fn config(rules: &Rules) -> CfgEnv {
    let mut config = CfgEnv::new_with_spec(rules.spec).with_chain_id(rules.chain_id);
    config.max_blobs_per_tx = rules.blobs.map(|_| rules.max_blobs_per_transaction());
    config
}

/// As [`config`], for one of a block's transactions.
pub(crate) fn config_for(rules: &Rules, transaction: &SignedTransaction) -> CfgEnv {
    let mut config = config(rules);
    config.disable_eip3607 = is_unsigned(transaction);
    config
}

/// The most gas that a transaction may ask for to be taken in.
pub(crate) fn tx_gas_limit_cap(rules: &Rules) -> u64 {
    if rules.are(SpecId::OSAKA) { eip7825::TX_GAS_LIMIT_CAP } else { TX_GAS_LIMIT_CAP }
}

/// What transactions see of their block.
pub(crate) fn block_env(header: &Header, rules: &Rules) -> BlockEnv {
    let blobs = header.excess_blob_gas.zip(rules.blobs).map(|(excess, params)| {
        let fraction = u64::try_from(params.update_fraction).unwrap_or(u64::MAX);
        BlobExcessGasAndPrice::new(excess, fraction)
    });
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: header.difficulty,
        prevrandao: Some(header.mix_hash),
        blob_excess_gas_and_price: blobs,
        ..BlockEnv::default()
    }
}

/// An EVM that reads and writes `overlay`.
pub(crate) fn evm<R: StateRead>(
    overlay: &mut Overlay<R>,
    config: CfgEnv,
    block: BlockEnv,
) -> Evm<'_, R> {
    inspecting(overlay, config, block, ())
}

/// As [`evm`], watched.
pub(crate) fn inspecting<R: StateRead, I>(
    overlay: &mut Overlay<R>,
    config: CfgEnv,
    block: BlockEnv,
    inspector: I,
) -> MainnetEvm<MainnetContext<&mut Overlay<R>>, I> {
    let context: MainnetContext<&mut Overlay<R>> = Context::new(overlay, config.spec);
    context.with_cfg(config).with_block(block).build_mainnet_with_inspector(inspector)
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
        blob_hashes: transaction.blob_versioned_hashes().unwrap_or_default().to_vec(),
        max_fee_per_blob_gas: transaction.max_fee_per_blob_gas().unwrap_or_default(),
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
    /// Its blobs do not fit into what is left of the block; without blobs others may.
    NoRoomForBlobs,
    /// Its fee cap is below the block's base fee, for gas or for blobs.
    FeeTooLow,
    /// It can never be executed as things are.
    Invalid(InvalidTransaction),
}

/// What executing a block came to.
#[derive(Debug, Default)]
pub(crate) struct Executed {
    pub(crate) receipts: Vec<ReceiptEnvelope>,
    pub(crate) gas_used: u64,
    /// From Cancun on.
    pub(crate) blob_gas_used: Option<u64>,
    /// From Prague on.
    pub(crate) requests_hash: Option<B256>,
}

/// What a block has come to so far.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    receipts: Vec<ReceiptEnvelope>,
    pub(crate) gas_used: u64,
    blob_gas_used: u64,
    /// About what its record has.
    size_bytes: usize,
    /// About what its transactions have as RLP.
    rlp_bytes: usize,
}

impl Begun {
    /// Adds a transaction that was executed.
    pub(crate) fn add(&mut self, transaction: &TxEnvelope, result: &ExecutionResult) {
        self.gas_used += result.tx_gas_used();
        self.blob_gas_used += transaction.blob_gas_used().unwrap_or_default();
        let receipt = Receipt {
            status: result.is_success().into(),
            cumulative_gas_used: self.gas_used,
            // One that was reverted has none.
            logs: result.logs().to_vec(),
        };
        let log_bytes: usize = receipt.logs.iter().map(|log| log.data.data.len() + 160).sum();
        let rlp_bytes = transaction.encode_2718_len() + 4;
        self.rlp_bytes += rlp_bytes;
        self.size_bytes += rlp_bytes + log_bytes + 512;
        let tx_type = transaction.tx_type();
        self.receipts.push(ReceiptEnvelope::from_typed(tx_type, receipt.with_bloom()));
    }
}

/// One block while its transactions are executed.
pub(crate) struct Execution<'a, R: StateRead> {
    evm: Evm<'a, R>,
    rules: Rules,
    header: Header,
    begun: Begun,
}

impl<'a, R: StateRead> Execution<'a, R> {
    /// Begins the block whose header (so far) is given: EIP-4788 and EIP-2935 system calls, for
    /// the contracts that are there.
    pub(crate) fn begin(overlay: &'a mut Overlay<R>, header: Header, rules: Rules) -> Result<Self> {
        let mut execution = Self::resume(overlay, header, rules, Begun::default());
        if let Some(root) = execution.header.parent_beacon_block_root
            && rules.are(SpecId::CANCUN)
        {
            execution.system_call(BEACON_ROOTS_ADDRESS, root.into())?;
        }
        if rules.are(SpecId::PRAGUE) {
            let parent = execution.header.parent_hash;
            execution.system_call(HISTORY_STORAGE_ADDRESS, parent.into())?;
        }
        Ok(execution)
    }

    /// Goes on with a block some of whose transactions were executed.
    pub(crate) fn resume(
        overlay: &'a mut Overlay<R>,
        header: Header,
        rules: Rules,
        begun: Begun,
    ) -> Self {
        overlay.keeps_empty = !rules.are(SpecId::SPURIOUS_DRAGON);
        let evm = evm(overlay, config(&rules), block_env(&header, &rules));
        Self { evm, rules, header, begun }
    }

    /// What the contract answers; nothing if it is not there.
    fn system_call(&mut self, contract: Address, data: Bytes) -> Result<Bytes> {
        let account = self.overlay().account(contract).map_err(|e| unread(&self.header, e))?;
        if account.is_none_or(|account| !account.has_code()) {
            return Ok(Bytes::new());
        }
        let result = self.evm.system_call_commit(contract, data);
        let result = result.map_err(|e| stopped(&self.header, e))?;
        if !result.is_success() {
            let reason = format!("the system's call of {contract} fails");
            return Err(failed(&self.header, &reason));
        }
        Ok(result.into_output().unwrap_or_default())
    }

    /// Executes one transaction. `Ok(Err(_))` leaves the block as it was.
    pub(crate) fn execute(
        &mut self,
        transaction: &SignedTransaction,
    ) -> Result<Result<(), Refused>> {
        let blob_gas = transaction.blob_gas_used().unwrap_or_default();
        let max_blob_gas = self.rules.blobs.map_or(0, |blobs| blobs.max_blob_gas_per_block());
        let begun = &self.begun;
        if begun.gas_used + transaction.gas_limit() > self.header.gas_limit {
            return Ok(Err(Refused::NoRoom));
        }
        // What fits into no block at all is for the EVM to refuse, so that it does not wait for ever.
        if begun.blob_gas_used > 0 && begun.blob_gas_used + blob_gas > max_blob_gas {
            return Ok(Err(Refused::NoRoomForBlobs));
        }
        self.evm.ctx.cfg.disable_eip3607 = is_unsigned(transaction);
        match self.evm.transact_commit(tx_env(transaction, transaction.signer())) {
            Ok(result) => {
                self.begun.add(transaction, &result);
                Ok(Ok(()))
            }
            Err(EVMError::Transaction(
                InvalidTransaction::GasPriceLessThanBasefee
                | InvalidTransaction::BlobGasPriceGreaterThanMax { .. },
            )) => Ok(Err(Refused::FeeTooLow)),
            Err(EVMError::Transaction(reason)) => Ok(Err(Refused::Invalid(reason))),
            Err(error) => Err(stopped(&self.header, error)),
        }
    }

    /// Whether a block that is made here may have more in it: its record must stay well below what
    /// the journal takes, and from Osaka on its encoding is bounded (EIP-7934).
    pub(crate) fn has_room(&self) -> bool {
        let bounded = self.rules.are(SpecId::OSAKA);
        self.begun.size_bytes <= BLOCK_SIZE_LIMIT_BYTES
            && (!bounded || self.begun.rlp_bytes <= OSAKA_RLP_LIMIT_BYTES)
    }

    /// Until Byzantium the last transaction's receipt has the state's root instead of a status.
    pub(crate) fn set_post_state(&mut self, root: B256) {
        if let Some(ReceiptEnvelope::Legacy(last)) = self.begun.receipts.last_mut() {
            last.receipt.status = Eip658Value::PostState(root);
        }
    }

    /// What was written so far.
    pub(crate) fn overlay(&self) -> &Overlay<R> {
        self.evm.ctx.db_ref()
    }

    /// Whether no transaction is in the block yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.begun.receipts.is_empty()
    }

    /// Ends the block: requests, withdrawals, rewards.
    pub(crate) fn finish(mut self, body: &Body) -> Result<(Header, Executed)> {
        let requests_hash = match self.rules.are(SpecId::PRAGUE) {
            true => Some(self.requests()?.requests_hash()),
            false => None,
        };
        self.pay(body).map_err(|e| unread(&self.header, e))?;
        let Self { rules, header, begun, .. } = self;
        let Begun { receipts, gas_used, blob_gas_used, .. } = begun;
        let blob_gas_used = rules.blobs.map(|_| blob_gas_used);
        Ok((header, Executed { receipts, gas_used, blob_gas_used, requests_hash }))
    }

    /// What the execution layer asks of the consensus layer (EIP-7685), of which there is none
    /// here: only the hash is kept.
    fn requests(&mut self) -> Result<Requests> {
        let logs = self.begun.receipts.iter().flat_map(ReceiptEnvelope::logs);
        let deposits = logs.filter(|log| Some(log.address) == self.rules.deposits);
        let deposits =
            deposits.filter(|log| log.topics().first() == Some(&DepositEvent::SIGNATURE_HASH));
        let deposits: Result<Vec<Vec<u8>>> = deposits
            .map(|log| {
                let deposit = DepositEvent::decode_log_data(&log.data);
                let DepositEvent { pubkey, withdrawal_credentials, amount, signature, index } =
                    deposit.map_err(|e| failed(&self.header, &e))?;
                Ok([pubkey, withdrawal_credentials, amount, signature, index].concat())
            })
            .collect();
        let deposits = deposits?.concat();
        let mut requests = Requests::default();
        requests.push_request_with_type(DEPOSIT_REQUEST_TYPE, deposits);
        for (kind, contract) in [
            (WITHDRAWAL_REQUEST_TYPE, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
            (CONSOLIDATION_REQUEST_TYPE, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS),
        ] {
            let asked = self.system_call(contract, Bytes::new())?;
            requests.push_request_with_type(kind, asked);
        }
        Ok(requests)
    }

    /// Withdrawals (EIP-4895), or what the finders of the block and of its ommers get.
    fn pay(&mut self, body: &Body) -> Result<(), StateError> {
        let finder = self.header.beneficiary;
        let rewards = Rewards::of(&self.rules, self.header.number, &body.ommers);
        let overlay = self.evm.ctx.db_mut();
        for withdrawal in body.withdrawals.iter().flat_map(|all| all.iter()) {
            overlay.pay(withdrawal.address, U256::from(u128::from(withdrawal.amount) * GWEI))?;
        }
        if rewards.finder.is_zero() {
            return Ok(());
        }
        for (ommer, share) in body.ommers.iter().zip(rewards.ommers) {
            overlay.pay(ommer.beneficiary, share)?;
        }
        overlay.pay(finder, rewards.finder)
    }
}

/// What comes into being with a block until the merge, in wei.
#[derive(Debug)]
pub(crate) struct Rewards {
    /// Of who found the block.
    pub(crate) finder: U256,
    /// Of who found each of its ommers.
    pub(crate) ommers: Vec<U256>,
}

impl Rewards {
    /// Of block `number` with these ommers.
    pub(crate) fn of(rules: &Rules, number: u64, ommers: &[Header]) -> Self {
        let reward = rules.reward();
        let share = |ommer: &Header| {
            // At most seven blocks old; what is older gets nothing.
            let eighths = ommer.number.saturating_add(8).saturating_sub(number).min(8);
            U256::from(reward * u128::from(eighths) / 8)
        };
        let finder = U256::from(reward) + U256::from(reward / 32) * U256::from(ommers.len());
        Self { finder, ommers: ommers.iter().map(share).collect() }
    }
}

fn stopped(header: &Header, error: EvmError) -> Error {
    match error {
        EVMError::Database(error) => unread(header, error),
        error => failed(header, &error),
    }
}

/// Of a fork's node it is known that it may answer later.
fn unread(header: &Header, error: StateError) -> Error {
    match error {
        StateError::Fork(why) => Error::Fork(why),
        error => failed(header, &error),
    }
}

fn failed(header: &Header, error: &dyn std::fmt::Display) -> Error {
    Error::Execution { number: header.number, reason: error.to_string() }
}
