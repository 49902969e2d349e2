//! Blocks and what is in them as Ethereum encodes them.

use alloy::eips::BlockId;
use alloy::eips::eip2718::Encodable2718;
use alloy_primitives::Bytes;
use alloy_rlp::Encodable;

use super::params::Params;
use super::{Outcome, Rpc, RpcError, json};
use crate::fork::Place;

impl Rpc {
    pub(super) fn raw_block(&self, mut params: Params) -> Outcome {
        let id: BlockId = params.next("block")?;
        params.finish()?;
        json(encoded(&self.existing_block(id)?.to_consensus()))
    }

    pub(super) fn raw_header(&self, mut params: Params) -> Outcome {
        let id: BlockId = params.next("block")?;
        params.finish()?;
        json(encoded(&self.existing_block(id)?.header))
    }

    pub(super) fn raw_receipts(&self, mut params: Params) -> Outcome {
        let id: BlockId = params.next("block")?;
        params.finish()?;
        let block = self.existing_block(id)?;
        let receipts = block.receipts.iter().map(|receipt| Bytes::from(receipt.encoded_2718()));
        json(receipts.collect::<Vec<_>>())
    }

    pub(super) fn raw_transaction(&self, mut params: Params) -> Outcome {
        let hash = params.hash("hash")?;
        params.finish()?;
        let waiting = self.node.pool.lock().get(hash);
        if let Some((block, index)) = self.node.transaction(hash)? {
            return json(Bytes::from(block.transactions()[index].encoded_2718()));
        }
        match waiting {
            Some(waiting) => json(Bytes::from(waiting.encoded_2718())),
            None => self.not_here(Place::Transaction(hash)),
        }
    }
}

fn encoded(value: &impl Encodable) -> Bytes {
    alloy_rlp::encode(value).into()
}

/// What is asked of a block that is not there.
pub(super) fn not_found(id: BlockId) -> RpcError {
    RpcError::server(match id {
        BlockId::Hash(hash) => format!("block {} not found", hash.block_hash),
        BlockId::Number(number) => format!("block {number} not found"),
    })
}
