//! An executor with a plain key: for tests, and for accounts that hold no more than they may lose.
//!
//! It enforces nothing but the order. An agent that acts for its owner goes through the signer, which
//! holds it to a mandate.

use std::{collections::BTreeMap, time::Duration};

use alloy::{
    eips::{BlockId, Encodable2718},
    network::{Ethereum, EthereumWallet, NetworkWallet, TransactionBuilder},
    providers::{DynProvider, Provider},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol_types::{SolCall, SolEvent},
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use futures_util::future::{BoxFuture, FutureExt};
use vouch_contracts::bindings::Erc20;
use vouch_wallet::Wallet;

use super::{Call, Executor, Fill, Note, Order, Outcome, Result, Sent, calls};
use crate::{market::Error, portfolio::Venues};

/// How long a transaction is waited for before its outcome is called unknown.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Headroom over the estimate, in percent.
const GAS_HEADROOM_PERCENT: u64 = 20;
/// Most of a node's message that is kept.
const MAX_REASON: usize = 200;

/// Signs with one key, for that key's own account.
#[derive(Debug)]
pub struct Direct {
    provider: DynProvider,
    wallet: EthereumWallet,
    account: Address,
    venues: Venues,
}

impl Direct {
    /// Sends over `provider`, which need not sign.
    ///
    /// # Errors
    /// Those of the wallet.
    pub fn new(
        provider: DynProvider,
        wallet: &Wallet,
        venues: Venues,
    ) -> std::result::Result<Self, vouch_wallet::Error> {
        let account = wallet.address();
        Ok(Self { provider, wallet: EthereumWallet::from(wallet.signer()?), account, venues })
    }

    async fn carry_out(&self, order: &Order, note: Note<'_>) -> Result<Outcome> {
        let call = match calls(order, &self.venues, self.account) {
            Ok(call) => call,
            Err(why) => return Ok(failed(why)),
        };
        for (token, amount) in &call.takes {
            if let Some(outcome) = self.allow(*token, call.to, *amount).await? {
                return Ok(outcome);
            }
        }
        let (sent, raw) = match self.prepare(order.id, &call).await {
            Ok(prepared) => prepared,
            Err(why) => return Ok(failed(why)),
        };
        note(sent)?;
        let Some((transaction, _)) = sent.transaction else { return Ok(Outcome::Unknown) };
        if let Err(error) = self.provider.send_raw_transaction(&raw).await
            && let Some(refusal) = error.as_error_resp()
        {
            // A node that answers has refused; a node that does not may have taken it.
            return Ok(failed(format!("the node refused it: {}", refusal.message)));
        }
        Ok(self.wait(transaction).await)
    }

    /// Lets `spender` take exactly `amount`; says what failed.
    async fn allow(
        &self,
        token: Address,
        spender: Address,
        amount: U256,
    ) -> Result<Option<Outcome>> {
        let contract = Erc20::new(token, &self.provider);
        let allowed = contract.allowance(self.account, spender).call().await;
        if allowed.map_err(Error::rpc("for an allowance"))? >= amount {
            return Ok(None);
        }
        let data = Erc20::approveCall { spender, value: amount }.abi_encode().into();
        let call = Call { to: token, data, takes: Vec::new() };
        let (sent, raw) = match self.prepare(0, &call).await {
            Ok(prepared) => prepared,
            Err(why) => return Ok(Some(failed(why))),
        };
        let pending = self.provider.send_raw_transaction(&raw).await;
        pending.map(|_pending| ()).map_err(Error::rpc("an approval"))?;
        let Some((transaction, _)) = sent.transaction else { return Ok(None) };
        Ok(match self.wait(transaction).await {
            Outcome::Settled(_) => None,
            // The order itself was not sent: it has failed, whatever becomes of the approval.
            _ => Some(failed("the approval for it was not mined in time".to_owned())),
        })
    }

    /// Simulates, fills and signs; nothing has left before this returns.
    async fn prepare(&self, order: u64, call: &Call) -> std::result::Result<(Sent, Bytes), String> {
        let request = TransactionRequest::default()
            .with_from(self.account)
            .with_to(call.to)
            .with_input(call.data.clone());
        let gas = self.provider.estimate_gas(request.clone()).await;
        let gas = gas.map_err(|error| format!("its simulation failed: {}", said(&error)))?;
        let fees = self.provider.estimate_eip1559_fees().await;
        let fees = fees.map_err(|error| format!("no fees: {}", said(&error)))?;
        let nonce = self.provider.get_transaction_count(self.account).pending().await;
        let nonce = nonce.map_err(|error| format!("no nonce: {}", said(&error)))?;
        let chain = self.provider.get_chain_id().await;
        let request = request
            .with_nonce(nonce)
            .with_chain_id(chain.map_err(|error| format!("no chain id: {}", said(&error)))?)
            .with_gas_limit(gas.saturating_add(gas.saturating_mul(GAS_HEADROOM_PERCENT) / 100))
            .with_max_fee_per_gas(fees.max_fee_per_gas)
            .with_max_priority_fee_per_gas(fees.max_priority_fee_per_gas);
        let signed = NetworkWallet::<Ethereum>::sign_request(&self.wallet, request).await;
        let raw = signed.map_err(|error| format!("it cannot be signed: {error}"))?.encoded_2718();
        Ok((Sent { order, transaction: Some((keccak256(&raw), nonce)) }, raw.into()))
    }

    async fn wait(&self, transaction: B256) -> Outcome {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                // A node that does not answer now may answer at the next look.
                if let Ok(Some(receipt)) = self.provider.get_transaction_receipt(transaction).await
                {
                    return receipt;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        found.await.map_or(Outcome::Unknown, |receipt| outcome(&receipt, self.account))
    }

    /// What a chain says of a transaction that this or an earlier process may have sent.
    async fn look(&self, order: &Order, sent: Option<Sent>) -> Result<Outcome> {
        let Some((transaction, nonce)) = sent.and_then(|sent| sent.transaction) else {
            return Ok(failed("it was never sent".to_owned()));
        };
        let what = "for a transaction's receipt";
        let receipt = self.provider.get_transaction_receipt(transaction).await;
        if let Some(receipt) = receipt.map_err(Error::rpc(what))? {
            return Ok(outcome(&receipt, self.account));
        }
        let used = self.provider.get_transaction_count(self.account).latest().await;
        if used.map_err(Error::rpc("for the nonce"))? > nonce {
            // Between the two questions it may have been mined.
            let receipt = self.provider.get_transaction_receipt(transaction).await;
            let receipt = receipt.map_err(Error::rpc(what))?;
            let other = "another transaction took its nonce";
            return Ok(
                receipt.map_or_else(|| failed(other.to_owned()), |at| outcome(&at, self.account))
            );
        }
        let block = self.provider.get_block(BlockId::latest()).await;
        let block = block.map_err(Error::rpc("for its newest block"))?;
        let expired = block.is_some_and(|block| block.header.timestamp > order.deadline);
        Ok(match expired {
            // The contracts refuse it from here on: it can cost gas, but not happen.
            true => failed("it was not mined before its deadline".to_owned()),
            false => Outcome::Unknown,
        })
    }
}

impl Executor for Direct {
    fn execute<'a>(&'a self, order: &'a Order, note: Note<'a>) -> BoxFuture<'a, Result<Outcome>> {
        self.carry_out(order, note).boxed()
    }

    fn reconcile<'a>(
        &'a self,
        order: &'a Order,
        sent: Option<Sent>,
    ) -> BoxFuture<'a, Result<Outcome>> {
        self.look(order, sent).boxed()
    }
}

