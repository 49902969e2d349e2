//! Transactions executed again to see what calls what. Only as far back as old state is kept.

use alloy::consensus::TxReceipt;
use alloy::rpc::types::trace::geth::{GethDebugBuiltInTracerType, GethDebugTracingOptions};
use alloy_primitives::Bytes;
use revm::context::result::ExecutionResult;
use revm::handler::MainnetContext;
use revm::inspector::NoOpInspector;
use revm::{DatabaseCommit, ExecuteEvm, InspectEvm, Inspector};
use revm_inspectors::otterscan::InternalOperationsInspector;

use super::calls::CallTree;
use crate::block::SealedBlock;
use crate::execute::{Execution, block_env, config_for, evm, inspecting, tx_env};
use crate::node::StateAt;
use crate::rpc::params::Params;
use crate::rpc::tracing_limit::TracingLimit;
use crate::rpc::{Outcome, Rpc, RpcError, json};
use crate::rules::Rules;
use crate::state::Overlay;

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
        let (block, index) = self.node.transaction(hash)?.ok_or_else(unknown)?;
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
        let (block, index) = self.node.transaction(hash)?.ok_or_else(unknown)?;
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
        let header = &block.header;
        let Some(parent) = header.number.checked_sub(1) else { return Ok(()) };
        let rules = Rules::of_header(self.node.genesis.config(), header);
        let env = block_env(header, &rules);
        let mut overlay = Overlay::new(self.node.state_at(parent)?);
        // What the block itself does before its transactions.
        drop(Execution::begin(&mut overlay, header.clone(), rules)?);
        let mut wanted = wanted.into_iter().peekable();
        for (index, transaction) in block.transactions().iter().enumerate() {
            let Some(next) = wanted.peek() else { break };
            let tx = tx_env(transaction, transaction.signer());
            let (config, env) = (config_for(&rules, transaction), env.clone());
            let failed = |error: &dyn std::fmt::Display| RpcError::internal(error.to_string());
            let state = if *next == index {
                wanted.next();
                let mut inspector = new();
                let ran = inspecting(&mut overlay, config, env, &mut inspector).inspect_tx(tx);
                let ran = ran.map_err(|error| failed(&error))?;
                told(index, inspector, &ran.result)?;
                ran.state
            } else {
                let ran = evm(&mut overlay, config, env).transact(tx);
                ran.map_err(|error| failed(&error))?.state
            };
            overlay.commit(state);
        }
        Ok(())
    }
}

/// What may watch a transaction that is executed again.
pub(super) trait Watcher:
    for<'a> Inspector<MainnetContext<&'a mut Overlay<StateAt>>>
{
}

impl<I: for<'a> Inspector<MainnetContext<&'a mut Overlay<StateAt>>>> Watcher for I {}

fn unknown() -> RpcError {
    RpcError::server("transaction not found")
}
