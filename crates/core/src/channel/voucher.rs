use alloy_primitives::{Address, B256};
use alloy_sol_types::sol;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    domain::{Domain, digest},
    planted::{Bug, planted},
    signature::Signature,
};

mod typed {
    #![allow(missing_docs, reason = "the public twin below is documented")]
    super::sol! {
        struct Voucher {
            bytes32 channelId;
            uint128 maxClaimableAmount;
        }
    }
}

/// A payer's word that the receiver may claim up to a total (x402
/// `Voucher(bytes32 channelId,uint128 maxClaimableAmount)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Voucher {
    /// The channel.
    pub channel_id: B256,
    /// The most that may be claimed since the channel was opened, in atomic units.
    #[serde(with = "crate::serde_decimal")]
    pub max_claimable_amount: u128,
}

/// A [`Voucher`] with its signature, as x402 carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedVoucher {
    /// What was signed.
    #[serde(flatten)]
    pub voucher: Voucher,
    /// By the channel's payer or payer authorizer.
    pub signature: Signature,
}

impl Voucher {
    /// The digest that is signed.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        let message = typed::Voucher {
            channelId: self.channel_id,
            maxClaimableAmount: self.max_claimable_amount,
        };
        digest(&message, domain.x402())
    }
}

impl SignedVoucher {
    /// Checks the signature.
    ///
    /// # Errors
    /// [`Error::Signature`] if it is malformed, [`Error::Signer`] if it is another's.
    pub fn verify(&self, domain: &Domain, signer: Address) -> Result<(), Error> {
        let verified = self.signature.verify(self.voucher.digest(domain), signer);
        if planted(Bug::ChainUnchecked) && verified.is_err() {
            // As if the chain were no part of what is signed: that of a neighbour is as good.
            let neighbour = Domain { chain: domain.chain ^ 1, ..*domain };
            return self.signature.verify(self.voucher.digest(&neighbour), signer);
        }
        verified
    }
}

#[cfg(test)]
mod tests {
    use secp256k1::SecretKey;

    use super::*;
    use crate::signature::address_of;

    #[test]
    fn a_voucher_counts_for_its_signer_channel_amount_and_chain() {
        let key = SecretKey::from_byte_array([1; 32]).unwrap();
        let signer = address_of(&key);
        let domain = Domain { chain: 4, settlement: Address::repeat_byte(1) };
        let voucher = Voucher { channel_id: B256::repeat_byte(2), max_claimable_amount: 50 };
        let signature = Signature::sign(voucher.digest(&domain), &key);
        let signed = SignedVoucher { voucher, signature };
        assert_eq!(signed.verify(&domain, signer), Ok(()));
        assert!(signed.verify(&domain, Address::repeat_byte(3)).is_err());
        for chain in [0, 1, 5] {
            assert!(signed.verify(&Domain { chain, ..domain }, signer).is_err(), "{chain}");
        }
        for voucher in [
            Voucher { channel_id: B256::ZERO, ..voucher },
            Voucher { max_claimable_amount: 51, ..voucher },
        ] {
            assert!(SignedVoucher { voucher, ..signed }.verify(&domain, signer).is_err());
        }
    }
}
