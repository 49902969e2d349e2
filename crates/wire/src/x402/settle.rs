use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use vouch_core::signature::Signature;

use super::Extensions;

/// What a paid answer says in its `PAYMENT-RESPONSE` header. `I` is what the `vouch` extension
/// carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse<I> {
    /// Whether it was paid.
    pub success: bool,
    /// Why not: one of [`super::code`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Address>,
    /// Hash of the transaction of a deposit or a refund; empty for a voucher.
    pub transaction: String,
    /// CAIP-2 name of the chain.
    pub network: String,
    /// Always empty for a voucher: what was charged is in `extra`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Extensions.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Extensions<I>>,
    /// What the scheme adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<SettleExtra>,
}

/// What `batch-settlement` adds to a settlement.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleExtra {
    /// What this call was charged, in atomic units.
    #[serde(default, with = "crate::decimal::optional", skip_serializing_if = "Option::is_none")]
    pub charged_amount: Option<u128>,
    /// The channel after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_state: Option<ChannelState>,
}

/// A channel as its seller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelState {
    /// The channel.
    pub channel_id: B256,
    /// Deposits less withdrawals and refunds.
    #[serde(with = "crate::decimal")]
    pub balance: u128,
    /// What was claimed.
    #[serde(with = "crate::decimal")]
    pub total_claimed: u128,
    /// Unix seconds of a notice of withdrawal; 0 if there is none.
    pub withdraw_requested_at: u64,
    /// Refunds so far.
    #[serde(with = "crate::decimal")]
    pub refund_nonce: u128,
    /// What was charged in all.
    #[serde(with = "crate::decimal")]
    pub charged_cumulative_amount: u128,
}

/// The best voucher that a seller holds: the payer's own signature proves it to the payer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoucherState {
    /// Its amount.
    #[serde(with = "crate::decimal")]
    pub signed_max_claimable: u128,
    /// Its signature.
    pub signature: Signature,
}
