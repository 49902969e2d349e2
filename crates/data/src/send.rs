//! Sends one call and says how it ended.

use alloy::{
    contract::{CallBuilder, CallDecoder},
    providers::Provider,
    rpc::types::TransactionReceipt,
    transports::TransportError,
};
use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolInterface;
use vouch_contracts::bindings::{
    ConsentRegistry::ConsentRegistryErrors, ContributionRoot::ContributionRootErrors,
    LineageRegistry::LineageRegistryErrors, RoyaltyVault::RoyaltyVaultErrors,
};

use crate::{Error, Result};

/// Simulates, sends, and waits until the transaction is mined. An outcome that is not known is said
/// to be so, and nothing is repeated.
pub(crate) async fn sent<P: Provider, D: CallDecoder>(
    what: &'static str,
    from: Address,
    call: CallBuilder<P, D>,
) -> Result<TransactionReceipt> {
    let call = call.from(from);
    call.call_raw().await.map_err(|error| match error {
        alloy::contract::Error::TransportError(TransportError::ErrorResp(response)) => {
            let reason = response.as_revert_data().and_then(|data| reason(&data));
            let why = reason.unwrap_or_else(|| response.message.to_string());
            Error::Refused { what, why }
        }
        error => Error::Rpc { what: "for a simulation", source: Box::new(error) },
    })?;
    let pending = call.send().await.map_err(|error| match error {
        alloy::contract::Error::TransportError(TransportError::ErrorResp(response)) => {
            Error::Refused { what, why: response.message.to_string() }
        }
        error => {
            let what = "to a transaction, which may or may not have been sent";
            Error::Rpc { what, source: Box::new(error) }
        }
    })?;
    let transaction = *pending.tx_hash();
    match vouch_contracts::receipt(&call.provider, transaction).await {
        Some(receipt) if receipt.status() => Ok(receipt),
        Some(_) => Err(Error::Reverted { what, transaction }),
        None => Err(Error::Unknown { what, transaction }),
    }
}

/// The contract's error by name.
fn reason(data: &Bytes) -> Option<String> {
    let consent = ConsentRegistryErrors::abi_decode(data).map(|error| format!("{error:?}"));
    let lineage = LineageRegistryErrors::abi_decode(data).map(|error| format!("{error:?}"));
    let payout = ContributionRootErrors::abi_decode(data).map(|error| format!("{error:?}"));
    let vault = RoyaltyVaultErrors::abi_decode(data).map(|error| format!("{error:?}"));
    consent.or(lineage).or(payout).or(vault).ok()
}
