//! Blocks: the next header, the seal, and what is kept of a block.

use alloy::consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy::consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy::consensus::{
    Block, BlockBody, Header, ReceiptEnvelope, Transaction, TxEnvelope, TxReceipt,
};
use alloy::eips::eip1559::BaseFeeParams;
use alloy::eips::eip4895::Withdrawals;
use alloy::eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, Bloom, keccak256};

use crate::execute::SignedTransaction;

/// A block with all that is told about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SealedBlock {
    pub(crate) hash: B256,
    pub(crate) header: Header,
    pub(crate) transactions: Vec<SignedTransaction>,
    pub(crate) receipts: Vec<ReceiptEnvelope>,
}

impl SealedBlock {
    /// Gas used by transaction `index` alone.
    pub(crate) fn gas_used(&self, index: usize) -> u64 {
        let cumulative = |index: usize| self.receipts[index].cumulative_gas_used();
        cumulative(index) - index.checked_sub(1).map_or(0, cumulative)
    }

    /// The address transaction `index` created, if it is a creation that succeeded or not.
    pub(crate) fn created(&self, index: usize) -> Option<Address> {
        let transaction = &self.transactions[index];
        transaction.is_create().then(|| transaction.signer().create(transaction.nonce()))
    }

    /// The block as Ethereum encodes it.
    pub(crate) fn to_consensus(&self) -> Block<TxEnvelope> {
        let transactions = self.transactions.iter().map(|tx| tx.inner().clone()).collect();
        Block::new(
            self.header.clone(),
            BlockBody {
                transactions,
                ommers: Vec::new(),
                withdrawals: Some(Withdrawals::default()),
            },
        )
    }
}

/// The base fee of the block after `parent` (EIP-1559), in wei.
pub(crate) fn next_base_fee(parent: &Header) -> u64 {
    parent.next_block_base_fee(BaseFeeParams::ethereum()).unwrap_or_default()
}

/// The header of the block after `parent`, before its transactions are known.
///
/// `mix_hash` (`PREVRANDAO`) is a hash of what precedes it: it varies, but anyone can foresee it.
pub(crate) fn next_header(parent: &Header, parent_hash: B256, timestamp: u64) -> Header {
    Header {
        parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        number: parent.number + 1,
        gas_limit: parent.gas_limit,
        timestamp,
        mix_hash: keccak256(parent_hash),
        base_fee_per_gas: Some(next_base_fee(parent)),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

/// Completes the header with everything that follows from execution.
pub(crate) fn seal(
    mut header: Header,
    transactions: Vec<SignedTransaction>,
    receipts: Vec<ReceiptEnvelope>,
    gas_used: u64,
    state_root: B256,
) -> SealedBlock {
    let envelopes: Vec<&TxEnvelope> = transactions.iter().map(SignedTransaction::inner).collect();
    header.transactions_root = calculate_transaction_root(&envelopes);
    header.receipts_root = calculate_receipt_root(&receipts);
    header.logs_bloom = receipts.iter().fold(Bloom::ZERO, |all, receipt| all | receipt.bloom());
    header.gas_used = gas_used;
    header.state_root = state_root;
    SealedBlock { hash: header.hash_slow(), header, transactions, receipts }
}
