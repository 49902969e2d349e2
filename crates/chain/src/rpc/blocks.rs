//! Blocks, transactions and receipts.

use std::sync::Arc;

use alloy::consensus::transaction::TransactionInfo;
use alloy::consensus::{Sealed, Transaction as _};
use alloy::eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::primitives::BlockTransactions;
use alloy::rpc::types::{Block, Header, Log, Transaction, TransactionReceipt};
use alloy_primitives::{B256, U64, U256};
use alloy_rlp::Encodable;
use revm::primitives::hardfork::SpecId;
use serde::Serialize;
use serde_json::Value;

use super::params::Params;
use super::raw::not_found;
use super::{Outcome, Rpc, RpcError, json};
use crate::block::{Body, SealedBlock, seal};
use crate::execute::{Executed, SignedTransaction};
use crate::fork::Place;
use crate::rules::Rules;

type Found = Result<Option<Arc<SealedBlock>>, RpcError>;

impl Rpc {
    pub(super) fn block_by_number(&self, mut params: Params) -> Outcome {
        let tag: BlockNumberOrTag = params.next("block")?;
        let full = params.optional("full transactions")?.unwrap_or_default();
        params.finish()?;
        json(self.find_number(tag)?.map(|block| block_json(&block, full)))
    }

    pub(super) fn block_by_hash(&self, mut params: Params) -> Outcome {
        let hash = params.hash("hash")?;
        let full = params.optional("full transactions")?.unwrap_or_default();
        params.finish()?;
        json(self.find_hash(hash)?.map(|block| block_json(&block, full)))
    }

    pub(super) fn block_receipts(&self, mut params: Params) -> Outcome {
        let id: BlockId = params.next("block")?;
        params.finish()?;
        let Some(block) = self.find(id)? else { return Ok(Value::Null) };
        let receipts: Result<Vec<_>, _> =
            (0..block.transactions().len()).map(|index| self.receipt(&block, index)).collect();
        json(receipts?)
    }

    /// What `told` says of the block with a number.
    pub(super) fn of_number<T: Serialize>(
        &self,
        mut params: Params,
        told: impl FnOnce(&SealedBlock) -> T,
    ) -> Outcome {
        let tag: BlockNumberOrTag = params.next("block")?;
        params.finish()?;
        json(self.find_number(tag)?.map(|block| told(&block)))
    }

    /// What `told` says of the block with a hash.
    pub(super) fn of_hash<T: Serialize>(
        &self,
        mut params: Params,
        told: impl FnOnce(&SealedBlock) -> T,
    ) -> Outcome {
        let hash = params.hash("hash")?;
        params.finish()?;
        json(self.find_hash(hash)?.map(|block| told(&block)))
    }

    /// As [`Self::of_number`], of one place in the block.
    pub(super) fn in_number<T: Serialize>(
        &self,
        mut params: Params,
        told: impl FnOnce(&SealedBlock, usize) -> Option<T>,
    ) -> Outcome {
        let tag: BlockNumberOrTag = params.next("block")?;
        let index: U64 = params.next("index")?;
        params.finish()?;
        json(self.find_number(tag)?.and_then(|block| told(&block, index.to())))
    }

    /// As [`Self::of_hash`], of one place in the block.
    pub(super) fn in_hash<T: Serialize>(
        &self,
        mut params: Params,
        told: impl FnOnce(&SealedBlock, usize) -> Option<T>,
    ) -> Outcome {
        let hash = params.hash("hash")?;
        let index: U64 = params.next("index")?;
        params.finish()?;
        json(self.find_hash(hash)?.and_then(|block| told(&block, index.to())))
    }

    /// Mined, or waiting in the pool (then without a block).
    pub(super) fn transaction_by_hash(&self, mut params: Params) -> Outcome {
        let hash = params.hash("hash")?;
        params.finish()?;
        let waiting = self.node.pool.lock().get(hash);
        if let Some((block, index)) = self.node.transaction(hash)? {
            return json(transaction(&block, index));
        }
        match waiting {
            Some(waiting) => json(waiting_transaction(&waiting)),
            None => self.not_here(Place::Transaction(hash)),
        }
    }

    pub(super) fn transaction_receipt(&self, mut params: Params) -> Outcome {
        let hash = params.hash("hash")?;
        params.finish()?;
        let waits = self.node.pool.lock().get(hash).is_some();
        match self.node.transaction(hash)? {
            Some((block, index)) => json(self.receipt(&block, index)?),
            None if waits => Ok(Value::Null),
            None => self.not_here(Place::Transaction(hash)),
        }
    }

    /// The receipt of transaction `index`.
    pub(super) fn receipt(
        &self,
        block: &SealedBlock,
        index: usize,
    ) -> Result<TransactionReceipt, RpcError> {
        let (Some(transaction), Some(envelope)) =
            (block.transactions().get(index), block.receipts.get(index))
        else {
            return Err(RpcError::internal(
                "the index names a transaction its block does not have",
            ));
        };
        let mut log_index = logs_before(block, index);
        let inner = envelope.clone().map_logs(|inner| {
            let log = rpc_log(block, index, log_index, inner);
            log_index += 1;
            log
        });
        let is_blob = transaction.is_eip4844();
        Ok(TransactionReceipt {
            inner,
            transaction_hash: *transaction.hash(),
            transaction_index: Some(index as u64),
            block_hash: Some(block.hash),
            block_number: Some(block.header.number),
            gas_used: block.gas_used(index),
            effective_gas_price: transaction.effective_gas_price(block.header.base_fee_per_gas),
            blob_gas_used: transaction.blob_gas_used(),
            blob_gas_price: is_blob.then(|| self.blob_fee(&block.header)),
            from: transaction.signer(),
            to: transaction.to(),
            contract_address: block.created(index),
        })
    }