/// What a node said, printable and bounded: it may quote a stranger's contract.
fn said(error: &dyn std::fmt::Display) -> String {
    printable(&error.to_string())
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect()
}

pub(super) fn failed(reason: String) -> Outcome {
    Outcome::Failed { reason: printable(&reason), transaction: None, gas_cost: 0 }
}

/// What a mined transaction did to the account.
pub(super) fn outcome(receipt: &TransactionReceipt, account: Address) -> Outcome {
    let gas_cost = u128::from(receipt.gas_used).saturating_mul(receipt.effective_gas_price);
    let transaction = receipt.transaction_hash;
    if !receipt.status() {
        return Outcome::Failed {
            reason: "the transaction reverted: the pool had moved, or the deadline had passed"
                .into(),
            transaction: Some(transaction),
            gas_cost,
        };
    }
    let mut fill = Fill {
        transaction,
        block: receipt.block_number.unwrap_or_default(),
        gas_cost,
        ..Fill::default()
    };
    let (mut spent, mut received) = (BTreeMap::new(), BTreeMap::new());
    for log in receipt.logs() {
        let Ok(transfer) = Erc20::Transfer::decode_log(&log.inner) else { continue };
        for (side, at) in [(&mut spent, transfer.from), (&mut received, transfer.to)] {
            if at == account {
                let amount: &mut U256 = side.entry(log.address()).or_default();
                *amount = amount.saturating_add(transfer.value);
            }
        }
    }
    fill.spent = spent.into_iter().collect();
    fill.received = received.into_iter().collect();
    Outcome::Settled(fill)
}
