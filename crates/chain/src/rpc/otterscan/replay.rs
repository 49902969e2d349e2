//! Transactions executed again to see what calls what. Only as far back as old state is kept.

use alloy::consensus::TxReceipt;
use alloy::rpc::types::trace::geth::{GethDebugBuiltInTracerType, GethDebugTracingOptions};
use alloy_primitives::Bytes;
use revm::context::result::ExecutionResult;
use revm::inspector::NoOpInspector;
use revm_inspectors::otterscan::InternalOperationsInspector;

use super::calls::CallTree;
use crate::block::SealedBlock;
use crate::rpc::again::{Again, Watcher};
use crate::rpc::params::Params;
use crate::rpc::tracing_limit::TracingLimit;
use crate::rpc::{Outcome, Rpc, RpcError, json};

impl Rpc {
    /// Ether that contracts sent, contracts that they made and that ended, in order; also what
    /// was reverted afterwards.
    pub(super) fn internal_operations(&self, params: Params) -> Outcome {
        let (watched, _) = self.watched::<InternalOperationsInspector>(params)?;
        json(watched.operations())
    }

    pub(super) fn call_tree(&self, params: Params) -> Outcome {
        let (watched, _) = self.watched::<CallTree>(params)?;
        json(watched.entries)
    }

    /// What a transaction was reverted with; nothing if it was not.
    pub(super) fn transaction_error(&self, mut params: Params) -> Outcome {
        let hash = params.hash("hash")?;
        params.finish()?;
        let (block, index) = self.existing_transaction(hash)?;
        let status = block.receipts.get(index).map(TxReceipt::status_or_post_state);
        if status.is_some_and(|status| status.as_eip658() == Some(true)) {
            return json(Bytes::new());
        }
        let (_, result) = self.transaction_again::<NoOpInspector>(&block, index)?;
        json(match result {
            ExecutionResult::Revert { output, .. } => output,
            _ => Bytes::new(),
        })
    }

    fn watched<I: Watcher + Default>(
        &self,
        mut params: Params,
    ) -> Result<(I, ExecutionResult), RpcError> {
        let hash = params.hash("hash")?;
        params.finish()?;
        let (block, index) = self.existing_transaction(hash)?;
        self.transaction_again(&block, index)
    }

    /// Executes transaction `index` of a block again, with a bound on what is kept of it.
    fn transaction_again<I: Watcher + Default>(
        &self,
        block: &SealedBlock,
        index: usize,
    ) -> Result<(I, ExecutionResult), RpcError> {
        let calls = GethDebugBuiltInTracerType::CallTracer;
        let options = GethDebugTracingOptions::default().with_tracer(calls.into());
        let mut told = None;
        let new = || (TracingLimit::new(&options), I::default());
        self.again(block, [index], new, |_, (limit, watched), result| {
            limit.check().map_err(|_| RpcError::limit("the transaction makes too many calls"))?;
            told = Some((watched, result.clone()));
            Ok(())
        })?;
        told.ok_or_else(|| RpcError::internal("the transaction was not executed"))
    }

    /// Executes a block's transactions again, those `wanted` (in order) each under an inspector
    /// of its own, which is told of with the result.
    pub(super) fn again<I: Watcher>(
        &self,
        block: &SealedBlock,
        wanted: impl IntoIterator<Item = usize>,
        new: impl Fn() -> I,
        mut told: impl FnMut(usize, I, &ExecutionResult) -> Result<(), RpcError>,
    ) -> Result<(), RpcError> {
        let mut again = Again::begin(&self.node, block)?;
        let mut wanted = wanted.into_iter().peekable();
        for (index, transaction) in block.transactions().iter().enumerate() {
            let Some(next) = wanted.peek() else { break };
            if *next != index {
                again.pass(transaction)?;
                continue;
            }
            wanted.next();
            let mut inspector = new();
            let (_, result) = again.watch(transaction, &mut inspector)?;
            told(index, inspector, &result.result)?;
            again.commit(result);
        }
        Ok(())
    }
}
