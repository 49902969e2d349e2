//! What a raw transaction must satisfy to wait in the pool. Messages follow geth's, as tools match
//! on them.

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, U256};
use revm::context_interface::cfg::gas::calculate_initial_tx_gas;
use revm::primitives::eip3860::MAX_INITCODE_SIZE;
use revm::primitives::hardfork::SpecId;

use crate::execute::{SignedTransaction, tx_gas_limit_cap};
use crate::pool::PoolError;
use crate::rules::Rules;
use crate::sender;
use crate::state::{Account, StateError};

/// Largest transaction, as geth has it: four slots of 32 KiB.
const MAX_TRANSACTION_BYTES: usize = 128 << 10;
const BLOB_TYPE: u8 = 3;

/// Why a transaction is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    #[error("oversized data: transaction size {size}, limit {MAX_TRANSACTION_BYTES}")]
    Oversized { size: usize },
    #[error("the raw transaction cannot be decoded: {0}")]
    Malformed(String),
    #[error(
        "transaction type not supported: this chain has no blobs (type 3); use types 0, 1, 2 or 4"
    )]
    Blob,
    #[error("transaction type not supported: type 4 begins with Prague")]
    Delegation,
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId { have: u64, want: u64 },
    #[error("invalid transaction v, r, s values: the signature is malformed or has a high s")]
    Signature,
    #[error("nonce has max value")]
    NonceMax,
    #[error("exceeds block gas limit: {gas} > {limit}")]
    BlockGasLimit { gas: u64, limit: u64 },
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasCap { gas: u64, cap: u64 },
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}"
    )]
    TipAboveCap { tip: u128, cap: u128 },
    #[error("max initcode size exceeded: code size {size}, limit {MAX_INITCODE_SIZE}")]
    InitCode { size: usize },
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas { gas: u64, needed: u64 },
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorGas { gas: u64, needed: u64 },
    #[error("EIP-7702 transaction with empty auth list")]
    NoAuthorizations,
    #[error(
        "max fee per gas less than block base fee: address {sender}, maxFeePerGas: {cap}, baseFee: {base_fee}"
    )]
    FeeCap { sender: Address, cap: u128, base_fee: u64 },
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow { next: u64, nonce: u64 },
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")]
    Funds { balance: U256, cost: U256 },
    #[error("sender not an eoa: address {sender}, codehash: {code_hash}")]
    SenderHasCode { sender: Address, code_hash: B256 },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error("blocks are found by work until the merge: this chain can only be imported so far")]
    NotMerged,
    #[error("the chain has stopped and takes no transactions: {0}")]
    Stopped(String),
}

/// Decodes a raw transaction and checks all that needs no state, the signature last.
pub(crate) fn decode(
    raw: &[u8],
    rules: &Rules,
    block_gas_limit: u64,
) -> Result<SignedTransaction, Rejection> {
    if raw.len() > MAX_TRANSACTION_BYTES {
        return Err(Rejection::Oversized { size: raw.len() });
    }
    if raw.first() == Some(&BLOB_TYPE) {
        return Err(Rejection::Blob);
    }
    let transaction = TxEnvelope::decode_2718_exact(raw)
        .map_err(|error| Rejection::Malformed(error.to_string()))?;
    check(&transaction, rules, block_gas_limit)?;
    let sender = sender::recover(&transaction).ok_or(Rejection::Signature)?;
    Ok(Recovered::new_unchecked(transaction, sender))
}

/// As [`decode`], for one that was signed here.
pub(crate) fn check_sent(
    transaction: &TxEnvelope,
    rules: &Rules,
    block_gas_limit: u64,
) -> Result<(), Rejection> {
    let size = transaction.encode_2718_len();
    if size > MAX_TRANSACTION_BYTES {
        return Err(Rejection::Oversized { size });
    }
    if transaction.is_eip4844() {
        return Err(Rejection::Blob);
    }
    check(transaction, rules, block_gas_limit)
}

/// Checks all that needs neither state nor the sender.
fn check(transaction: &TxEnvelope, rules: &Rules, block_gas_limit: u64) -> Result<(), Rejection> {
    if transaction.is_eip7702() && !rules.are(SpecId::PRAGUE) {
        return Err(Rejection::Delegation);
    }
    match transaction.chain_id() {
        None => return Err(Rejection::Unprotected),
        Some(have) if have != rules.chain_id => {
            return Err(Rejection::ChainId { have, want: rules.chain_id });
        }
        Some(_) => {}
    }
    check_limits(transaction, block_gas_limit, tx_gas_limit_cap(rules))?;
    check_intrinsic_gas(transaction, rules)
}

fn check_limits(transaction: &TxEnvelope, block_gas_limit: u64, cap: u64) -> Result<(), Rejection> {
    let gas = transaction.gas_limit();
    if transaction.nonce() == u64::MAX {
        return Err(Rejection::NonceMax);
    }
    if gas > block_gas_limit {
        return Err(Rejection::BlockGasLimit { gas, limit: block_gas_limit });
    }
    if gas > cap {
        return Err(Rejection::GasCap { gas, cap });
    }
    let cap = transaction.max_fee_per_gas();
    let tip = transaction.max_priority_fee_per_gas().unwrap_or_default();
    if tip > cap {
        return Err(Rejection::TipAboveCap { tip, cap });
    }
    let size = transaction.input().len();
    if transaction.is_create() && size > MAX_INITCODE_SIZE {
        return Err(Rejection::InitCode { size });
    }
    if transaction.authorization_list().is_some_and(|list| list.is_empty()) {
        return Err(Rejection::NoAuthorizations);
    }
    Ok(())
}

fn check_intrinsic_gas(transaction: &TxEnvelope, rules: &Rules) -> Result<(), Rejection> {
    let gas = transaction.gas_limit();
    let access_list = transaction.access_list();
    let least = calculate_initial_tx_gas(
        rules.spec,
        transaction.input(),
        transaction.is_create(),
        access_list.map_or(0, |list| list.len() as u64),
        access_list.map_or(0, |list| list.storage_keys_count() as u64),
        transaction.authorization_count().unwrap_or_default(),
        None,
    );
    if gas < least.initial_regular_gas {
        return Err(Rejection::IntrinsicGas { gas, needed: least.initial_regular_gas });
    }
    if gas < least.floor_gas {
        return Err(Rejection::FloorGas { gas, needed: least.floor_gas });
    }
    Ok(())
}

/// Checks what depends on the sender's account and on the next block's base fee. Other waiting
/// transactions of the sender are not counted: one that cannot be paid then is dropped when its
/// turn comes. `may_have_code`: as delegations do.
pub(crate) fn check_account(
    transaction: &SignedTransaction,
    account: Account,
    may_have_code: bool,
    base_fee: u64,
) -> Result<(), Rejection> {
    let (sender, nonce) = (transaction.signer(), transaction.nonce());
    if account.has_code() && !may_have_code {
        return Err(Rejection::SenderHasCode { sender, code_hash: account.code_hash });
    }
    if nonce < account.nonce {
        return Err(Rejection::NonceTooLow { next: account.nonce, nonce });
    }
    let cap = transaction.max_fee_per_gas();
    if cap < u128::from(base_fee) {
        return Err(Rejection::FeeCap { sender, cap, base_fee });
    }
    // 25 bits of gas times 128 bits of price cannot overflow; adding the value can.
    let fees = U256::from(transaction.gas_limit()) * U256::from(cap);
    let cost = fees.saturating_add(transaction.value());
    if cost > account.balance {
        return Err(Rejection::Funds { balance: account.balance, cost });
    }
    Ok(())
}
