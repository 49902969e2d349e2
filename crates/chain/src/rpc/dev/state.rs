//! State and pool by hand.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use alloy::rpc::types::state::{AccountOverride, StateOverride};
use alloy_primitives::map::B256Map;
use alloy_primitives::{Address, B256, Bytes, U256};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as value};

use crate::edit::Edit;
use crate::rpc::params::{Number, Params};
use crate::rpc::state::StorageKey;
use crate::rpc::{Outcome, Rpc, RpcError, json};
use crate::state::StateError;

/// The largest dump that is written or read, before compression.
const MAX_DUMP_BYTES: u64 = 64 << 20;

/// A state in the form of `anvil_dumpState`; what else it has there is not read.
#[derive(Debug, Serialize, Deserialize)]
struct Dump {
    accounts: BTreeMap<Address, DumpedAccount>,
    #[serde(default, skip_deserializing)]
    best_block_number: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct DumpedAccount {
    /// A number as anvil writes it, or a string as others do.
    #[serde(deserialize_with = "alloy::serde::quantity::deserialize")]
    nonce: u64,
    balance: U256,
    code: Bytes,
    #[serde(default)]
    storage: B256Map<B256>,
}

impl Rpc {
    fn edit_account(&self, address: Address, account: AccountOverride) -> Outcome {
        self.edit(Edit::Accounts(StateOverride::from_iter([(address, account)])))
    }

    pub(super) fn set_balance(&self, mut params: Params) -> Outcome {
        let address = params.next("address")?;
        let balance: U256 = params.next("balance")?;
        params.finish()?;
        self.edit_account(address, AccountOverride::default().with_balance(balance))
    }

    pub(super) fn add_balance(&self, mut params: Params) -> Outcome {
        let address = params.next("address")?;
        let more: U256 = params.next("balance")?;
        params.finish()?;
        self.node.prefetch(address)?;
        let account = self.node.view.read().state.account(address)?.unwrap_or_default();
        let balance = account.balance.saturating_add(more);
        self.edit_account(address, AccountOverride::default().with_balance(balance))
    }

    pub(super) fn set_nonce(&self, mut params: Params) -> Outcome {
        let address = params.next("address")?;
        let Number(nonce) = params.next("nonce")?;
        params.finish()?;
        self.edit_account(address, AccountOverride::default().with_nonce(nonce))
    }

    pub(super) fn set_code(&self, mut params: Params) -> Outcome {
        let address = params.next("address")?;
        let code: Bytes = params.next("code")?;
        params.finish()?;
        self.edit_account(address, AccountOverride::default().with_code(code))
    }

    pub(super) fn set_storage_at(&self, mut params: Params) -> Outcome {
        let address = params.next("address")?;
        let key: StorageKey = params.next("slot")?;
        let slot: U256 = params.next("value")?;
        params.finish()?;
        let slots = B256Map::from_iter([(key.word(), B256::from(slot))]);
        self.edit_account(address, AccountOverride::default().with_state_diff(slots))?;
        Ok(value!(true))
    }

    /// All accounts as they are now, as JSON, compressed.
    pub(super) fn dump_state(&self, mut params: Params) -> Outcome {
        // Of anvil: whether old states are to be in it too, which here they never are.
        let _with_history: Option<bool> = params.optional("with history")?;
        params.finish()?;
        let dump = self.dump()?;
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let failed = |error: std::io::Error| RpcError::internal(error.to_string());
        packed
            .write_all(&serde_json::to_vec(&dump).map_err(|e| failed(e.into()))?)
            .map_err(failed)?;
        json(Bytes::from(packed.finish().map_err(failed)?))
    }

