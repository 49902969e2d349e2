//! What a raw transaction must satisfy to wait in the pool. Messages follow geth's, as tools match
//! on them.

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, U256};
use revm::context_interface::cfg::gas::calculate_initial_tx_gas;
use revm::primitives::eip3860::MAX_INITCODE_SIZE;
use revm::primitives::hardfork::SpecId;

use crate::blobs::{self, Sent};
use crate::execute::{SignedTransaction, tx_gas_limit_cap};
use crate::pool::PoolError;
use crate::rules::Rules;
use crate::sender;
use crate::state::{Account, StateError};

/// Largest transaction, as geth has it: four slots of 32 KiB.
const MAX_TRANSACTION_BYTES: usize = 128 << 10;
/// Largest transaction with its blobs, as geth has it.
const MAX_BYTES_WITH_BLOBS: usize = 1 << 20;
const BLOB_TYPE: u8 = 3;

/// Why a transaction is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized { size: usize, limit: usize },
    #[error("the raw transaction cannot be decoded: {0}")]
    Malformed(String),
    #[error("transaction type not supported: type {kind} begins with {fork}")]
    TooEarly { kind: u8, fork: &'static str },
    #[error(
        "transaction type not supported: blobs (type 3) come with a transaction that is signed, by \
         eth_sendRawTransaction"
    )]
    UnsignedBlobs,
    #[error(
        "missing sidecar in blob transaction: send it with blobs, commitments and proofs, as \
         rlp([transaction, 1, blobs, commitments, cell proofs]) after its type"
    )]
    NoSidecar,
    #[error("unexpected sidecar version, want: 0, got: 1 (cell proofs begin with Osaka)")]
    CellProofs,
    #[error("blobless blob transaction")]
    NoBlobs,
    #[error("too many blobs in transaction: have {have}, permitted {permitted}")]
    TooManyBlobs { have: usize, permitted: u64 },
    #[error("invalid number of {blobs} blobs compared to {hashes} blob hashes")]
    BlobCount { blobs: usize, hashes: usize },
    #[error("invalid blob sidecar: {0}")]
    Sidecar(String),
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
    #[error(
        "max fee per blob gas less than block blob gas fee: address {sender}, blobGasFeeCap: \
         {cap}, blobBaseFee: {fee}"
    )]
    BlobFeeCap { sender: Address, cap: u128, fee: u128 },
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

/// What the next block takes, in wei.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fees {
    /// For a unit of gas.
    pub(crate) base: u64,
    /// For a unit of blob gas.
    pub(crate) blob: u128,
}

/// Decodes a raw transaction and checks all that needs no state, the dearest last. Its blobs have
/// done their part then.
pub(crate) fn decode(
    raw: &[u8],
    rules: &Rules,
    block_gas_limit: u64,
) -> Result<SignedTransaction, Rejection> {
    let (transaction, sidecar) = blobs::split(read(raw)?);
    let hashes = transaction.blob_versioned_hashes().unwrap_or_default();
    if let Some(sidecar) = &sidecar {
        blobs::check(hashes, sidecar, rules)?;
    }
    check(&transaction, rules, block_gas_limit)?;
    let sender = sender::recover(&transaction).ok_or(Rejection::Signature)?;
    if let Some(sidecar) = &sidecar {
        blobs::verify(hashes, sidecar)?;
    }
    Ok(Recovered::new_unchecked(transaction, sender))
}

/// Decodes a raw transaction.
pub(crate) fn read(raw: &[u8]) -> Result<Sent, Rejection> {
    let has_blobs = raw.first() == Some(&BLOB_TYPE);
    let (size, limit) =
        (raw.len(), if has_blobs { MAX_BYTES_WITH_BLOBS } else { MAX_TRANSACTION_BYTES });
    if size > limit {
        return Err(Rejection::Oversized { size, limit });
    }
    Sent::decode_2718_exact(raw).map_err(|error| {
        match has_blobs && TxEnvelope::decode_2718_exact(raw).is_ok() {
            true => Rejection::NoSidecar,
            false => Rejection::Malformed(error.to_string()),
        }
    })
}

/// As [`decode`], for one that was signed here.
pub(crate) fn check_sent(
    transaction: &TxEnvelope,
    rules: &Rules,
    block_gas_limit: u64,
) -> Result<(), Rejection> {
    if transaction.is_eip4844() {
        return Err(Rejection::UnsignedBlobs);
    }
    check(transaction, rules, block_gas_limit)
}

/// Checks all that needs neither state nor the sender.
fn check(transaction: &TxEnvelope, rules: &Rules, block_gas_limit: u64) -> Result<(), Rejection> {
    let (size, limit) = (transaction.encode_2718_len(), MAX_TRANSACTION_BYTES);
    if size > limit {
        return Err(Rejection::Oversized { size, limit });
    }
    if transaction.is_eip7702() && !rules.are(SpecId::PRAGUE) {
        return Err(Rejection::TooEarly { kind: 4, fork: "Prague" });
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

/// Checks what depends on the sender's account and on the next block's fees. Other waiting
/// transactions of the sender are not counted: one that cannot be paid then is dropped when its
/// turn comes. `may_have_code`: as delegations do.
pub(crate) fn check_account(
    transaction: &SignedTransaction,
    account: Account,
    may_have_code: bool,
    fees: Fees,
) -> Result<(), Rejection> {
    let (sender, nonce) = (transaction.signer(), transaction.nonce());
    if account.has_code() && !may_have_code {
        return Err(Rejection::SenderHasCode { sender, code_hash: account.code_hash });
    }
    if nonce < account.nonce {
        return Err(Rejection::NonceTooLow { next: account.nonce, nonce });
    }
    let cap = transaction.max_fee_per_gas();
    if cap < u128::from(fees.base) {
        return Err(Rejection::FeeCap { sender, cap, base_fee: fees.base });
    }
    let blob_gas = transaction.blob_gas_used().unwrap_or_default();
    let blob_cap = transaction.max_fee_per_blob_gas().unwrap_or_default();
    if blob_gas > 0 && blob_cap < fees.blob {
        return Err(Rejection::BlobFeeCap { sender, cap: blob_cap, fee: fees.blob });
    }
    // At most 64 bits of gas times 128 bits of price cannot overflow; adding the value can.
    let most = U256::from(transaction.gas_limit()) * U256::from(cap)
        + U256::from(blob_gas) * U256::from(blob_cap);
    let cost = most.saturating_add(transaction.value());
    if cost > account.balance {
        return Err(Rejection::Funds { balance: account.balance, cost });
    }
    Ok(())
}
