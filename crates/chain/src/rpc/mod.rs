//! JSON-RPC: one dispatcher, reached over HTTP and in process.

mod access_list;
mod accounts;
mod again;
mod blocks;
mod call;
mod capabilities;
mod dev;
mod error;
mod fees;
mod http;
mod jsonrpc;
mod logs;
mod otterscan;
mod overrides;
mod params;
mod precompiles;
mod proof;
mod raw;
mod send;
mod simulate;
mod state;
mod subscriptions;
mod trace;
mod tracing_limit;
mod transfers;
mod txpool;

use std::sync::Arc;

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Bytes, U64, keccak256};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use crate::chain::ByHand;
use crate::fork::Place;
use crate::node::{Node, View};
use blocks::{transaction, transaction_count, uncle, uncle_count};
use logs::Filters;
use params::Params;

pub(crate) use error::{RpcError, quote};
pub use http::BODY_LIMIT_BYTES;
pub(crate) use http::router;

/// Calls that may run at once; more wait their turn.
const CONCURRENT_CALLS: usize = 64;
/// Of those, calls at once that take much memory.
const HEAVY_CALLS: usize = 2;
/// Calls at once that another chain's node answers.
const FORWARDED_CALLS: usize = 8;
/// WebSockets that may be open at once.
const MAX_SOCKETS: usize = 256;

/// The dispatcher.
#[derive(Debug)]
pub(crate) struct Rpc {
    node: Arc<Node>,
    filters: Filters,
    permits: Semaphore,
    heavy: Semaphore,
    /// One for each request that may be with the node of the chain that is forked.
    forwarded: Semaphore,
    /// One for each WebSocket that may still be opened.
    sockets: Arc<Semaphore>,
}

/// The block a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    /// The block whose state is meant.
    number: u64,
    /// Whether the block after it is meant as the context.
    pending: bool,
}

type Outcome = Result<Value, RpcError>;

