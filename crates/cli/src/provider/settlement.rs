//! The gateway's view of the chain, over `settle`.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, U256};
use futures_util::{FutureExt, future::BoxFuture};
use vouch_core::{
    channel::{ChannelConfig, OnChain},
    signature::Signature,
};
use vouch_gateway::{Deposited, Settlement, SettlementError};
use vouch_settle::{Deposit, Error, Settler};
use vouch_wire::x402;

/// New work stops when the chain was not seen for this long.
const STALE_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct OnSettler(pub(crate) Arc<Settler>);

impl Settlement for OnSettler {
    fn observe<'a>(
        &'a self,
        channel: &'a ChannelConfig,
    ) -> BoxFuture<'a, Result<OnChain, SettlementError>> {
        let id = channel.id(&self.0.domain());
        async move { self.0.observe(id).await.map_err(outcome) }.boxed()
    }

    fn deposit<'a>(
        &'a self,
        channel: &'a ChannelConfig,
        deposit: &'a x402::Deposit,
    ) -> BoxFuture<'a, Result<Deposited, SettlementError>> {
        async move {
            let deposit = authorized(deposit)?;
            let (transaction, on_chain) =
                self.0.deposit(channel, &deposit).await.map_err(outcome)?;
            Ok(Deposited { transaction, on_chain })
        }
        .boxed()
    }

    fn close(&self, channel: B256) -> BoxFuture<'_, Result<B256, SettlementError>> {
        async move { self.0.close(channel).await.map_err(outcome) }.boxed()
    }

    fn faucet(&self, address: Address) -> BoxFuture<'_, Result<B256, SettlementError>> {
        async move { self.0.faucet(address).await.map_err(outcome) }.boxed()
    }

    fn health(&self) -> Result<(), String> {
        self.0.fresh(STALE_AFTER)
    }
}

/// An EIP-3009 deposit, as `settle` takes it.
fn authorized(deposit: &x402::Deposit) -> Result<Deposit, SettlementError> {
    let missing = || SettlementError::Failed("the deposit has no EIP-3009 authorization".into());
    let authorization = deposit.authorization.erc3009.as_ref().ok_or_else(missing)?;
    let signature = Signature::from_slice(&authorization.signature);
    Ok(Deposit {
        amount: deposit.amount,
        valid_after: U256::from(authorization.valid_after),
        valid_before: U256::from(authorization.valid_before),
        salt: authorization.salt.into(),
        signature: signature.map_err(|error| SettlementError::Failed(error.to_string()))?,
    })
}

/// One of the three outcomes: whatever may have been sent and is not seen yet is unknown. The text
/// goes to strangers, and a node's address may hold a key.
fn outcome(error: Error) -> SettlementError {
    tracing::debug!(%error, "not settled");
    match error {
        Error::Unknown { transaction, .. } => {
            SettlementError::Unknown(format!("it was sent in transaction {transaction}"))
        }
        Error::NotFinal => SettlementError::Unknown(error.to_string()),
        Error::Rpc { what, .. } => {
            SettlementError::Unknown(format!("the chain did not answer {what}"))
        }
        // The outcome is on the chain, but the store could not take it in.
        Error::Store(_) => SettlementError::Unknown("the store could not take it in".into()),
        _ => SettlementError::Failed(error.to_string()),
    }
}
