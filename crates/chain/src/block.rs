//! Blocks: the next header, the seal, and what is kept of a block.

use alloy::consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy::consensus::proofs::{
    calculate_ommers_root, calculate_receipt_root, calculate_transaction_root,
    calculate_withdrawals_root,
};
use alloy::consensus::{
    Block, BlockBody, Header, ReceiptEnvelope, Transaction, TxEnvelope, TxReceipt,
};
use alloy::eips::eip1559::BaseFeeParams;
use alloy::eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256, Bloom, keccak256};
use revm::primitives::hardfork::SpecId;

use crate::edit::NextBlock;
use crate::execute::{Executed, SignedTransaction};
use crate::genesis::Genesis;
use crate::rules::Rules;

/// Base fee of the first block that has one, in wei (1 gwei, EIP-1559). Blocks below half of their
/// gas limit lower it by up to an eighth each, down to 7 wei.
pub(crate) const INITIAL_BASE_FEE_WEI: u64 = 1_000_000_000;

/// A block with all that is told about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SealedBlock {
    pub(crate) hash: B256,
    pub(crate) header: Header,
    pub(crate) body: Body,
    pub(crate) receipts: Vec<ReceiptEnvelope>,
}

/// What a block has besides its header.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Body {
    pub(crate) transactions: Vec<SignedTransaction>,
    /// Blocks found beside those before it: until the merge.
    pub(crate) ommers: Vec<Header>,
    /// From Shanghai on.
    pub(crate) withdrawals: Option<Withdrawals>,
}

impl Body {
    /// As a block by these rules has it that is made here.
    pub(crate) fn of(transactions: Vec<SignedTransaction>, rules: &Rules) -> Self {
        let withdrawals = rules.are(SpecId::SHANGHAI).then(Withdrawals::default);
        Self { transactions, ommers: Vec::new(), withdrawals }
    }
}

impl SealedBlock {
    pub(crate) fn transactions(&self) -> &[SignedTransaction] {
        &self.body.transactions
    }

    /// Gas used by transaction `index` alone.
    pub(crate) fn gas_used(&self, index: usize) -> u64 {
        let cumulative = |index: usize| self.receipts[index].cumulative_gas_used();
        cumulative(index) - index.checked_sub(1).map_or(0, cumulative)
    }

    /// The address transaction `index` created, if it is a creation that succeeded or not.
    pub(crate) fn created(&self, index: usize) -> Option<Address> {
        let transaction = &self.transactions()[index];
        transaction.is_create().then(|| transaction.signer().create(transaction.nonce()))
    }

    /// The block as Ethereum encodes it.
    pub(crate) fn to_consensus(&self) -> Block<TxEnvelope> {
        let Body { transactions, ommers, withdrawals } = &self.body;
        let transactions = transactions.iter().map(|tx| tx.inner().clone()).collect();
        let (ommers, withdrawals) = (ommers.clone(), withdrawals.clone());
        Block::new(self.header.clone(), BlockBody { transactions, ommers, withdrawals })
    }
}

/// The base fee of the block after `parent` (EIP-1559), in wei.
pub(crate) fn next_base_fee(parent: &Header) -> u64 {
    parent.next_block_base_fee(BaseFeeParams::ethereum()).unwrap_or(INITIAL_BASE_FEE_WEI)
}

/// The header of the block after `parent`, before its transactions are known, on a chain that has
/// merged.
///
/// `mix_hash` (`PREVRANDAO`) is a hash of what precedes it: it varies, but anyone can foresee it.
pub(crate) fn next_header(
    genesis: &Genesis,
    parent: &Header,
    parent_hash: B256,
    timestamp: u64,
    next: &NextBlock,
) -> Header {
    let number = parent.number + 1;
    let rules = Rules::of(genesis.config(), number, timestamp, true);
    Header {
        parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        number,
        gas_limit: next.gas_limit.unwrap_or(parent.gas_limit),
        timestamp,
        mix_hash: keccak256(parent_hash),
        base_fee_per_gas: Some(next.base_fee(parent)),
        excess_blob_gas: next_excess_blob_gas(&rules, parent),
        parent_beacon_block_root: rules.are(SpecId::CANCUN).then_some(B256::ZERO),
        ..Header::default()
    }
}

/// By how much the blobs before a block by `rules` were too many (EIP-4844, EIP-7918), in gas.
pub(crate) fn next_excess_blob_gas(rules: &Rules, parent: &Header) -> Option<u64> {
    let params = rules.blobs?;
    // The first block with blobs has a parent without.
    Some(parent.next_block_excess_blob_gas(params).unwrap_or_default())
}

/// Completes the header with everything that follows from execution.
pub(crate) fn seal(
    mut header: Header,
    body: Body,
    executed: Executed,
    state_root: B256,
) -> SealedBlock {
    let envelopes: Vec<_> = body.transactions.iter().map(SignedTransaction::inner).collect();
    let Executed { receipts, gas_used, blob_gas_used, requests_hash } = executed;
    header.ommers_hash = calculate_ommers_root(&body.ommers);
    header.withdrawals_root =
        body.withdrawals.as_ref().map(|withdrawals| calculate_withdrawals_root(withdrawals));
    header.transactions_root = calculate_transaction_root(&envelopes);
    header.receipts_root = calculate_receipt_root(&receipts);
    header.logs_bloom = receipts.iter().fold(Bloom::ZERO, |all, receipt| all | receipt.bloom());
    header.gas_used = gas_used;
    header.blob_gas_used = blob_gas_used;
    header.requests_hash = requests_hash;
    header.state_root = state_root;
    SealedBlock { hash: header.hash_slow(), header, body, receipts }
}
