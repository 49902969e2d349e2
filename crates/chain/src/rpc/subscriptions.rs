//! `eth_subscribe`: news over a WebSocket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy::consensus::Sealed;
use alloy::rpc::types::{Filter, Header};
use alloy_primitives::{B256, U64};
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};

use super::blocks::{rpc_log, waiting_transaction};
use super::jsonrpc::answer;
use super::params::Params;
use super::{Outcome, Rpc, RpcError};
use crate::block::SealedBlock;

/// Most subscriptions of one connection.
const MAX_SUBSCRIPTIONS: usize = 128;
/// A reader that takes longer for one message is dropped.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without subscriptions on which nothing is said for this long is closed.
const IDLE: Duration = Duration::from_secs(300);

#[derive(Debug)]
enum News {
    Heads,
    Logs(Box<Filter>),
    /// Hashes of transactions that have come into the pool, or the whole of them.
    Pending {
        full: bool,
    },
}

/// Those of one connection, by id.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    active: BTreeMap<u64, News>,
    last_id: u64,
}

impl Subscriptions {
    pub(super) fn begin(&mut self, rpc: &Rpc, params: Option<&RawValue>) -> Outcome {
        let mut params = Params::parse(params)?;
        let kind: String = params.next("kind")?;
        let news = match kind.as_str() {
            "newHeads" => News::Heads,
            "logs" => {
                let filter: Filter = params.optional("filter")?.unwrap_or_default();
                if filter.get_block_hash().is_some() {
                    return Err(RpcError::params("a subscription is to logs of new blocks"));
                }
                News::Logs(Box::new(filter))
            }
            "newPendingTransactions" => {
                News::Pending { full: params.optional("full transactions")?.unwrap_or_default() }
            }
            "syncing" => return Err(RpcError::params("there is nothing to sync with")),
            _ => {
                return Err(RpcError::params(
                    "no such subscription: use newHeads, logs or newPendingTransactions",
                ));
            }
        };
        params.finish()?;
        if let Some(reason) = rpc.node.stopped.get() {
            return Err(RpcError::internal(format!("the chain has stopped: {reason}")));
        }
        if self.active.len() >= MAX_SUBSCRIPTIONS {
            let message = format!("{MAX_SUBSCRIPTIONS} subscriptions exist: end some");
            return Err(RpcError::limit(message));
        }
        self.last_id += 1;
        self.active.insert(self.last_id, news);
        super::json(U64::from(self.last_id))
    }

    pub(super) fn end(&mut self, params: Option<&RawValue>) -> Outcome {
        let mut params = Params::parse(params)?;
        let id: U64 = params.next("subscription")?;
        params.finish()?;
        match self.active.remove(&id.to()) {
            Some(_) => Ok(Value::Bool(true)),
            None => Err(RpcError::server("subscription not found")),
        }
    }

    /// Tells of a new block; false if the connection is to be given up.
    async fn tell_block(&self, socket: &mut WebSocket, rpc: &Arc<Rpc>, number: u64) -> bool {
        let is_of_blocks = |news: &News| !matches!(news, News::Pending { .. });
        if !self.active.values().any(is_of_blocks) {
            return true;
        }
        let read = rpc.blocking(move |rpc| Ok(rpc.node.block(number)?)).await;
        let block = match read {
            Ok(Some(block)) => block,
            // The chain went back meanwhile, of which the next round knows.
            Ok(None) => return true,
            Err(_) => return false,
        };
        for (id, news) in &self.active {
            let sent = match news {
                News::Heads => {
                    let sealed = Sealed::new_unchecked(block.header.clone(), block.hash);
                    let head = Header::from_consensus(sealed, None, None);
                    send(socket, notification(*id, &head)).await
                }
                News::Logs(filter) => tell_logs(socket, *id, filter, &block).await,
                News::Pending { .. } => true,
            };
            if !sent {
                return false;
            }
        }
        true
    }

    /// What is to be told of a transaction that has come into the pool.
    fn of_transaction(&self, rpc: &Rpc, hash: B256) -> Vec<String> {
        let told = self.active.iter().filter_map(|(id, news)| match news {
            News::Pending { full: false } => Some(notification(*id, &hash)),
            // It may be mined already: then the block tells of it.
            News::Pending { full: true } => {
                let waiting = rpc.node.pool.lock().get(hash)?;
                Some(notification(*id, &waiting_transaction(&waiting)))
            }
            News::Heads | News::Logs(_) => None,
        });
        told.collect()
    }
}

/// One message a log: however many a block has, one is in memory.
async fn tell_logs(socket: &mut WebSocket, id: u64, filter: &Filter, block: &SealedBlock) -> bool {
    if !filter.matches_bloom(block.header.logs_bloom) {
        return true;
    }
    let mut number = 0;
    for (index, receipt) in block.receipts.iter().enumerate() {
        for log in receipt.logs() {
            if filter.matches(log) {
                let told = notification(id, &rpc_log(block, index, number, log.clone()));
                if !send(socket, told).await {
                    return false;
                }
            }
            number += 1;
        }
    }
    true
}

fn notification(id: u64, result: &impl serde::Serialize) -> String {
    let params = json!({ "subscription": U64::from(id), "result": result });
    json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params }).to_string()
}

/// Answers calls and tells news until the other side is gone, or does not keep up.
pub(super) async fn serve_socket(mut socket: WebSocket, rpc: &Arc<Rpc>) {
    let mut subscriptions = Subscriptions::default();
    let mut head = rpc.node.head.subscribe();
    let mut arrivals = rpc.node.arrivals.subscribe();
    let (mut told, mut rewinds) = {
        let rewinds = rpc.node.rewinds.lock();
        (*head.borrow_and_update(), rewinds.total())
    };
    loop {
        tokio::select! {
            message = socket.recv() => {
                let body = match message {
                    Some(Ok(Message::Text(text))) => text.into(),
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                };
                let answer = answer(rpc, &body, Some(&mut subscriptions)).await;
                if !answer.is_empty() && !send(&mut socket, answer).await {
                    return;
                }
            }
            changed = head.changed() => {
                if changed.is_err() {
                    return;
                }
                let newest = {
                    let all = rpc.node.rewinds.lock();
                    let first = rpc.node.first_block();
                    let lowest = all.lowest_since(rewinds).map(|lowest| lowest.max(first));
                    told = lowest.map_or(told, |lowest| told.min(lowest));
                    rewinds = all.total();
                    *head.borrow_and_update()
                };
                while told < newest {
                    told += 1;
                    if !subscriptions.tell_block(&mut socket, rpc, told).await {
                        return;
                    }
                }
            }
            arrived = arrivals.recv() => {
                let hash = match arrived {
                    Ok(hash) => hash,
                    // Some were missed. That they are not told is no harm: blocks tell of them.
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                };
                for news in subscriptions.of_transaction(rpc, hash) {
                    if !send(&mut socket, news).await {
                        return;
                    }
                }
            }
            () = sleep(IDLE), if subscriptions.active.is_empty() => return,
        }
    }
}

/// False if the connection is to be given up.
async fn send(socket: &mut WebSocket, message: impl TryInto<Utf8Bytes>) -> bool {
    let Ok(text) = message.try_into() else { return false };
    matches!(timeout(SEND_TIMEOUT, socket.send(Message::Text(text))).await, Ok(Ok(())))
}
