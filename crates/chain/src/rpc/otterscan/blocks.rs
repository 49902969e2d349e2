//! Blocks as Otterscan's pages have them: what takes much room is left out.

use alloy::consensus::Transaction as _;
use alloy::eips::BlockId;
use alloy_primitives::{U64, U256};
use serde_json::{Map, Value, json as value};

use super::{Place, page_size};
use crate::block::SealedBlock;
use crate::execute::Rewards;
use crate::rpc::blocks::{block_json, transaction};
use crate::rpc::params::{Number, Params};
use crate::rpc::{Outcome, Rpc, RpcError, json};
use crate::rules::Rules;

/// Characters of `0x` and the four bytes by which a contract's function is known.
const SELECTOR_CHARS: usize = 10;

impl Rpc {
    pub(super) fn header_by_number(&self, mut params: Params) -> Outcome {
        let Place(id) = params.next("block")?;
        params.finish()?;
        json(self.found(id)?.map(|block| block_json(&block, false).header))
    }

    pub(super) fn header_by_hash(&self, mut params: Params) -> Outcome {
        let hash = params.hash("hash")?;
        params.finish()?;
        json(self.found(hash.into())?.map(|block| block_json(&block, false).header))
    }

    pub(super) fn block_details(&self, mut params: Params) -> Outcome {
        let Place(id) = params.next("block")?;
        params.finish()?;
        self.details(id)
    }

    pub(super) fn block_details_by_hash(&self, mut params: Params) -> Outcome {
        let hash = params.hash("hash")?;
        params.finish()?;
        self.details(hash.into())
    }

    fn details(&self, id: BlockId) -> Outcome {
        let Some(block) = self.found(id)? else { return Ok(Value::Null) };
        let rules = Rules::of_header(self.node.genesis.config(), &block.header);
        Ok(value!({
            "block": slim(&block)?,
            "issuance": issuance(&block, &rules),
            "totalFees": total_fees(&block),
        }))
    }

    /// A page of a block's transactions with their receipts, in order; the first page has the
    /// newest.
    pub(super) fn block_transactions(&self, mut params: Params) -> Outcome {
        let Place(id) = params.next("block")?;
        let Number(page) = params.next("page number")?;
        let size = page_size(&mut params)?;
        params.finish()?;
        let Some(block) = self.found(id)? else { return Ok(Value::Null) };
        let skipped = usize::try_from(page).unwrap_or(usize::MAX).saturating_mul(size);
        let end = block.transactions().len().saturating_sub(skipped);
        let (mut transactions, mut receipts) = (Vec::new(), Vec::new());
        for index in end.saturating_sub(size)..end {
            let mut told = object(json(transaction(&block, index))?)?;
            if let Some(Value::String(input)) = told.get_mut("input") {
                input.truncate(SELECTOR_CHARS);
            }
            transactions.push(Value::Object(told));
            let mut receipt = self.timed_receipt(&block, index)?;
            receipt.insert("logs".to_owned(), Value::Null);
            receipt.insert("logsBloom".to_owned(), Value::Null);
            receipts.push(Value::Object(receipt));
        }
        let mut told = slim(&block)?;
        told.insert("transactions".to_owned(), Value::Array(transactions));
        Ok(value!({ "fullblock": told, "receipts": receipts }))
    }

    /// A receipt with its block's timestamp.
    pub(super) fn timed_receipt(
        &self,
        block: &SealedBlock,
        index: usize,
    ) -> Result<Map<String, Value>, RpcError> {
        let mut receipt = object(json(self.receipt(block, index)?)?)?;
        receipt.insert("timestamp".to_owned(), json(U64::from(block.header.timestamp))?);
        Ok(receipt)
    }
}

/// A block without transactions and bloom, and with how many transactions it has.
fn slim(block: &SealedBlock) -> Result<Map<String, Value>, RpcError> {
    let mut told = object(json(block_json(block, false))?)?;
    told.remove("transactions");
    told.insert("logsBloom".to_owned(), Value::Null);
    told.insert("transactionCount".to_owned(), block.transactions().len().into());
    Ok(told)
}

fn object(value: Value) -> Result<Map<String, Value>, RpcError> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(RpcError::internal("what must be an object is none")),
    }
}

/// The ether that came into being with the block, in wei: until the merge.
fn issuance(block: &SealedBlock, rules: &Rules) -> Value {
    let Rewards { finder, ommers } = Rewards::of(rules, block.header.number, &block.body.ommers);
    let uncles: U256 = ommers.into_iter().sum();
    value!({ "blockReward": finder, "uncleReward": uncles, "issuance": finder + uncles })
}

/// What senders paid for gas, burnt or not, in wei.
fn total_fees(block: &SealedBlock) -> U256 {
    let fees = block.transactions().iter().enumerate().map(|(index, transaction)| {
        let price = transaction.effective_gas_price(block.header.base_fee_per_gas);
        U256::from(price) * U256::from(block.gas_used(index))
    });
    fees.sum()
}