    pub(super) fn find(&self, id: BlockId) -> Found {
        match id {
            BlockId::Hash(hash) => self.find_hash(hash.block_hash),
            BlockId::Number(tag) => self.find_number(tag),
        }
    }

    /// A block that must be there.
    pub(super) fn existing_block(&self, id: BlockId) -> Result<Arc<SealedBlock>, RpcError> {
        match self.find(id) {
            Ok(found) => found.ok_or_else(|| not_found(id)),
            Err(RpcError { elsewhere: Some(place), .. }) => Err(not_found(id).elsewhere(place)),
            Err(error) => Err(error),
        }
    }

    fn find_number(&self, tag: BlockNumberOrTag) -> Found {
        let number = match tag {
            BlockNumberOrTag::Number(number) => number,
            BlockNumberOrTag::Earliest => self.earliest(),
            BlockNumberOrTag::Pending => return Ok(Some(self.pending_block())),
            BlockNumberOrTag::Latest | BlockNumberOrTag::Safe | BlockNumberOrTag::Finalized => {
                let head = self.node.head();
                if !self.is_elsewhere(head.header.number) {
                    return Ok(Some(head));
                }
                head.header.number
            }
        };
        match self.is_elsewhere(number) {
            true => self.not_here(Place::Number(number)),
            false => Ok(self.node.block(number)?),
        }
    }

    /// A transaction that must be in a block, and its place there.
    pub(super) fn existing_transaction(
        &self,
        hash: B256,
    ) -> Result<(Arc<SealedBlock>, usize), RpcError> {
        let unknown =
            || RpcError::server("transaction not found").elsewhere(Place::Transaction(hash));
        self.node.transaction(hash)?.ok_or_else(unknown)
    }

    /// `null`, or what the node of the chain that is forked says.
    pub(super) fn not_here<T: Default>(&self, place: Place) -> Result<T, RpcError> {
        match self.node.fork {
            Some(_) => Err(RpcError::null_here(place)),
            None => Ok(T::default()),
        }
    }

    /// Whether what is in a block is only known to the node of the chain that is forked.
    pub(super) fn is_elsewhere(&self, number: u64) -> bool {
        self.node.fork.is_some() && number <= self.node.first_block()
    }

    /// The next block as it would be without transactions; what waits is not executed for it.
    fn pending_block(&self) -> Arc<SealedBlock> {
        let (header, state_root) = (self.node.next_header(), self.node.head().header.state_root);
        let rules = Rules::of_header(self.node.genesis.config(), &header);
        let executed = Executed {
            blob_gas_used: rules.are(SpecId::CANCUN).then_some(0),
            requests_hash: rules.are(SpecId::PRAGUE).then_some(EMPTY_REQUESTS_HASH),
            ..Executed::default()
        };
        Arc::new(seal(header, Body::of(Vec::new(), &rules), executed, state_root))
    }

    fn find_hash(&self, hash: B256) -> Found {
        let number = self.node.view.read().index.number(hash)?;
        match number.filter(|number| !self.is_elsewhere(*number)) {
            Some(number) => Ok(self.node.block(number)?),
            None => self.not_here(Place::BlockHash(hash)),
        }
    }
}

pub(super) fn block_json(block: &SealedBlock, full: bool) -> Block {
    let transactions = match full {
        true => BlockTransactions::Full(
            (0..block.transactions().len()).filter_map(|index| transaction(block, index)).collect(),
        ),
        false => {
            BlockTransactions::Hashes(block.transactions().iter().map(|tx| *tx.hash()).collect())
        }
    };
    let consensus = block.to_consensus();
    let size = U256::from(consensus.length());
    let sealed = Sealed::new_unchecked(consensus.header, block.hash);
    Block {
        header: Header::from_consensus(sealed, None, Some(size)),
        uncles: consensus.body.ommers.iter().map(alloy::consensus::Header::hash_slow).collect(),
        transactions,
        withdrawals: consensus.body.withdrawals,
    }
}

pub(super) fn transaction_count(block: &SealedBlock) -> U64 {
    U64::from(block.transactions().len())
}

pub(super) fn uncle_count(block: &SealedBlock) -> U64 {
    U64::from(block.body.ommers.len())
}

/// Its header is all that is known of it.
pub(super) fn uncle(block: &SealedBlock, index: usize) -> Option<Block> {
    Some(Block::uncle_from_header(block.body.ommers.get(index)?.clone()))
}

/// One that is in no block yet.
pub(super) fn waiting_transaction(waiting: &SignedTransaction) -> Transaction {
    Transaction::from_transaction(waiting.clone(), TransactionInfo::default())
}

pub(super) fn transaction(block: &SealedBlock, index: usize) -> Option<Transaction> {
    let transaction = block.transactions().get(index)?;
    let info = TransactionInfo {
        hash: Some(*transaction.hash()),
        index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        base_fee: block.header.base_fee_per_gas,
        block_timestamp: Some(block.header.timestamp),
    };
    Some(Transaction::from_transaction(transaction.clone(), info))
}

/// How many logs the block has before transaction `index`.
pub(super) fn logs_before(block: &SealedBlock, index: usize) -> u64 {
    block.receipts[..index].iter().map(|receipt| receipt.logs().len() as u64).sum()
}

/// A log with where it is; `index` is the transaction's, `log_index` counts through the block.
pub(super) fn rpc_log(
    block: &SealedBlock,
    index: usize,
    log_index: u64,
    inner: alloy_primitives::Log,
) -> Log {
    Log {
        inner,
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(*block.transactions()[index].hash()),
        transaction_index: Some(index as u64),
        log_index: Some(log_index),
        removed: false,
    }
}
