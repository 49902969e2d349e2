//! Transactions and messages that the chain signs itself, for its development accounts.

use std::collections::BTreeMap;

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{SignableTransaction, TxEnvelope, TypedTransaction};
use alloy::dyn_abi::TypedData;
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::rpc::types::TransactionRequest;
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, Bytes, Signature, TxKind};
use serde_json::{Map, Value, json as value};

use super::error::quote;
use super::fees::PRIORITY_FEE_WEI;
use super::overrides::Overrides;
use super::params::Params;
use super::{Outcome, Rpc, RpcError, json};
use crate::accounts::stand_in;
use crate::execute::SignedTransaction;

/// Of typed data: how deep types may be in one another, how many members one may come to, and how
/// long a name may be.
const MAX_TYPE_DEPTH: usize = 16;
const MAX_TYPE_MEMBERS: usize = 4096;
const MAX_TYPE_CHARS: usize = 128;

impl Rpc {
    pub(super) fn send_transaction(&self, mut params: Params) -> Outcome {
        let request: TransactionRequest = params.next("transaction")?;
        params.finish()?;
        // The next one of the same account must find this one's nonce taken.
        let _sending = self.node.accounts.sending.lock();
        let transaction = self.sign(request, true)?;
        json(self.node.submit_sent(transaction)?)
    }

    /// Signs and does not send.
    pub(super) fn sign_transaction(&self, mut params: Params) -> Outcome {
        let request: TransactionRequest = params.next("transaction")?;
        params.finish()?;
        let transaction = self.sign(request, false)?;
        Ok(value!({ "raw": Bytes::from(transaction.encoded_2718()), "tx": *transaction }))
    }

    /// `eth_sign`: the address first, then the message.
    pub(super) fn sign_message(&self, mut params: Params) -> Outcome {
        let address = params.next("address")?;
        let message: Bytes = params.next("message")?;
        params.finish()?;
        self.signature(address, |signer| signer.sign_message_sync(&message))
    }

    /// `personal_sign`: the message first; a password is not looked at.
    pub(super) fn personal_sign(&self, mut params: Params) -> Outcome {
        let message: Bytes = params.next("message")?;
        let address = params.next("address")?;
        let _password: Option<Value> = params.optional("password")?;
        params.finish()?;
        self.signature(address, |signer| signer.sign_message_sync(&message))
    }

    /// EIP-712.
    pub(super) fn sign_typed_data(&self, mut params: Params) -> Outcome {
        let address: Address = params.next("address")?;
        let given: Value = params.next("typed data")?;
        params.finish()?;
        // Before anything is computed for whoever asks.
        self.node.accounts.signer(address).ok_or_else(|| unknown(address))?;
        let malformed = |reason: String| {
            RpcError::params(format!("invalid argument 1 (typed data): {}", quote(&reason)))
        };
        // Some wallets send it as text.
        let given = match &given {
            Value::String(text) => {
                serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?
            }
            _ => given,
        };
        check_types(&given).map_err(|reason| malformed(reason.to_owned()))?;
        let data = serde_json::from_value::<TypedData>(given);
        let data = data.map_err(|e| malformed(e.to_string()))?;
        let hash = data.eip712_signing_hash().map_err(|e| malformed(e.to_string()))?;
        self.signature(address, |signer| signer.sign_hash_sync(&hash))
    }

    fn signature(
        &self,
        address: Address,
        sign: impl FnOnce(&PrivateKeySigner) -> alloy::signers::Result<Signature>,
    ) -> Outcome {
        let signer = self.node.accounts.signer(address).ok_or_else(|| unknown(address))?;
        let signature = sign(signer).map_err(|e| RpcError::internal(e.to_string()))?;
        json(Bytes::from(signature.as_bytes()))
    }

    /// Fills in what the request leaves out, and signs.
    fn sign(
        &self,
        mut request: TransactionRequest,
        may_stand_in: bool,
    ) -> Result<SignedTransaction, RpcError> {
        let accounts = &self.node.accounts;
        let from = request.from.or_else(|| accounts.first());
        let from = from.ok_or_else(|| RpcError::params("the transaction names no 'from'"))?;
        let signer = accounts.signer(from);
        if signer.is_none() && !(may_stand_in && accounts.is_impersonated(from)) {
            return Err(unknown(from));
        }
        request.from = Some(from);
        self.fill(&mut request, from)?;
        let incomplete =
            |_| RpcError::params("the transaction is incomplete or contradicts itself");
        let unsigned: TypedTransaction = request.build_consensus_tx().map_err(incomplete)?;
        let signature = match signer {
            Some(signer) => signer.sign_hash_sync(&unsigned.signature_hash()),
            None => Ok(stand_in(from)),
        };
        let signature = signature.map_err(|e| RpcError::internal(e.to_string()))?;
        Ok(Recovered::new_unchecked(TxEnvelope::from(unsigned.into_envelope(signature)), from))
    }

