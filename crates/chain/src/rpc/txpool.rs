//! What waits in the pool.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::consensus::Transaction as _;
use alloy::rpc::types::Transaction;
use alloy::rpc::types::txpool::{
    TxpoolContent, TxpoolContentFrom, TxpoolInspect, TxpoolInspectSummary, TxpoolStatus,
};
use alloy_primitives::Address;

use super::blocks::waiting_transaction;
use super::params::Params;
use super::{Outcome, Rpc, RpcError, json};
use crate::execute::SignedTransaction;

/// The most that is told at once.
const MAX_BYTES: usize = 32 << 20;

type ByNonce = BTreeMap<u64, Arc<SignedTransaction>>;
/// A sender, what follows its nonce without a gap, and the rest.
type Waiting = (Address, ByNonce, ByNonce);

impl Rpc {
    /// How many can be executed as things are, and how many wait for others before them.
    pub(super) fn pool_status(&self) -> Outcome {
        let (mut pending, mut queued) = (0, 0);
        for (_, ready, gapped) in self.waiting(|_| true)? {
            pending += ready.len() as u64;
            queued += gapped.len() as u64;
        }
        json(TxpoolStatus { pending, queued })
    }

    pub(super) fn pool_content(&self) -> Outcome {
        self.check_size()?;
        let mut content = TxpoolContent::<Transaction>::default();
        for (sender, ready, gapped) in self.waiting(|_| true)? {
            for (into, from) in [(&mut content.pending, ready), (&mut content.queued, gapped)] {
                if !from.is_empty() {
                    into.insert(sender, by_nonce(from));
                }
            }
        }
        json(content)
    }

    pub(super) fn pool_content_from(&self, mut params: Params) -> Outcome {
        let asked: Address = params.next("address")?;
        params.finish()?;
        let mut content = TxpoolContentFrom::<Transaction>::default();
        for (_, ready, gapped) in self.waiting(|sender| sender == asked)? {
            content = TxpoolContentFrom { pending: by_nonce(ready), queued: by_nonce(gapped) };
        }
        json(content)
    }

    /// As [`Self::pool_content`], in words.
    pub(super) fn pool_inspect(&self) -> Outcome {
        self.check_size()?;
        let mut inspect = TxpoolInspect::default();
        for (sender, ready, gapped) in self.waiting(|_| true)? {
            for (into, from) in [(&mut inspect.pending, ready), (&mut inspect.queued, gapped)] {
                if !from.is_empty() {
                    into.insert(sender, summaries(from));
                }
            }
        }
        json(inspect)
    }

    fn check_size(&self) -> Result<(), RpcError> {
        let bytes = self.node.pool.lock().bytes();
        if bytes <= MAX_BYTES {
            return Ok(());
        }
        let message = format!("{bytes} bytes wait: ask for one sender's by txpool_contentFrom");
        Err(RpcError::limit(message))
    }

    /// By sender: what follows the state's nonce without a gap, and the rest.
    fn waiting(&self, asked: impl Fn(Address) -> bool) -> Result<Vec<Waiting>, RpcError> {
        let pool = self.node.pool.lock();
        let view = self.node.view.read();
        let of = |sender: Address, mut waiting: ByNonce| {
            let nonce = view.state.account(sender)?.unwrap_or_default().nonce;
            let gapped = waiting.split_off(&pool.pending_nonce(sender, nonce));
            Ok((sender, waiting, gapped))
        };
        let senders = pool.senders().filter(|(sender, _)| asked(*sender));
        senders.map(|(sender, waiting)| of(sender, waiting.collect())).collect()
    }
}

fn by_nonce(waiting: ByNonce) -> BTreeMap<String, Transaction> {
    let transactions = waiting.into_iter();
    transactions
        .map(|(nonce, waiting)| (nonce.to_string(), waiting_transaction(&waiting)))
        .collect()
}

fn summaries(waiting: ByNonce) -> BTreeMap<String, TxpoolInspectSummary> {
    let summaries = waiting.into_iter().map(|(nonce, transaction)| {
        let summary = TxpoolInspectSummary {
            to: transaction.to(),
            value: transaction.value(),
            gas: transaction.gas_limit(),
            gas_price: transaction.max_fee_per_gas(),
        };
        (nonce.to_string(), summary)
    });
    summaries.collect()
}