impl Rpc {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            filters: Filters::default(),
            permits: Semaphore::new(CONCURRENT_CALLS),
            heavy: Semaphore::new(HEAVY_CALLS),
            forwarded: Semaphore::new(FORWARDED_CALLS),
            sockets: Arc::new(Semaphore::new(MAX_SOCKETS)),
        }
    }

    /// Answers one call. Must run within a tokio runtime.
    pub(crate) async fn call(self: &Arc<Self>, method: &str, params: Option<&RawValue>) -> Outcome {
        let named = params;
        let params = Params::parse(params)?;
        if method == send::SYNC_METHOD {
            return self.send_raw_transaction_sync(params).await;
        }
        // Before the other permit: who waits here must not keep light calls waiting.
        let heavy = match is_heavy(method) {
            true => {
                Some(self.heavy.acquire().await.map_err(|e| RpcError::internal(e.to_string()))?)
            }
            false => None,
        };
        let method = method.to_owned();
        let named = named.filter(|_| self.node.fork.is_some()).map(|raw| raw.get().to_owned());
        let asked = method.clone();
        let outcome = self.blocking(move |rpc| rpc.dispatch(&method, params)).await;
        drop(heavy);
        match outcome {
            Err(error) => self.forward(asked, named, error).await,
            answered => answered,
        }
    }

    /// What the node of the chain that is forked says, where a request is about what is not here.
    async fn forward(
        self: &Arc<Self>,
        method: String,
        params: Option<String>,
        error: RpcError,
    ) -> Outcome {
        let (Some(fork), Some(place)) = (self.node.fork.clone(), error.elsewhere) else {
            return Err(error);
        };
        let permit = self.forwarded.acquire().await;
        let _permit = permit.map_err(|e| RpcError::internal(e.to_string()))?;
        let params: Option<Vec<Value>> =
            params.and_then(|params| serde_json::from_str(&params).ok()).unwrap_or_default();
        let asked = move || fork.answer(&method, params.unwrap_or_default(), place);
        let answer = tokio::task::spawn_blocking(asked)
            .await
            .map_err(|e| RpcError::internal(format!("the call did not finish: {e}")))?;
        match answer? {
            Some(answer) => Ok(answer),
            None if error.is_null() => Ok(Value::Null),
            None => Err(error),
        }
    }

    /// Runs `work` where it may take its time, with a bounded number beside it.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, RpcError> + Send + 'static,
    ) -> Result<T, RpcError> {
        let rpc = self.clone();
        let _permit =
            self.permits.acquire().await.map_err(|e| RpcError::internal(e.to_string()))?;
        tokio::task::spawn_blocking(move || work(&rpc))
            .await
            .map_err(|e| RpcError::internal(format!("the call did not finish: {e}")))?
    }

    fn dispatch(&self, method: &str, params: Params) -> Outcome {
        match method {
            "eth_chainId" => none(params, || json(U64::from(self.node.genesis.chain_id()))),
            "net_version" => none(params, || json(self.node.genesis.chain_id().to_string())),
            "net_listening" => none(params, || json(true)),
            "net_peerCount" => none(params, || json(U64::ZERO)),
            "web3_clientVersion" => none(params, || json(self.client_version())),
            "web3_sha3" => sha3(params),
            "eth_syncing" => none(params, || json(false)),
            "eth_accounts" => none(params, || json(self.node.accounts.addresses())),
            "eth_sendTransaction" => self.send_transaction(params),
            "eth_signTransaction" => self.sign_transaction(params),
            "eth_sign" => self.sign_message(params),
            "personal_sign" => self.personal_sign(params),
            "eth_signTypedData" | "eth_signTypedData_v4" => self.sign_typed_data(params),
            "eth_blockNumber" => none(params, || json(U64::from(*self.node.head.borrow()))),
            "eth_getBalance" => self.balance(params),
            "eth_getCode" => self.code(params),
            "eth_getStorageAt" => self.storage_at(params),
            "eth_getTransactionCount" => self.transaction_count(params),
            "eth_getProof" => self.proof(params),
            "eth_call" => self.eth_call(params),
            "eth_estimateGas" => self.estimate_gas(params),
            "eth_gasPrice" => none(params, || self.gas_price()),
            "eth_maxPriorityFeePerGas" => none(params, fees::priority_fee),
            "eth_blobBaseFee" => none(params, || self.blob_base_fee()),
            "eth_feeHistory" => self.fee_history(params),
            "eth_getBlockByNumber" => self.block_by_number(params),
            "eth_getBlockByHash" => self.block_by_hash(params),
            "eth_getBlockReceipts" => self.block_receipts(params),
            "eth_getBlockTransactionCountByNumber" => self.of_number(params, transaction_count),
            "eth_getBlockTransactionCountByHash" => self.of_hash(params, transaction_count),
            "eth_getTransactionByHash" => self.transaction_by_hash(params),
            "eth_getTransactionByBlockNumberAndIndex" => self.in_number(params, transaction),
            "eth_getTransactionByBlockHashAndIndex" => self.in_hash(params, transaction),
            "eth_getUncleCountByBlockNumber" => self.of_number(params, uncle_count),
            "eth_getUncleCountByBlockHash" => self.of_hash(params, uncle_count),
            "eth_getUncleByBlockNumberAndIndex" => self.in_number(params, uncle),
            "eth_getUncleByBlockHashAndIndex" => self.in_hash(params, uncle),
            "eth_getTransactionReceipt" => self.transaction_receipt(params),
            "eth_getLogs" => self.get_logs(params),
            "eth_newFilter" => self.new_filter(params),
            "eth_newBlockFilter" => self.new_block_filter(params),
            "eth_newPendingTransactionFilter" => self.new_pending_filter(params),
            "eth_getFilterChanges" => self.filter_changes(params),
            "eth_getFilterLogs" => self.filter_logs(params),
            "eth_uninstallFilter" => self.uninstall_filter(params),
            "eth_sendRawTransaction" => self.send_raw_transaction(params),
            "eth_simulateV1" => self.simulate(params),
            "eth_createAccessList" => self.create_access_list(params),
            "eth_getStorageValues" => self.storage_values(params),
            "eth_baseFee" => none(params, || self.base_fee()),
            "eth_config" => none(params, || self.fork_config()),
            "eth_capabilities" => none(params, || self.capabilities()),
            "txpool_status" => none(params, || self.pool_status()),
            "txpool_content" => none(params, || self.pool_content()),
            "txpool_contentFrom" => self.pool_content_from(params),
            "txpool_inspect" => none(params, || self.pool_inspect()),
            "debug_getRawBlock" => self.raw_block(params),
            "debug_getRawHeader" => self.raw_header(params),
            "debug_getRawReceipts" => self.raw_receipts(params),
            "debug_getRawTransaction" => self.raw_transaction(params),
            "debug_traceTransaction" => self.trace_transaction(params),
            "debug_traceBlockByNumber" => self.trace_block_by_number(params),
            "debug_traceBlockByHash" => self.trace_block_by_hash(params),
            "debug_traceCall" => self.trace_call(params),
            _ if method.starts_with("ots_") || method.starts_with("erigon_") => {
                self.otterscan(method, params)
            }
            _ => self.development(method, params),
        }
    }

    /// The oldest block there is, here or with the node of the chain that is forked.
    fn earliest(&self) -> u64 {
        self.earliest_of(&self.node.view.read())
    }

    fn earliest_of(&self, view: &View) -> u64 {
        if self.node.fork.is_some() { 0 } else { view.index.oldest() }
    }

    fn client_version(&self) -> &'static str {
        match self.node.by_hand {
            ByHand::Everything => DEVELOPMENT_CLIENT_VERSION,
            ByHand::Time | ByHand::Nothing => CLIENT_VERSION,
        }
    }

    fn target(&self, id: Option<BlockId>) -> Result<Target, RpcError> {
        let view = self.node.view.read();
        let head = view.state.number();
        let number = match id.unwrap_or_default() {
            BlockId::Hash(hash) => view.index.number(hash.block_hash)?.ok_or_else(|| {
                RpcError::server("header for hash not found")
                    .elsewhere(Place::BlockHash(hash.block_hash))
            })?,
            BlockId::Number(BlockNumberOrTag::Number(number)) => number,
            BlockId::Number(BlockNumberOrTag::Earliest) => self.earliest_of(&view),
            BlockId::Number(_) => head,
        };
        if number > head {
            return Err(RpcError::server(format!("header not found: the latest block is {head}")));
        }
        if number < self.node.first_block() {
            return Err(RpcError::server("header not found").elsewhere(Place::Number(number)));
        }
        Ok(Target { number, pending: id.is_some_and(|id| id.is_pending()) })
    }
}

/// Whether a method may take long or hundreds of megabytes: copies of tries, traces, all of the pool.
fn is_heavy(method: &str) -> bool {
    method.starts_with("debug_trace")
        || method.ends_with("_dumpState")
        || method.ends_with("_loadState")
        || otterscan::is_heavy(method)
        || matches!(method, "eth_getProof" | "eth_simulateV1" | "txpool_content" | "txpool_inspect")
}

const CLIENT_VERSION: &str = concat!("vouch/v", env!("CARGO_PKG_VERSION"));
/// Where everything can be changed by hand: helpers of tools (hardhat's) look at the name to know.
const DEVELOPMENT_CLIENT_VERSION: &str = concat!("anvil/vouch/v", env!("CARGO_PKG_VERSION"));

fn sha3(mut params: Params) -> Outcome {
    let data: Bytes = params.next("data")?;
    params.finish()?;
    json(keccak256(data))
}

fn none(params: Params, answer: impl FnOnce() -> Outcome) -> Outcome {
    params.finish()?;
    answer()
}

fn json(value: impl Serialize) -> Outcome {
    serde_json::to_value(value).map_err(|e| RpcError::internal(e.to_string()))
}