    fn fill(&self, request: &mut TransactionRequest, from: Address) -> Result<(), RpcError> {
        if request.to.is_none() {
            request.to = Some(TxKind::Create);
        }
        // Both names mean the same; the newer one is built from.
        request.input.normalize_input();
        request.chain_id.get_or_insert(self.node.genesis.chain_id());
        if request.nonce.is_none() {
            self.node.prefetch(from)?;
            let pool = self.node.pool.lock();
            let account = self.node.view.read().state.account(from)?.unwrap_or_default();
            request.nonce = Some(pool.pending_nonce(from, account.nonce));
        }
        if request.gas_price.is_none() {
            let base_fee = u128::from(self.node.view.read().next_base_fee());
            let tip = *request.max_priority_fee_per_gas.get_or_insert(PRIORITY_FEE_WEI.into());
            request.max_fee_per_gas.get_or_insert((2 * base_fee).saturating_add(tip));
        }
        if request.gas.is_none() {
            let target = self.target(Some(BlockId::Number(BlockNumberOrTag::Pending)))?;
            let context = self.context(target, Overrides::default(), &Default::default())?;
            request.gas = Some(context.estimate(request)?);
        }
        Ok(())
    }
}

/// A type is resolved by writing out all that it is made of, which a few types can make more than
/// any memory holds.
///
/// # Errors
/// Why these are too many.
fn check_types(data: &Value) -> Result<(), &'static str> {
    let types = data.get("types").and_then(Value::as_object).ok_or("it has no types")?;
    let mut sizes = BTreeMap::new();
    types.keys().try_for_each(|name| size(types, name, 0, &mut sizes).map(drop))
}

/// How many members a type has, those of its members too.
fn size<'a>(
    types: &'a Map<String, Value>,
    name: &'a str,
    depth: usize,
    sizes: &mut BTreeMap<&'a str, usize>,
) -> Result<usize, &'static str> {
    if let Some(size) = sizes.get(name) {
        return Ok(*size);
    }
    let members = types.get(name).and_then(Value::as_array);
    let Some(members) = members else { return Ok(0) };
    if depth > MAX_TYPE_DEPTH {
        return Err("its types are nested too deeply");
    }
    let mut total = members.len();
    for member in members {
        let of = member.get("type").and_then(Value::as_str).unwrap_or_default();
        if of.len() > MAX_TYPE_CHARS {
            return Err("the name of a type is too long");
        }
        let element = of.split('[').next().unwrap_or_default();
        total += size(types, element, depth + 1, sizes)?;
        if total > MAX_TYPE_MEMBERS {
            return Err("its types have too many members");
        }
    }
    sizes.insert(name, total);
    Ok(total)
}

fn unknown(address: Address) -> RpcError {
    RpcError::server(format!(
        "unknown account {address}: the chain signs for eth_accounts, and sends for whom \
         anvil_impersonateAccount names"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(types: impl IntoIterator<Item = (String, Vec<String>)>) -> Value {
        let member = |of: &String| value!({ "name": "m", "type": of });
        let members = |of: Vec<String>| of.iter().map(member).collect::<Vec<_>>();
        let types: Map<_, _> =
            types.into_iter().map(|(name, of)| (name, members(of).into())).collect();
        value!({ "types": types })
    }

    #[test]
    fn types_that_write_out_to_too_much_are_refused() {
        let doubled = |n: usize| (format!("T{n}"), vec![format!("T{}[2]", n + 1); 2]);
        assert_eq!(check_types(&typed((0..10).map(doubled))), Ok(()));
        assert!(check_types(&typed((0..14).map(doubled))).is_err());
        let chain = |n: usize| (format!("T{n:05}"), vec![format!("T{:05}", n + 1)]);
        assert!(check_types(&typed((0..100_000).map(chain))).is_err());
        let circle = [("A".to_owned(), vec!["A".to_owned()])];
        assert!(check_types(&typed(circle)).is_err());
        let long = [("A".to_owned(), vec![format!("uint8{}", "[]".repeat(100))])];
        assert!(check_types(&typed(long)).is_err());
        assert!(check_types(&value!({})).is_err());
    }
}
