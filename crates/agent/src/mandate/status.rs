//! What is left of a mandate, as the chain has it.

use alloy::{
    eips::BlockNumberOrTag,
    providers::{DynProvider, Provider},
};
use alloy_primitives::{Address, B256};
use serde::Serialize;
use vouch_contracts::bindings::{DelegationManager, LimitedCallsEnforcer, SpendPerPeriodEnforcer};

use super::{Grant, MandateError, compile::spend_terms, delegation::hash_of};

/// A mandate at the newest block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Of the mandate.
    pub hash: B256,
    /// Whether the owner's account has the code that lets delegations act.
    pub installed: bool,
    /// Whether the owner has ended it.
    pub revoked: bool,
    /// Whether its time is over.
    pub expired: bool,
    /// Transactions left.
    pub calls_left: u64,
    /// Of each cap, in the mandate's order.
    pub caps: Vec<CapStatus>,
    /// The block's time, Unix seconds.
    pub time: u64,
}

/// What is left of one cap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CapStatus {
    /// Of what.
    pub token: Address,
    /// In this period, atomic units.
    #[serde(with = "crate::decimal")]
    pub left: u128,
    /// Of how much.
    #[serde(with = "crate::decimal")]
    pub amount: u128,
    /// When the next period starts, Unix seconds.
    pub renews: u64,
}

/// Reads what is left of `grant`.
///
/// # Errors
/// [`MandateError::Rpc`], or as [`Grant::compiled`].
pub async fn status(provider: &DynProvider, grant: &Grant) -> Result<Status, MandateError> {
    let (mandate, contracts) = (&grant.mandate, &grant.contracts);
    let failed = || MandateError::rpc("a question for what is left of the mandate");
    let compiled = grant.compiled()?;
    let latest = provider.get_block_by_number(BlockNumberOrTag::Latest).await;
    let latest =
        latest.map_err(MandateError::rpc("a question for the newest block"))?.unwrap_or_default();
    let time = latest.header.timestamp;
    let code = provider
        .get_code_at(mandate.owner)
        .await
        .map_err(MandateError::rpc("a question for code"))?;
    let frame = hash_of(&compiled.frame);
    let manager = DelegationManager::new(contracts.manager, provider);
    let calls = LimitedCallsEnforcer::new(contracts.enforcers.limited_calls, provider)
        .callCounts(contracts.manager, frame)
        .call()
        .await
        .map_err(failed())?;
    let enforcer = SpendPerPeriodEnforcer::new(contracts.enforcers.spend_per_period, provider);
    let mut caps = Vec::with_capacity(mandate.caps.len());
    for cap in &mandate.caps {
        let terms = spend_terms(
            mandate.owner,
            cap.token,
            cap.amount,
            cap.period_s,
            mandate.start,
            compiled.hash,
        );
        let left = enforcer
            .available(contracts.manager, mandate.owner, terms.into())
            .call()
            .await
            .map_err(failed())?;
        let next = mandate.period(cap, time).map_or(0, |period| period.saturating_add(1));
        caps.push(CapStatus {
            token: cap.token,
            left: left.saturating_to(),
            amount: cap.amount,
            renews: next.saturating_mul(cap.period_s).saturating_add(mandate.start),
        });
    }
    Ok(Status {
        hash: compiled.hash,
        installed: code == [&[0xef, 0x01, 0x00], contracts.delegator.as_slice()].concat(),
        revoked: manager.disabledDelegations(frame).call().await.map_err(failed())?,
        expired: time >= mandate.expiry,
        calls_left: mandate.calls.saturating_sub(calls.saturating_to()),
        caps,
        time,
    })
}
