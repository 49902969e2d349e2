use alloy_primitives::{Address, B256, Uint};
use alloy_sol_types::sol;
use serde::{Deserialize, Serialize};

use crate::domain::{Domain, digest};

mod typed {
    #![allow(missing_docs, reason = "the public twin below is documented")]
    super::sol! {
        struct ChannelConfig {
            address payer;
            address payerAuthorizer;
            address receiver;
            address receiverAuthorizer;
            address token;
            uint40 withdrawDelay;
            bytes32 salt;
        }
    }
}

/// An x402 `batch-settlement` channel: who pays whom, in what, and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChannelConfig {
    /// Whose deposit it is.
    pub payer: Address,
    /// Whose signature vouchers carry; zero means the payer itself, checked by the contract.
    pub payer_authorizer: Address,
    /// Who is paid.
    pub receiver: Address,
    /// Whose signature refunds and batched claims carry.
    pub receiver_authorizer: Address,
    /// The ERC-20 that pays.
    pub token: Address,
    /// Seconds between a payer's notice of withdrawal and the withdrawal.
    pub withdraw_delay: u64,
    /// Tells apart channels of the same parties.
    pub salt: B256,
}

impl ChannelConfig {
    /// The channel's id: the EIP-712 digest of the configuration in x402's domain.
    #[must_use]
    pub fn id(&self, domain: &Domain) -> B256 {
        let message = typed::ChannelConfig {
            payer: self.payer,
            payerAuthorizer: self.payer_authorizer,
            receiver: self.receiver,
            receiverAuthorizer: self.receiver_authorizer,
            token: self.token,
            // The contract's field has 40 bits; larger delays cannot be configured there.
            withdrawDelay: Uint::saturating_from(self.withdraw_delay),
            salt: self.salt,
        };
        digest(&message, &domain.x402())
    }

    /// Whose signature a voucher or request of this channel must carry.
    #[must_use]
    pub fn voucher_signer(&self) -> Address {
        if self.payer_authorizer.is_zero() { self.payer } else { self.payer_authorizer }
    }
}
