//! Transactions in.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, Bytes, U64};
use serde_json::Value;
use tokio::time::timeout;

use super::params::Params;
use super::{Outcome, Rpc, RpcError, json};

/// Handled apart, as it waits.
pub(super) const SYNC_METHOD: &str = "eth_sendRawTransactionSync";
const DEFAULT_TIMEOUT_MS: u64 = 10_000;
const MAX_TIMEOUT_MS: u64 = 60_000;

impl Rpc {
    /// Answers after admission; the receipt appears once the block is durable.
    pub(super) fn send_raw_transaction(&self, mut params: Params) -> Outcome {
        let raw: Bytes = params.next("raw transaction")?;
        params.finish()?;
        json(self.node.submit(&raw)?)
    }

    /// Answers with the receipt of a durable block (EIP-7966).
    pub(super) async fn send_raw_transaction_sync(self: &Arc<Self>, mut params: Params) -> Outcome {
        let raw: Bytes = params.next("raw transaction")?;
        let timeout_ms = timeout_ms(params.optional("timeout")?)?;
        params.finish()?;
        let mut head = self.node.head.subscribe();
        let hash = self.blocking(move |rpc| Ok(rpc.node.submit(&raw)?)).await?;
        let waited = timeout(Duration::from_millis(timeout_ms), async {
            loop {
                head.borrow_and_update();
                if let Some(outcome) = self.outcome(hash) {
                    return outcome;
                }
                if head.changed().await.is_err() {
                    return Err(RpcError::internal("the chain is closed"));
                }
            }
        });
        waited.await.unwrap_or_else(|_| Err(RpcError::sync_timeout(hash, timeout_ms)))
    }

    /// The receipt or the reason why there will be none; `None` while it is still waited for.
    fn outcome(&self, hash: B256) -> Option<Outcome> {
        // The pool first: a transaction leaves it in the moment in which its block appears.
        let waits = self.node.pool.lock().get(hash).is_some();
        match self.node.transaction(hash) {
            Ok(Some((block, index))) => Some(self.receipt(&block, index).and_then(json)),
            Ok(None) if waits => {
                self.node.stopped.get().map(|reason| {
                    Err(RpcError::internal(format!("the chain has stopped: {reason}")))
                })
            }
            Ok(None) => Some(Err(RpcError::server(
                "the transaction was dropped: its sender's nonce or balance changed before it ran",
            ))),
            Err(error) => Some(Err(error.into())),
        }
    }
}

fn timeout_ms(value: Option<Value>) -> Result<u64, RpcError> {
    let Some(value) = value else { return Ok(DEFAULT_TIMEOUT_MS) };
    let number = match value.as_u64() {
        Some(number) => number,
        None => serde_json::from_value::<U64>(value)
            .map_err(|_| RpcError::params("invalid argument 1 (timeout): want milliseconds"))?
            .to(),
    };
    Ok(number.clamp(1, MAX_TIMEOUT_MS))
}
