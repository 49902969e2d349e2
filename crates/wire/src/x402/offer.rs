use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use super::{ChannelState, VoucherState};

/// The version of x402 that is spoken.
pub const VERSION: u8 = 2;
/// The only scheme that is offered.
pub const SCHEME: &str = "batch-settlement";

/// What a 402 says, in its `PAYMENT-REQUIRED` header. `I` is what the `vouch` extension carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired<I> {
    /// [`VERSION`].
    #[serde(rename = "x402Version")]
    pub x402_version: u8,
    /// Why a payment was refused: one of [`super::code`], or a code of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is sold.
    pub resource: Resource,
    /// Ways to pay, in the seller's order.
    pub accepts: Vec<Offer>,
    /// Extensions.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Extensions<I>>,
}

/// The resource that a payment is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Its address.
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it answers with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

/// Extensions of x402 that are read here; others are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extensions<I> {
    /// Ours.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub vouch: Option<Info<I>>,
}

/// x402's envelope of an extension's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info<I> {
    /// The data.
    pub info: I,
}

impl<I> Extensions<I> {
    /// The `vouch` extension with this data.
    #[must_use]
    pub fn vouch(info: I) -> Self {
        Self { vouch: Some(Info { info }) }
    }
}

/// One way to pay (x402 `PaymentRequirements`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    /// [`SCHEME`].
    pub scheme: String,
    /// CAIP-2 name of the chain, `eip155:N`.
    pub network: String,
    /// The most that this call can cost, in atomic units.
    #[serde(with = "crate::decimal")]
    pub amount: u128,
    /// The token that pays.
    pub asset: Address,
    /// Who is paid.
    pub pay_to: Address,
    /// For how long a payment may take.
    pub max_timeout_seconds: u64,
    /// What the scheme adds.
    pub extra: Extra,
}

/// What `batch-settlement` adds to an offer. A client's copy may have more; it is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extra {
    /// EIP-712 domain name of the asset.
    pub name: String,
    /// EIP-712 domain version of the asset.
    pub version: String,
    /// Who signs refunds and batched claims for the receiver.
    pub receiver_authorizer: Address,
    /// Seconds between a payer's notice and its withdrawal.
    pub withdraw_delay: u64,
    /// How a deposit is moved: `eip3009`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_transfer_method: Option<String>,
    /// What clients should deposit at least, so that not every call needs a transaction.
    #[serde(default, with = "crate::decimal::optional", skip_serializing_if = "Option::is_none")]
    pub min_deposit: Option<u128>,
    /// In a refusal: the channel as the seller sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_state: Option<ChannelState>,
    /// In a refusal: the best voucher that the seller holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher_state: Option<VoucherState>,
}

impl Offer {
    /// Whether `accepted`, a client's copy, is this offer: all equal, and in `extra` everything
    /// that was offered. State that a refusal had added may be there or not.
    #[must_use]
    pub fn matches(&self, accepted: &Self) -> bool {
        self.amount == accepted.amount
            && self.max_timeout_seconds == accepted.max_timeout_seconds
            && self.same_parties(accepted)
    }

    /// [`Self::matches`] without the amount: in session mode the payer's signed maximum holds.
    #[must_use]
    pub fn same_parties(&self, accepted: &Self) -> bool {
        let (ours, theirs) = (&self.extra, &accepted.extra);
        self.scheme == accepted.scheme
            && self.network == accepted.network
            && self.asset == accepted.asset
            && self.pay_to == accepted.pay_to
            && ours.name == theirs.name
            && ours.version == theirs.version
            && ours.receiver_authorizer == theirs.receiver_authorizer
            && ours.withdraw_delay == theirs.withdraw_delay
            && ours.asset_transfer_method == theirs.asset_transfer_method
    }
}
