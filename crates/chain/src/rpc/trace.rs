//! Transactions executed again under a tracer: geth's `debug_trace*`.

use std::sync::Arc;

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::rpc::types::TransactionRequest;
use alloy::rpc::types::trace::geth::{
    GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace, TraceResult,
};
use alloy_primitives::B256;
use revm::InspectEvm;
use revm::context::result::ResultAndState;
use revm::context::{BlockEnv, TxEnv};
use revm_inspectors::tracing::{DebugInspector, TransactionContext};

use super::again::Again;
use super::call::failure;
use super::overrides::Overrides;
use super::params::Params;
use super::tracing_limit::TracingLimit;
use super::{Outcome, Rpc, RpcError, json};
use crate::block::SealedBlock;
use crate::execute::inspecting;
use crate::node::StateAt;
use crate::state::Overlay;

impl Rpc {
    pub(super) fn trace_transaction(&self, mut params: Params) -> Outcome {
        let hash = params.hash("hash")?;
        let options = params.optional("options")?.unwrap_or_default();
        params.finish()?;
        let (block, index) = self.existing_transaction(hash)?;
        let mut traces = self.trace(&block, &options, Some(index))?;
        json(traces.pop().map(|(_, trace)| trace))
    }

    pub(super) fn trace_block_by_number(&self, mut params: Params) -> Outcome {
        let number: BlockNumberOrTag = params.next("block")?;
        self.trace_block(number.into(), params)
    }

    pub(super) fn trace_block_by_hash(&self, mut params: Params) -> Outcome {
        let hash = params.hash("hash")?;
        self.trace_block(hash.into(), params)
    }

    fn trace_block(&self, id: BlockId, mut params: Params) -> Outcome {
        let options = params.optional("options")?.unwrap_or_default();
        params.finish()?;
        let block = self.existing_block(id)?;
        let traces = self.trace(&block, &options, None)?;
        let success = |(hash, result)| TraceResult::Success { result, tx_hash: Some(hash) };
        json(traces.into_iter().map(success).collect::<Vec<_>>())
    }

    /// A call that is not mined, on the state after a block, traced.
    pub(super) fn trace_call(&self, mut params: Params) -> Outcome {
        let request: TransactionRequest = params.next("transaction")?;
        let target = self.target(params.optional::<BlockId>("block")?)?;
        let options: GethDebugTracingCallOptions = params.optional("options")?.unwrap_or_default();
        params.finish()?;
        let overrides = Overrides::new(options.state_overrides)?;
        let changed = options.block_overrides.unwrap_or_default();
        let context = self.context(target, overrides, &changed)?;
        let tx = context.call_env(&request)?;
        let mut overlay = context.overlay()?;
        let mut inspector = inspector(&options.tracing_options)?;
        let mut limit = TracingLimit::new(&options.tracing_options);
        let block = context.block_for(&tx);
        let watching = (&mut limit, &mut inspector);
        let ran = inspecting(&mut overlay, context.config(), block.clone(), watching)
            .with_precompiles(context.precompiles())
            .inspect_tx(tx.clone());
        let result = ran.map_err(|e| failure(&e))?;
        limit.check()?;
        json(outcome(&mut inspector, None, &tx, &block, &result, &mut overlay)?)
    }

    /// Traces of a block's transactions by hash, or of the one at `only`.
    fn trace(
        &self,
        block: &Arc<SealedBlock>,
        options: &GethDebugTracingOptions,
        only: Option<usize>,
    ) -> Result<Vec<(B256, GethTrace)>, RpcError> {
        let mut again = Again::begin(&self.node, block)?;
        let (mut traces, mut limit) = (Vec::new(), TracingLimit::new(options));
        for (index, transaction) in block.transactions().iter().enumerate() {
            if only.is_some_and(|only| only != index) {
                again.pass(transaction)?;
                continue;
            }
            let mut inspector = inspector(options)?;
            let (tx, result) = again.watch(transaction, (&mut limit, &mut inspector))?;
            limit.check()?;
            let place = TransactionContext {
                block_hash: Some(block.hash),
                tx_index: Some(index),
                tx_hash: Some(*transaction.hash()),
            };
            let (block, place) = (again.block.clone(), Some(place));
            let trace = outcome(&mut inspector, place, &tx, &block, &result, &mut again.overlay)?;
            traces.push((*transaction.hash(), trace));
            if only == Some(index) {
                break;
            }
            again.commit(result);
        }
        Ok(traces)
    }
}

/// ERC-7562's keeps all of the stack and the memory at every step, whatever the limit says.
const UNBOUNDED: &str = "erc7562Tracer";

fn inspector(options: &GethDebugTracingOptions) -> Result<DebugInspector, RpcError> {
    let named = options.tracer.as_ref().is_some_and(|tracer| tracer.as_str() == UNBOUNDED);
    // A mux names its tracers as keys.
    if named || options.tracer_config.0.get(UNBOUNDED).is_some() {
        return Err(RpcError::params(format!("the tracer cannot be used: {UNBOUNDED}")));
    }
    let inspector = DebugInspector::new(options.clone());
    inspector.map_err(|error| RpcError::params(format!("the tracer cannot be used: {error}")))
}

fn outcome(
    inspector: &mut DebugInspector,
    place: Option<TransactionContext>,
    tx: &TxEnv,
    block: &BlockEnv,
    result: &ResultAndState,
    overlay: &mut Overlay<StateAt>,
) -> Result<GethTrace, RpcError> {
    let trace = inspector.get_result(place, tx, block, result, overlay);
    trace.map_err(|error| RpcError::internal(error.to_string()))
}
