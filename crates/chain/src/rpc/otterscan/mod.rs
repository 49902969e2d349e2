//! What the block explorer Otterscan asks beside the usual methods: `ots_*`, of API level 8, and
//! two of Erigon's.
//!
//! There is no index of addresses: searches read blocks, as many as one request may, and say so
//! where that does not do ([`search::MAX_READ_BYTES`], [`search::MAX_REPLAYED_GAS`]).

mod blocks;
mod calls;
mod origin;
mod replay;
mod search;

use std::sync::Arc;

use alloy::eips::BlockId;
use alloy_primitives::Address;
use serde::Deserialize;
use serde_json::Value;

use super::params::{Number, Params};
use super::{Outcome, Rpc, RpcError, json, none};
use crate::block::SealedBlock;
use crate::state::StateRead;
use search::Way;

/// What Otterscan asks for before all else.
const API_LEVEL: u64 = 8;
/// Most transactions that a page may have; Otterscan asks for 25.
const MAX_PAGE_SIZE: u64 = 100;

/// A block as other methods have it named, or by a plain number.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Value")]
struct Place(BlockId);

impl TryFrom<Value> for Place {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        match value.as_u64() {
            Some(number) => Ok(Self(number.into())),
            None => serde_json::from_value(value).map(Self).map_err(|error| error.to_string()),
        }
    }
}

/// Whether a method executes or reads many blocks.
pub(super) fn is_heavy(method: &str) -> bool {
    matches!(
        method,
        "ots_getInternalOperations"
            | "ots_getTransactionError"
            | "ots_traceTransaction"
            | "ots_searchTransactionsBefore"
            | "ots_searchTransactionsAfter"
            | "ots_getTransactionBySenderAndNonce"
            | "ots_getContractCreator"
    )
}

impl Rpc {
    pub(super) fn otterscan(&self, method: &str, params: Params) -> Outcome {
        match method {
            "ots_getApiLevel" => none(params, || json(API_LEVEL)),
            "ots_hasCode" => self.has_code(params),
            "ots_getInternalOperations" => self.internal_operations(params),
            "ots_getTransactionError" => self.transaction_error(params),
            "ots_traceTransaction" => self.call_tree(params),
            "ots_getBlockDetails" => self.block_details(params),
            "ots_getBlockDetailsByHash" => self.block_details_by_hash(params),
            "ots_getBlockTransactions" => self.block_transactions(params),
            "ots_searchTransactionsBefore" => self.search_transactions(params, Way::Before),
            "ots_searchTransactionsAfter" => self.search_transactions(params, Way::After),
            "ots_getTransactionBySenderAndNonce" => self.transaction_by_sender_and_nonce(params),
            "ots_getContractCreator" => self.contract_creator(params),
            "erigon_getHeaderByNumber" => self.header_by_number(params),
            "erigon_getHeaderByHash" => self.header_by_hash(params),
            _ => Err(RpcError::method(method)),
        }
    }

    fn has_code(&self, mut params: Params) -> Outcome {
        let address: Address = params.next("address")?;
        let target = self.target(params.optional::<Place>("block")?.map(|place| place.0))?;
        params.finish()?;
        let account = self.node.state_at(target.number)?.account(address)?;
        json(account.is_some_and(|account| account.has_code()))
    }

    /// A block that is there; the pending one is not yet.
    fn found(&self, id: BlockId) -> Result<Option<Arc<SealedBlock>>, RpcError> {
        if id.is_pending() { Ok(None) } else { self.find(id) }
    }
}

/// Reads how many transactions a page is to have.
fn page_size(params: &mut Params) -> Result<usize, RpcError> {
    let Number(size) = params.next("page size")?;
    if !(1..=MAX_PAGE_SIZE).contains(&size) {
        return Err(RpcError::params(format!("the page size must be 1 to {MAX_PAGE_SIZE}")));
    }
    Ok(size as usize)
}
