//! Parts of an account, set from outside of any transaction.

use std::collections::BTreeMap;

use alloy::rpc::types::state::AccountOverride;
use alloy_primitives::{B256, U256, keccak256};
use revm::bytecode::Bytecode;

/// Parts of an account that are to be as they are here; see geth's state overrides.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Patch {
    pub(crate) balance: Option<U256>,
    pub(crate) nonce: Option<u64>,
    /// With its hash.
    pub(crate) code: Option<(B256, Bytecode)>,
    /// Whether `slots` is all that is stored.
    pub(crate) replaces_storage: bool,
    pub(crate) slots: BTreeMap<U256, U256>,
}

/// Why a patch is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatchError {
    #[error("it has both 'state' and 'stateDiff'")]
    BothStates,
    #[error("its code is no code: {0}")]
    Code(String),
}

impl TryFrom<AccountOverride> for Patch {
    type Error = PatchError;

    /// As geth: `state` replaces all storage, `stateDiff` single slots.
    fn try_from(account: AccountOverride) -> Result<Self, PatchError> {
        if account.state.is_some() && account.state_diff.is_some() {
            return Err(PatchError::BothStates);
        }
        let code = account.code.map(|code| {
            let hash = keccak256(&code);
            let checked = Bytecode::new_raw_checked(code);
            checked.map(|code| (hash, code)).map_err(|error| PatchError::Code(error.to_string()))
        });
        let word =
            |(key, value): (B256, B256)| (U256::from_be_bytes(key.0), U256::from_be_bytes(value.0));
        Ok(Self {
            balance: account.balance,
            nonce: account.nonce,
            code: code.transpose()?,
            replaces_storage: account.state.is_some(),
            slots: account.state.or(account.state_diff).into_iter().flatten().map(word).collect(),
        })
    }
}
