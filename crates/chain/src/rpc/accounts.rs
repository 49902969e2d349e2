//! Transactions and messages that the chain signs itself, for its development accounts.

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{SignableTransaction, TxEnvelope, TypedTransaction};
use alloy::dyn_abi::TypedData;
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::rpc::types::TransactionRequest;
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, Bytes, Signature, TxKind};
use serde_json::{Value, json as value};

use super::error::quote;
use super::fees::PRIORITY_FEE_WEI;
use super::overrides::Overrides;
use super::params::Params;
use super::{Outcome, Rpc, RpcError, json};
use crate::accounts::stand_in;
use crate::execute::SignedTransaction;

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
        let address = params.next("address")?;
        let given: Value = params.next("typed data")?;
        params.finish()?;
        // Some wallets send it as text.
        let parsed = match &given {
            Value::String(text) => serde_json::from_str::<TypedData>(text),
            _ => serde_json::from_value(given),
        };
        let malformed = |reason: String| {
            RpcError::params(format!("invalid argument 1 (typed data): {}", quote(&reason)))
        };
        let data = parsed.map_err(|e| malformed(e.to_string()))?;
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
            let pool = self.node.pool.lock();
            let account = self.node.view.read().state.account(from).unwrap_or_default();
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

fn unknown(address: Address) -> RpcError {
    RpcError::server(format!(
        "unknown account {address}: the chain signs for eth_accounts, and sends for whom \
         anvil_impersonateAccount names"
    ))
}
