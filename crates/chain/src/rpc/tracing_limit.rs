//! A bound on what tracers keep: they are generous, and whoever asks may be a stranger.

use alloy::rpc::types::trace::geth::GethDebugTracingOptions;
use alloy_primitives::Log;
use revm::Inspector;
use revm::context_interface::ContextTr;
use revm::interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter};

use super::RpcError;

/// About how much the traces of one request may come to.
const MAX_BYTES: usize = 256 << 20;
/// What a step, a call or a log takes at least.
const RECORD_BYTES: usize = 200;

/// Goes beside a tracer, and ends what runs when too much was kept.
#[derive(Debug)]
pub(super) struct TracingLimit {
    left: usize,
    steps: bool,
    memory: bool,
}

impl TracingLimit {
    pub(super) fn new(options: &GethDebugTracingOptions) -> Self {
        let steps = options.tracer.as_ref().is_none_or(|tracer| tracer.as_str().is_empty());
        let memory = options.config.enable_memory.unwrap_or_default();
        Self { left: MAX_BYTES, steps, memory }
    }

    /// # Errors
    /// If what ran was ended.
    pub(super) fn check(&self) -> Result<(), RpcError> {
        if self.left > 0 {
            return Ok(());
        }
        Err(RpcError::limit(format!(
            "the trace has more than {} MiB: trace one transaction, leave memory and stack out, or \
             use callTracer",
            MAX_BYTES >> 20
        )))
    }

    fn keep(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes.saturating_add(RECORD_BYTES));
    }
}

impl<C: ContextTr> Inspector<C> for TracingLimit {
    fn step(&mut self, interpreter: &mut Interpreter, _: &mut C) {
        if self.steps {
            let memory = if self.memory { interpreter.memory.len() } else { 0 };
            self.keep(interpreter.stack.len().saturating_mul(32).saturating_add(memory));
        }
        if self.left == 0 {
            interpreter.halt_oog();
        }
    }

    fn log(&mut self, _: &mut C, log: Log) {
        self.keep(log.data.data.len());
    }

    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.keep(inputs.input.len());
        None
    }

    fn call_end(&mut self, _: &mut C, _: &CallInputs, outcome: &mut CallOutcome) {
        self.keep(outcome.result.output.len());
    }

    fn create(&mut self, _: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.keep(inputs.init_code().len());
        None
    }

    fn create_end(&mut self, _: &mut C, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.keep(outcome.result.output.len());
    }
}
