//! Sends the provider's transactions, one at a time, and says how each ended.

use alloy::{
    eips::Encodable2718,
    network::{Ethereum, EthereumWallet, NetworkWallet, TransactionBuilder},
    providers::{DynProvider, Provider},
    rpc::types::{TransactionReceipt, TransactionRequest},
};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use tokio::sync::Mutex;
use vouch_wallet::Wallet;

use crate::Error;

/// Headroom over the estimate, in percent: state may change between estimate and block.
const GAS_HEADROOM_PERCENT: u64 = 20;

#[derive(Debug)]
pub(crate) struct Sender {
    provider: DynProvider,
    wallet: EthereumWallet,
    from: Address,
    /// Held from nonce to receipt, so that nonces have no gaps and no twins.
    turn: Mutex<()>,
}

impl Sender {
    pub(crate) fn new(provider: &DynProvider, wallet: &Wallet) -> Result<Self, Error> {
        Ok(Self {
            provider: provider.clone(),
            wallet: EthereumWallet::from(wallet.signer()?),
            from: wallet.address(),
            turn: Mutex::new(()),
        })
    }

    /// Sends a call and waits until it is mined.
    pub(crate) async fn send(
        &self,
        what: &'static str,
        to: Address,
        request: TransactionRequest,
    ) -> Result<TransactionReceipt, Error> {
        let _turn = self.turn.lock().await;
        let (transaction, raw) = self.prepare(what, to, request).await?;
        if let Err(error) = self.provider.send_raw_transaction(&raw).await {
            // A node that answers has refused; a node that does not may have taken it.
            let refused = error.as_error_resp().map(|response| response.message.to_string());
            if let Some(why) = refused {
                return Err(Error::Refused { what, why });
            }
        }
        self.outcome(what, transaction).await
    }

    /// Simulates, fills and signs; nothing has left before this returns.
    async fn prepare(
        &self,
        what: &'static str,
        to: Address,
        request: TransactionRequest,
    ) -> Result<(B256, Bytes), Error> {
        let request = request.with_from(self.from).with_to(to);
        let estimate = self.provider.estimate_gas(request.clone()).await;
        let gas = estimate.map_err(|error| match error.as_error_resp() {
            Some(response) => Error::Refused { what, why: response.to_string() },
            None => Error::Rpc { what: "for an estimate of gas", source: Box::new(error) },
        })?;
        let fees = self.provider.estimate_eip1559_fees().await;
        let fees = fees.map_err(Error::rpc("for the fees"))?;
        let nonce = self.provider.get_transaction_count(self.from).pending().await;
        let chain = self.provider.get_chain_id().await.map_err(Error::rpc("for its id"))?;
        let request = request
            .with_nonce(nonce.map_err(Error::rpc("for the nonce"))?)
            .with_chain_id(chain)
            .with_gas_limit(gas.saturating_add(gas.saturating_mul(GAS_HEADROOM_PERCENT) / 100))
            .with_max_fee_per_gas(fees.max_fee_per_gas)
            .with_max_priority_fee_per_gas(fees.max_priority_fee_per_gas);
        let signed = NetworkWallet::<Ethereum>::sign_request(&self.wallet, request).await;
        let signed = signed.map_err(|error| Error::Refused { what, why: error.to_string() })?;
        let raw = signed.encoded_2718();
        Ok((keccak256(&raw), raw.into()))
    }

    async fn outcome(
        &self,
        what: &'static str,
        transaction: B256,
    ) -> Result<TransactionReceipt, Error> {
        match vouch_contracts::receipt(&self.provider, transaction).await {
            Some(receipt) if receipt.status() => Ok(receipt),
            Some(_) => Err(Error::Reverted { what, transaction }),
            None => Err(Error::Unknown { what, transaction }),
        }
    }
}
