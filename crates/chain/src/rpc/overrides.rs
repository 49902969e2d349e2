//! State that a call is to find instead of the chain's: geth's third parameter of `eth_call`.

use alloy::rpc::types::state::{AccountOverride, StateOverride};
use alloy_primitives::Address;
use revm::primitives::hardfork::SpecId;

use super::RpcError;
use super::precompiles::Moved;
use crate::state::{Overlay, Patch, StateError, StateRead};

/// Overrides that were checked, by address.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    patches: Vec<(Address, Patch)>,
    /// Precompiles that are moved, from and to.
    moves: Vec<(Address, Address)>,
}

impl Overrides {
    /// As geth: `state` replaces all storage, `stateDiff` single slots, and both together are an
    /// error.
    pub(super) fn new(overrides: Option<StateOverride>) -> Result<Self, RpcError> {
        let mut accounts: Vec<_> = overrides.unwrap_or_default().into_iter().collect();
        accounts.sort_unstable_by_key(|(address, _)| *address);
        let to = |account: &AccountOverride| account.move_precompile_to;
        let moves = accounts.iter().filter_map(|(from, account)| Some((*from, to(account)?)));
        let moves = moves.collect();
        let patches = accounts.into_iter().map(|(address, account)| {
            let patch = Patch::try_from(account);
            let why = |error| RpcError::params(format!("account {address} cannot be so: {error}"));
            Ok((address, patch.map_err(why)?))
        });
        Ok(Self { patches: patches.collect::<Result<_, RpcError>>()?, moves })
    }

    /// The precompiles as they are then: whatever is overridden is none any more.
    ///
    /// # Errors
    /// If something is moved that is none, or to an address that is overridden itself.
    pub(super) fn precompiles(&self, spec: SpecId) -> Result<Moved, RpcError> {
        let mut precompiles = Moved::none(spec);
        let mut moved = Vec::new();
        for (from, to) in &self.moves {
            let Some(precompile) = precompiles.get(*from).cloned() else {
                return Err(RpcError::server(format!("account {from} is not a precompile")));
            };
            if self.patches.iter().any(|(address, _)| address == to) {
                return Err(RpcError::server(format!("account {to} is already overridden")));
            }
            moved.push((*to, precompile));
        }
        self.patches.iter().for_each(|(address, _)| precompiles.remove(*address));
        moved.into_iter().for_each(|(to, precompile)| precompiles.insert(to, precompile));
        Ok(precompiles)
    }

    /// Makes `overlay` show what is overridden.
    pub(super) fn apply<R: StateRead>(&self, overlay: &mut Overlay<R>) -> Result<(), StateError> {
        self.patches.iter().try_for_each(|(address, patch)| overlay.patch(*address, patch))
    }
}
