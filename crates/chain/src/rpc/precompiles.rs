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
    by_address: AddressMap<Precompile>,
    /// Where they are by the rules: these are warm from the beginning, and where one was moved is
    /// not, as in geth.
    warm: AddressSet,
}

impl Moved {
    /// All of these rules, in their places.
    pub(super) fn none(spec: SpecId) -> Self {
        let all = Precompiles::new(PrecompileSpecId::from_spec_id(spec));
        let by_address: AddressMap<Precompile> = all
            .addresses()
            .filter_map(|address| Some((*address, all.get(address)?.clone())))
            .collect();
        let warm = by_address.keys().copied().collect();
        Self { by_address, warm }
    }

    pub(super) fn has(&self, address: Address) -> bool {
        self.by_address.contains_key(&address)
    }

    /// Takes one out of its place.
    pub(super) fn remove(&mut self, address: Address) -> Option<Precompile> {
        self.by_address.remove(&address)
    }

    /// Puts one in a place.
    pub(super) fn insert(&mut self, address: Address, precompile: Precompile) {
        self.by_address.insert(address, precompile);
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
        let Some(precompile) = self.by_address.get(&inputs.bytecode_address) else {
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
        &self.warm
    }

    fn contains(&self, address: &Address) -> bool {
        self.by_address.contains_key(address)
    }
}
