use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};
use vouch_core::{
    channel::{ChannelConfig, SignedVoucher, Voucher},
    signature::Signature,
};

use super::{Extensions, Offer, Resource};
use crate::Error;

/// What a paid request carries in its `PAYMENT-SIGNATURE` header. `I` is what the `vouch`
/// extension carries; a stock client echoes the seller's there, and a session client adds its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload<I> {
    /// [`super::VERSION`].
    #[serde(rename = "x402Version")]
    pub x402_version: u8,
    /// The resource, as the 402 named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    /// The offer that is taken.
    pub accepted: Offer,
    /// The payment itself.
    pub payload: Batch,
    /// Extensions.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Extensions<I>>,
}

/// What a [`Batch`] payload asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchType {
    /// Put money into the channel and pay with it.
    Deposit,
    /// Pay from the channel.
    Voucher,
    /// Close the channel and give back what is left.
    Refund,
}

/// A `batch-settlement` payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// What it asks for.
    pub r#type: BatchType,
    /// The channel.
    pub channel_config: ChannelConfig,
    /// The voucher; in a refund, over what was charged.
    pub voucher: WireVoucher,
    /// In a deposit: the money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposit: Option<Deposit>,
    /// In a refund: a part of what is left; all of it if absent.
    #[serde(default, with = "crate::decimal::optional", skip_serializing_if = "Option::is_none")]
    pub amount: Option<u128>,
}

/// A voucher whose signature is still plain bytes, so that a malformed signature is told apart
/// from malformed JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireVoucher {
    /// The channel.
    pub channel_id: B256,
    /// The most that may be claimed in all, in atomic units.
    #[serde(with = "crate::decimal")]
    pub max_claimable_amount: u128,
    /// `r || s || v`; bounded by the message's own cap.
    pub signature: Bytes,
}

impl WireVoucher {
    /// The voucher with a well-formed signature. Whose it is remains to be checked.
    ///
    /// # Errors
    /// [`vouch_core::Error::Signature`].
    pub fn signed(&self) -> Result<SignedVoucher, vouch_core::Error> {
        let voucher = Voucher {
            channel_id: self.channel_id,
            max_claimable_amount: self.max_claimable_amount,
        };
        Ok(SignedVoucher { voucher, signature: Signature::from_slice(&self.signature)? })
    }
}

impl From<SignedVoucher> for WireVoucher {
    fn from(signed: SignedVoucher) -> Self {
        Self {
            channel_id: signed.voucher.channel_id,
            max_claimable_amount: signed.voucher.max_claimable_amount,
            signature: Bytes::copy_from_slice(&signed.signature.0),
        }
    }
}

/// Money for a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deposit {
    /// How much, in atomic units.
    #[serde(with = "crate::decimal")]
    pub amount: u128,
    /// The payer's leave to move it.
    pub authorization: DepositAuthorization,
}

/// A payer's leave to move money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DepositAuthorization {
    /// By EIP-3009; absent where the client used another way, which is refused.
    #[serde(rename = "erc3009Authorization", default, skip_serializing_if = "Option::is_none")]
    pub erc3009: Option<Authorization3009>,
}

/// EIP-3009 `ReceiveWithAuthorization` to the collector; its nonce is
/// `keccak256(abi.encode(channelId, salt))`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization3009 {
    /// Unix seconds.
    #[serde(with = "crate::decimal")]
    pub valid_after: u128,
    /// Unix seconds.
    #[serde(with = "crate::decimal")]
    pub valid_before: u128,
    /// Makes the nonce.
    pub salt: B256,
    /// By the payer.
    pub signature: Bytes,
}

impl Batch {
    /// Checks what the types alone do not hold: a deposit has its deposit, nothing else has one.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::malformed("the payment's payload", why));
        match (self.r#type, &self.deposit) {
            (BatchType::Deposit, None) => refuse("its type is deposit and it has no deposit"),
            (BatchType::Voucher | BatchType::Refund, Some(_)) => {
                refuse("it has a deposit and its type is not deposit")
            }
            _ => Ok(()),
        }
    }
}
