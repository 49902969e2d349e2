//! From what `vouch-core` says to what the contracts take.

use alloy::primitives::{B256, Bytes, U256, Uint, keccak256};
use alloy::sol_types::SolValue;
use vouch_core::{channel, promise::SignedPromise, receipt::Receipt, signature::Signature};

use crate::bindings::{
    BatchSettlement::{ChannelConfig, Voucher, VoucherClaim},
    Faults,
};

impl From<&channel::ChannelConfig> for ChannelConfig {
    /// A delay beyond 40 bits saturates, as in the channel's id; the contract refuses it at deposit.
    fn from(config: &channel::ChannelConfig) -> Self {
        Self {
            payer: config.payer,
            payerAuthorizer: config.payer_authorizer,
            receiver: config.receiver,
            receiverAuthorizer: config.receiver_authorizer,
            token: config.token,
            withdrawDelay: Uint::saturating_from(config.withdraw_delay),
            salt: config.salt,
        }
    }
}

impl From<&ChannelConfig> for channel::ChannelConfig {
    fn from(config: &ChannelConfig) -> Self {
        Self {
            payer: config.payer,
            payer_authorizer: config.payerAuthorizer,
            receiver: config.receiver,
            receiver_authorizer: config.receiverAuthorizer,
            token: config.token,
            withdraw_delay: config.withdrawDelay.to(),
            salt: config.salt,
        }
    }
}

/// A row for `claim`: take `total` (cumulative, atomic units) under the payer's best voucher.
#[must_use]
pub fn voucher_claim(
    config: &channel::ChannelConfig,
    voucher: &channel::SignedVoucher,
    total: u128,
) -> VoucherClaim {
    VoucherClaim {
        voucher: Voucher {
            channel: config.into(),
            maxClaimableAmount: voucher.voucher.max_claimable_amount,
        },
        signature: Bytes::copy_from_slice(&voucher.signature.0),
        totalClaimed: total,
    }
}

/// A promised receipt as `Faults` takes it.
#[must_use]
pub fn fault_evidence(receipt: &Receipt, signed: &SignedPromise) -> Faults::Evidence {
    let promise = &signed.promise;
    Faults::Evidence {
        receipt: receipt.encode().into(),
        promised: Faults::Promise {
            root: promise.root,
            first: promise.first,
            count: promise.count,
            notBefore: promise.not_before,
            mergeBy: promise.merge_by,
        },
        signature: Bytes::copy_from_slice(&signed.signature.0),
        index: signed.index,
        path: signed.path.clone(),
    }
}

/// The nonce of the ERC-3009 authorization that funds `channel`: a signature made for one channel
/// funds no other.
#[must_use]
pub fn deposit_nonce(channel: B256, salt: U256) -> B256 {
    keccak256((channel, salt).abi_encode())
}

/// `collectorData` of a deposit by ERC-3009; times in Unix seconds, both ends excluded.
#[must_use]
pub fn collector_data(
    valid_after: U256,
    valid_before: U256,
    salt: U256,
    signature: &Signature,
) -> Bytes {
    let signature = Bytes::copy_from_slice(&signature.0);
    (valid_after, valid_before, salt, signature).abi_encode_params().into()
}
