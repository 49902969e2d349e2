//! A bound on what tracers keep: they are generous, and whoever asks may be a stranger.

use alloy::rpc::types::trace::geth::GethDebugTracingOptions;
use alloy_primitives::map::HashSet;
use alloy_primitives::{Address, Log, U256};
use revm::Inspector;
use revm::bytecode::opcode;
use revm::context_interface::ContextTr;
use revm::interpreter::interpreter_types::{InputsTr, Jumps, ReturnData};
use revm::interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter};

use super::RpcError;

/// About how much the traces of one request may come to.
const MAX_BYTES: usize = 512 << 20;
/// What a step, a call or a log takes at least, until it is told as JSON.
const RECORD_BYTES: usize = 2_000;
/// What a slot takes in the storage that is told at a step: all that were seen are.
const SLOT_BYTES: usize = 300;

/// Goes beside a tracer, and ends what runs when too much was kept.
#[derive(Debug)]
pub(super) struct TracingLimit {
    left: usize,
    steps: bool,
    memory: bool,
    storage: bool,
    return_data: bool,
    /// Slots that were seen.
    slots: HashSet<(Address, U256)>,
}

impl TracingLimit {
    pub(super) fn new(options: &GethDebugTracingOptions) -> Self {
        let steps = options.tracer.as_ref().is_none_or(|tracer| tracer.as_str().is_empty());
        let memory = options.config.enable_memory.unwrap_or_default();
        Self {
            left: MAX_BYTES,
            steps,
            memory,
            storage: !options.config.disable_storage.unwrap_or_default(),
            return_data: options.config.enable_return_data.unwrap_or_default(),
            slots: HashSet::default(),
        }
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

    /// What is told of storage at this step.
    fn storage_bytes(&mut self, interpreter: &Interpreter) -> usize {
        let touches = matches!(interpreter.bytecode.opcode(), opcode::SLOAD | opcode::SSTORE);
        if !self.storage || !touches {
            return 0;
        }
        if let Ok(key) = interpreter.stack.peek(0) {
            self.slots.insert((interpreter.input.target_address(), key));
        }
        self.slots.len().saturating_mul(SLOT_BYTES)
    }

    fn keep(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes.saturating_add(RECORD_BYTES));
    }
}

impl<C: ContextTr> Inspector<C> for TracingLimit {
    fn step(&mut self, interpreter: &mut Interpreter, _: &mut C) {
        if self.steps {
            let memory = if self.memory { interpreter.memory.len() } else { 0 };
            let returned =
                if self.return_data { interpreter.return_data.buffer().len() } else { 0 };
            let stack = interpreter.stack.len().saturating_mul(100);
            let slots = self.storage_bytes(interpreter);
            self.keep([stack, slots, memory, memory, returned, returned].into_iter().sum());
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
