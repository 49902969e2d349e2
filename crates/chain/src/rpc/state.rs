//! Single values of the state.

use std::collections::BTreeMap;

use alloy::eips::BlockId;
use alloy_primitives::{Address, B256, U64, U256};
use serde::Deserialize;

use super::params::Params;
use super::{Outcome, Rpc, RpcError, Target, json};
use crate::state::{Account, StateRead};

/// Most slots of one question, as geth has it.
const MAX_SLOTS: usize = 1024;

/// Up to 32 bytes in hexadecimal, as clients name a slot.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct StorageKey(U256);

impl StorageKey {
    pub(super) fn word(&self) -> B256 {
        self.0.into()
    }
}

impl TryFrom<String> for StorageKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").ok_or("hex string without 0x prefix")?;
        if digits.len() > 64 {
            return Err("storage key too long (want at most 32 bytes)".to_owned());
        }
        let key = U256::from_str_radix(digits, 16);
        key.map(Self).map_err(|_| "want hexadecimal digits".to_owned())
    }
}

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
        let key: StorageKey = params.next("slot")?;
        let target = self.target(params.optional::<BlockId>("block")?)?;
        params.finish()?;
        let value = self.node.state_at(target.number)?.slot(address, key.0)?;
        json(B256::from(value))
    }

    /// Many slots of many accounts at once.
    pub(super) fn storage_values(&self, mut params: Params) -> Outcome {
        let asked: BTreeMap<Address, Vec<B256>> = params.next("slots by address")?;
        let target = self.target(params.optional::<BlockId>("block")?)?;
        params.finish()?;
        let slots: usize = asked.values().map(Vec::len).sum();
        if slots == 0 {
            return Err(RpcError::params("empty request"));
        }
        if slots > MAX_SLOTS {
            return Err(RpcError::params(format!("too many slots (max {MAX_SLOTS})")));
        }
        let state = self.node.state_at(target.number)?;
        let values = |address: Address, keys: Vec<B256>| {
            let values =
                keys.into_iter().map(|key| Ok(B256::from(state.slot(address, key.into())?)));
            values.collect::<Result<Vec<_>, RpcError>>()
        };
        let found = asked.into_iter().map(|(address, keys)| Ok((address, values(address, keys)?)));
        json(found.collect::<Result<BTreeMap<_, _>, RpcError>>()?)
    }

    pub(super) fn transaction_count(&self, mut params: Params) -> Outcome {
        let (address, target, account) = self.account(&mut params)?;
        params.finish()?;
        if !target.pending {
            return json(U64::from(account.nonce));
        }
        // Both under the pool's lock: else a block could appear between the two.
        let pool = self.node.pool.lock();
        let account = self.node.view.read().state.account(address)?.unwrap_or_default();
        json(U64::from(pool.pending_nonce(address, account.nonce)))
    }

    fn account(&self, params: &mut Params) -> Result<(Address, Target, Account), RpcError> {
        let address: Address = params.next("address")?;
        let target = self.target(params.optional::<BlockId>("block")?)?;
        let account = self.node.state_at(target.number)?.account(address)?;
        Ok((address, target, account.unwrap_or_default()))
    }
}
