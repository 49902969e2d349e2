//! `eth_createAccessList`: what a transaction touches.

use alloy::rpc::types::AccessListResult;
use alloy_primitives::U256;
use revm::InspectEvm;
use revm::context::result::ExecutionResult;
use revm_inspectors::access_list::AccessListInspector;

use super::call::{failure, halted, reverted};
use super::params::Params;
use super::{Outcome, Rpc, RpcError, json};
use crate::execute::inspecting;

/// A list that is named in a transaction changes what it costs, and with it what it does; most
/// settle at once.
const MAX_ROUNDS: usize = 8;

impl Rpc {
    /// Runs with the list found so far until no more is touched.
    pub(super) fn create_access_list(&self, params: Params) -> Outcome {
        let (mut request, context) = self.prepare(params)?;
        for _ in 0..MAX_ROUNDS {
            let before = request.access_list.clone().unwrap_or_default();
            let tx = context.call_env(&request)?;
            let mut inspector = AccessListInspector::new(before.clone());
            let mut overlay = context.overlay()?;
            let block = context.block_for(&tx);
            let ran = inspecting(&mut overlay, context.config(), block, &mut inspector)
                .with_precompiles(context.precompiles())
                .inspect_one_tx(tx);
            let result = ran.map_err(|e| failure(&e))?;
            let access_list = inspector.into_access_list();
            if access_list != before {
                request.access_list = Some(access_list);
                continue;
            }
            let error = match &result {
                ExecutionResult::Success { .. } => None,
                ExecutionResult::Revert { output, .. } => Some(reverted(output).message),
                ExecutionResult::Halt { reason, .. } => Some(halted(reason).message),
            };
            let gas_used = U256::from(result.tx_gas_used());
            return json(AccessListResult { access_list, gas_used, error });
        }
        Err(RpcError::server("what it touches depends on what it names: no list can be given"))
    }
}
