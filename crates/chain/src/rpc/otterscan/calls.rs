//! What calls each other within a transaction.

use alloy::rpc::types::trace::otterscan::TraceEntry;
use alloy_primitives::{Address, Bytes, U256};
use revm::Inspector;
use revm::context_interface::{ContextTr, CreateScheme, JournalTr};
use revm::inspector::JournalExt;
use revm::interpreter::{CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome};

/// All calls, creations and destructions, in the order in which they begin.
#[derive(Debug, Default)]
pub(super) struct CallTree {
    pub(super) entries: Vec<TraceEntry>,
    /// Which of them still run, outermost first.
    open: Vec<usize>,
}

impl CallTree {
    fn begin(&mut self, kind: &str, from: Address, to: Address, value: Option<U256>, input: Bytes) {
        self.open.push(self.entries.len());
        self.tell(kind, self.open.len() - 1, (from, to), value, input);
    }

    fn tell(
        &mut self,
        kind: &str,
        depth: usize,
        (from, to): (Address, Address),
        value: Option<U256>,
        input: Bytes,
    ) {
        self.entries.push(TraceEntry {
            r#type: kind.to_owned(),
            // The EVM allows 1,024.
            depth: depth as u32,
            from,
            to,
            value,
            input,
            output: Bytes::new(),
        });
    }

    fn end(&mut self, output: &Bytes) {
        let ended = self.open.pop().and_then(|index| self.entries.get_mut(index));
        if let Some(entry) = ended {
            entry.output = output.clone();
        }
    }
}

impl<C: ContextTr<Journal: JournalExt>> Inspector<C> for CallTree {
    fn call(&mut self, context: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let (account, code, value) =
            (inputs.target_address, inputs.bytecode_address, Some(inputs.call_value()));
        let (kind, from, to, value) = match inputs.scheme {
            CallScheme::Call => ("CALL", inputs.caller, account, value),
            CallScheme::StaticCall => ("STATICCALL", inputs.caller, account, None),
            CallScheme::CallCode => ("CALLCODE", account, code, value),
            CallScheme::DelegateCall => ("DELEGATECALL", account, code, None),
        };
        self.begin(kind, from, to, value, inputs.input.bytes(context));
        None
    }

    fn call_end(&mut self, _: &mut C, _: &CallInputs, outcome: &mut CallOutcome) {
        self.end(&outcome.result.output);
    }

    fn create(&mut self, context: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let kind = match inputs.scheme() {
            CreateScheme::Create2 { .. } => "CREATE2",
            _ => "CREATE",
        };
        let creator = context.journal_ref().evm_state().get(&inputs.caller());
        let nonce = creator.map_or(0, |creator| creator.info.nonce);
        let (to, value) = (inputs.created_address(nonce), Some(inputs.value()));
        self.begin(kind, inputs.caller(), to, value, inputs.init_code().clone());
        None
    }

    fn create_end(&mut self, _: &mut C, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.end(&outcome.result.output);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        let depth = self.open.len();
        self.tell("SELFDESTRUCT", depth, (contract, target), Some(value), Bytes::new());
    }
}

/// What a transaction has to do with one address. Keeps nothing else, so it needs no bound.
#[derive(Debug)]
pub(super) struct Touch {
    address: Address,
    /// Whether it calls, is called, creates, is created, ends or inherits: also in vain.
    pub(super) touched: bool,
    /// Who created it last.
    pub(super) creator: Option<Address>,
}

impl Touch {
    pub(super) fn new(address: Address) -> Self {
        Self { address, touched: false, creator: None }
    }

    fn see(&mut self, addresses: &[Address]) {
        self.touched |= addresses.contains(&self.address);
    }
}

impl<C: ContextTr> Inspector<C> for Touch {
    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.see(&[inputs.caller, inputs.target_address, inputs.bytecode_address]);
        None
    }

    fn create_end(&mut self, _: &mut C, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        self.see(&[inputs.caller()]);
        if outcome.address == Some(self.address) && outcome.result.is_ok() {
            self.touched = true;
            self.creator = Some(inputs.caller());
        }
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, _: U256) {
        self.see(&[contract, target]);
    }
}
