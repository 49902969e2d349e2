//! Precompiled contracts that a request has moved or put code in the place of.

use alloy_primitives::Address;
use alloy_primitives::map::{AddressMap, AddressSet};
use revm::context_interface::{Cfg, ContextTr, JournalTr, LocalContextTr};
use revm::handler::{PrecompileProvider, precompile_output_to_interpreter_result};
use revm::interpreter::{CallInputs, InterpreterResult};
use revm::precompile::{Precompile, PrecompileSpecId, Precompiles};
use revm::primitives::hardfork::SpecId;

/// Precompiles by where they are now.
#[derive(Debug, Clone)]
pub(super) struct Moved {
    /// Where they are by the rules: these are warm from the beginning, and where one was moved is
    /// not, as in geth.
    standard: &'static Precompiles,
    /// What is different: another there, or none.
    changes: AddressMap<Option<Precompile>>,
}

impl Moved {
    /// All of these rules, in their places.
    pub(super) fn none(spec: SpecId) -> Self {
        let standard = Precompiles::new(PrecompileSpecId::from_spec_id(spec));
        Self { standard, changes: AddressMap::default() }
    }

    pub(super) fn get(&self, address: Address) -> Option<&Precompile> {
        match self.changes.get(&address) {
            Some(changed) => changed.as_ref(),
            None => self.standard.get(&address),
        }
    }

    /// Takes one out of its place, if there is any.
    pub(super) fn remove(&mut self, address: Address) {
        if self.get(address).is_some() {
            self.changes.insert(address, None);
        }
    }

    /// Puts one in a place.
    pub(super) fn insert(&mut self, address: Address, precompile: Precompile) {
        self.changes.insert(address, Some(precompile));
    }
}

impl<C: ContextTr> PrecompileProvider<C> for Moved {
    type Output = InterpreterResult;

    /// The rules are those it was made for.
    fn set_spec(&mut self, _: <C::Cfg as Cfg>::Spec) -> bool {
        true
    }

    fn run(
        &mut self,
        context: &mut C,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        let Some(precompile) = self.get(inputs.bytecode_address) else {
            return Ok(None);
        };
        let input = inputs.input.as_bytes(context);
        let output = precompile.execute(&input, inputs.gas_limit, inputs.reservoir);
        drop(input);
        let output = output.map_err(|error| error.to_string())?;
        if let Some(reason) = output.halt_reason()
            && !reason.is_oog()
            && context.journal().depth() == 1
        {
            context.local_mut().set_precompile_error_context(reason.to_string());
        }
        Ok(Some(precompile_output_to_interpreter_result(output, inputs.gas_limit)))
    }

    fn warm_addresses(&self) -> &AddressSet {
        self.standard.addresses_set()
    }

    fn contains(&self, address: &Address) -> bool {
        self.get(*address).is_some()
    }
}
