//! Single values of the state.

use alloy::eips::BlockId;
use alloy::serde::JsonStorageKey;
use alloy_primitives::{Address, B256, U64};

use super::params::Params;
use super::{Outcome, Rpc, RpcError, Target, json};
use crate::state::Account;

impl Rpc {
    pub(super) fn balance(&self, mut params: Params) -> Outcome {
        let (_, _, account) = self.account(&mut params)?;
        params.finish()?;
        json(account.balance)
    }

    pub(super) fn code(&self, mut params: Params) -> Outcome {
        let (_, _, account) = self.account(&mut params)?;
        params.finish()?;
        let code = self.node.view.read().state.code(account.code_hash)?;
        json(code.original_bytes())
    }

    pub(super) fn storage_at(&self, mut params: Params) -> Outcome {
        let address: Address = params.next("address")?;
        let key: JsonStorageKey = params.next("slot")?;
        let target = self.target(params.optional::<BlockId>("block")?)?;
        params.finish()?;
        let key = key.as_b256().into();
        let value = self.node.view.read().state.slot_at(address, key, target.number)?;
        json(B256::from(value))
    }

    pub(super) fn transaction_count(&self, mut params: Params) -> Outcome {
        let (address, target, account) = self.account(&mut params)?;
        params.finish()?;
        if !target.pending {
            return json(U64::from(account.nonce));
        }
        // Both under the pool's lock: else a block could appear between the two.
        let pool = self.node.pool.lock();
        let account = self.node.view.read().state.account(address).unwrap_or_default();
        json(U64::from(pool.pending_nonce(address, account.nonce)))
    }

    fn account(&self, params: &mut Params) -> Result<(Address, Target, Account), RpcError> {
        let address: Address = params.next("address")?;
        let target = self.target(params.optional::<BlockId>("block")?)?;
        let account = self.node.view.read().state.account_at(address, target.number)?;
        Ok((address, target, account.unwrap_or_default()))
    }
}
