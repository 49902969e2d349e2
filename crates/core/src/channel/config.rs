use alloy_primitives::{Address, B256, Uint};
use alloy_sol_types::sol;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

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
    /// Seconds between a payer's notice of withdrawal and the withdrawal, below 2^40.
    #[serde(deserialize_with = "uint40")]
    pub withdraw_delay: u64,
    /// Tells apart channels of the same parties.
    pub salt: B256,
}

/// The contract's field has 40 bits: read cut to them, two configurations would have one id.
fn uint40<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = u64::deserialize(deserializer)?;
    if value >> 40 == 0 {
        Ok(value)
    } else {
        Err(D::Error::custom("withdrawDelay does not fit 40 bits"))
    }
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
        digest(&message, domain.x402())
    }

    /// Whose signature a voucher or request of this channel must carry.
    #[must_use]
    pub fn voucher_signer(&self) -> Address {
        if self.payer_authorizer.is_zero() { self.payer } else { self.payer_authorizer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(delay: u64) -> serde_json::Result<ChannelConfig> {
        serde_json::from_value(serde_json::json!({
            "payer": Address::ZERO, "payerAuthorizer": Address::ZERO,
            "receiver": Address::ZERO, "receiverAuthorizer": Address::ZERO,
            "token": Address::ZERO, "withdrawDelay": delay, "salt": B256::ZERO,
        }))
    }

    #[test]
    fn a_delay_beyond_the_contracts_40_bits_is_refused() {
        assert_eq!(read((1 << 40) - 1).unwrap().withdraw_delay, (1 << 40) - 1);
        assert!(read(1 << 40).is_err());
    }

    #[test]
    fn vouchers_are_signed_by_the_authorizer_or_where_there_is_none_the_payer() {
        let (payer, payer_authorizer) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let config = ChannelConfig { payer, ..read(900).unwrap() };
        assert_eq!(config.voucher_signer(), payer);
        assert_eq!(ChannelConfig { payer_authorizer, ..config }.voucher_signer(), payer_authorizer);
    }
}
