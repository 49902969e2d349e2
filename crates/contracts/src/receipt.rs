//! One way to wait for a transaction that was sent.

use std::time::Duration;

use alloy::{
    network::Ethereum,
    primitives::TxHash,
    providers::{PendingTransactionBuilder, Provider},
    rpc::types::TransactionReceipt,
};

use crate::Error;

/// How long a transaction is waited for before its outcome is called unknown.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// The receipt of a transaction that was sent, once it is mined; whether it succeeded is in it.
/// `None` after two minutes: it may yet be mined, so what it does must not be sent again.
pub async fn receipt(provider: &impl Provider, transaction: TxHash) -> Option<TransactionReceipt> {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            // A node that does not answer now may answer at the next look.
            if let Ok(Some(receipt)) = provider.get_transaction_receipt(transaction).await {
                return receipt;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    found.await.ok()
}

/// The receipt of a deployment's transaction, which succeeded.
pub(crate) async fn deployed(
    contract: &'static str,
    sent: PendingTransactionBuilder<Ethereum>,
) -> Result<TransactionReceipt, Error> {
    let transaction = *sent.tx_hash();
    match receipt(sent.provider(), transaction).await {
        Some(receipt) if receipt.status() => Ok(receipt),
        Some(_) => Err(Error::Reverted { contract, transaction }),
        None => Err(Error::Unknown { contract, transaction }),
    }
}