    fn dump(&self) -> Result<Dump, RpcError> {
        let view = self.node.view.read();
        let (mut accounts, mut bytes) = (BTreeMap::new(), 0);
        for (address, account) in view.state.accounts() {
            let code = view.state.code(account.code_hash)?.original_bytes();
            let keys = view.state.keys(address);
            // As text each byte takes two, and names and marks some more.
            bytes += 200 + 2 * code.len() as u64 + 140 * keys.len() as u64;
            if bytes > MAX_DUMP_BYTES {
                let message = format!("the state has more than {MAX_DUMP_BYTES} bytes");
                return Err(RpcError::limit(message));
            }
            let storage = keys.into_iter();
            let storage =
                storage.map(|key| Ok((key.into(), view.state.slot(address, key)?.into())));
            let dumped = DumpedAccount {
                nonce: account.nonce,
                balance: account.balance,
                code,
                storage: storage.collect::<Result<_, StateError>>()?,
            };
            accounts.insert(address, dumped);
        }
        Ok(Dump { accounts, best_block_number: Some(view.state.number()) })
    }

    /// Sets all accounts of a dump; others stay as they are.
    pub(super) fn load_state(&self, mut params: Params) -> Outcome {
        let packed: Bytes = params.next("state")?;
        params.finish()?;
        let malformed = |why: &dyn std::fmt::Display| {
            RpcError::params(format!("invalid argument 0 (state): it is no dump of a state: {why}"))
        };
        let mut dump = Vec::new();
        match packed.first() {
            // Not compressed.
            Some(b'{') => dump.extend_from_slice(&packed),
            _ => {
                let mut unpacked = GzDecoder::new(packed.as_ref()).take(MAX_DUMP_BYTES + 1);
                unpacked.read_to_end(&mut dump).map_err(|e| malformed(&e))?;
            }
        }
        if dump.len() as u64 > MAX_DUMP_BYTES {
            return Err(malformed(&"it is too large"));
        }
        let dump: Dump = serde_json::from_slice(&dump).map_err(|e| malformed(&e))?;
        let accounts = dump.accounts.into_iter().map(|(address, dumped)| {
            let account = AccountOverride::default()
                .with_nonce(dumped.nonce)
                .with_balance(dumped.balance)
                .with_code(dumped.code);
            // A fork's dump has what differs.
            let account = match self.node.fork {
                Some(_) => account.with_state_diff(dumped.storage),
                None => account.with_state(dumped.storage),
            };
            (address, account)
        });
        self.edit(Edit::Accounts(accounts.collect()))?;
        Ok(value!(true))
    }

    pub(super) fn impersonate(&self, mut params: Params) -> Outcome {
        let address = params.next("address")?;
        params.finish()?;
        match self.node.accounts.impersonate(address) {
            true => Ok(Value::Null),
            false => Err(RpcError::limit("too many accounts are impersonated: stop some")),
        }
    }

    pub(super) fn stop_impersonating(&self, mut params: Params) -> Outcome {
        let address = params.next("address")?;
        params.finish()?;
        self.node.accounts.stop_impersonating(address);
        Ok(Value::Null)
    }

    pub(super) fn impersonate_all(&self, mut params: Params) -> Outcome {
        let all = params.next("whether")?;
        params.finish()?;
        self.node.accounts.impersonate_all(all);
        Ok(Value::Null)
    }

    /// Its hash, if it was there and is not in a block being made.
    pub(super) fn drop_transaction(&self, mut params: Params) -> Outcome {
        let hash = params.hash("hash")?;
        params.finish()?;
        json(self.forget(|forgotten, _| forgotten == hash).pop())
    }

    pub(super) fn drop_all_transactions(&self, params: Params) -> Outcome {
        params.finish()?;
        self.forget(|_, _| true);
        Ok(Value::Null)
    }

    pub(super) fn drop_transactions_of(&self, mut params: Params) -> Outcome {
        let address: Address = params.next("address")?;
        params.finish()?;
        self.forget(|_, sender| sender == address);
        Ok(Value::Null)
    }

    /// Takes transactions out of the pool, and tells who waits for them.
    fn forget(&self, is_meant: impl Fn(B256, Address) -> bool) -> Vec<B256> {
        let forgotten = self.node.pool.lock().forget(is_meant);
        if !forgotten.is_empty() {
            self.node.head.send_modify(|_| {});
        }
        forgotten
    }
}
