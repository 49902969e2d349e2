//! Signing, sending, and finding out what came of it.

use std::time::Duration;

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    network::TxSignerSync,
    providers::{DynProvider, Provider},
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol_types::SolEvent,
};
use alloy_primitives::{Address, Bytes, TxHash, TxKind};
use vouch_contracts::bindings::Erc20;
use vouch_wallet::Wallet;

use super::{
    Refusal,
    outcome::{Mined, Moved},
    record::Sent,
};

/// How long an act waits for its block.
const WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
const SLOWEST_POLL: Duration = Duration::from_secs(1);
/// Logs of a transaction that are decoded: strangers' contracts may write many.
const MAX_MOVED: usize = 64;

/// A transaction that only needs to be sent.
pub(super) struct Signed {
    pub(super) transaction: TxHash,
    pub(super) raw: Bytes,
    pub(super) nonce: u64,
}

fn failed<E: std::fmt::Display>(error: E) -> Refusal {
    Refusal::Rpc(error.to_string())
}

/// Signs a call of `to` by the agent's key, with the gas that the chain says it needs and a quarter.
pub(super) async fn sign(
    provider: &DynProvider,
    key: &Wallet,
    chain_id: u64,
    to: Address,
    input: Bytes,
) -> Result<Signed, Refusal> {
    let from = key.address();
    let request = TransactionRequest::default().from(from).to(to).input(input.clone().into());
    let gas = provider.estimate_gas(request).await.map_err(failed)?;
    let fees = provider.estimate_eip1559_fees().await.map_err(failed)?;
    let nonce = provider.get_transaction_count(from).pending().await.map_err(failed)?;
    let mut transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: gas.saturating_add(gas / 4),
        max_fee_per_gas: fees.max_fee_per_gas,
        max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
        to: TxKind::Call(to),
        input,
        ..TxEip1559::default()
    };
    let signer = key.signer().map_err(failed)?;
    let signature = signer.sign_transaction_sync(&mut transaction).map_err(failed)?;
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    Ok(Signed { transaction: *envelope.tx_hash(), raw: envelope.encoded_2718().into(), nonce })
}

/// Sends and waits. `None`: what came of it is not known. A node's refusal is no proof that the
/// transaction is nowhere, so it is looked for all the same.
pub(super) async fn send(
    provider: &DynProvider,
    raw: &Bytes,
    transaction: TxHash,
) -> Option<TransactionReceipt> {
    let sent = provider.send_raw_transaction(raw).await;
    let wait = match &sent {
        Ok(_) => WAIT,
        Err(error) => {
            tracing::warn!(%transaction, %error, "the node did not take the transaction");
            POLL
        }
    };
    let end = tokio::time::Instant::now() + wait;
    let mut poll = POLL;
    loop {
        if let Ok(Some(receipt)) = provider.get_transaction_receipt(transaction).await {
            return Some(receipt);
        }
        if tokio::time::Instant::now() >= end {
            return None;
        }
        tokio::time::sleep(poll).await;
        poll = (poll * 2).min(SLOWEST_POLL);
    }
}

/// What became of a transaction that was sent before.
pub(super) enum Found {
    Mined(Box<TransactionReceipt>),
    /// Its nonce is used by another.
    Never,
    Open,
}

/// Looks for a transaction, sending the same bytes once more if it is nowhere.
pub(super) async fn find(provider: &DynProvider, key: &Wallet, sent: &Sent) -> Found {
    // Before the receipt: a nonce that is used by then is used by this one if it has a receipt.
    let nonce = provider.get_transaction_count(key.address()).await;
    match provider.get_transaction_receipt(sent.transaction).await {
        Ok(Some(receipt)) => return Found::Mined(Box::new(receipt)),
        Ok(None) if nonce.is_ok_and(|nonce| nonce > sent.nonce) => return Found::Never,
        _ => {}
    }
    match send(provider, &sent.raw, sent.transaction).await {
        Some(receipt) => Found::Mined(Box::new(receipt)),
        None => Found::Open,
    }
}

impl From<&TransactionReceipt> for Mined {
    fn from(receipt: &TransactionReceipt) -> Self {
        Self {
            transaction: receipt.transaction_hash,
            block: receipt.block_number.unwrap_or_default(),
            block_hash: receipt.block_hash.unwrap_or_default(),
            gas_used: receipt.gas_used,
            gas_price: receipt.effective_gas_price,
        }
    }
}

/// What the tokens' logs say moved from or to `owner`.
pub(super) fn moved(receipt: &TransactionReceipt, owner: Address) -> Vec<Moved> {
    let transfers = receipt.logs().iter().filter_map(|log| {
        let transfer = Erc20::Transfer::decode_log(&log.inner).ok()?;
        let (from, to) = (transfer.from, transfer.to);
        let amount = transfer.value.saturating_to();
        (from == owner || to == owner).then_some(Moved { token: log.address(), from, to, amount })
    });
    transfers.take(MAX_MOVED).collect()
}
