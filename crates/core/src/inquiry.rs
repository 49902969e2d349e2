//! An owner's signature under a question for its receipts: who was used how often is for the owner
//! to know, and for the provider that wrote it down.

use alloy_primitives::{Address, B256};
use alloy_sol_types::sol;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    domain::{Domain, digest},
    signature::Signature,
};

/// The longest life of an inquiry, in seconds. One that is signed for half of it leaves as much for
/// clocks that differ, either way.
pub const MAX_LIFE_S: u64 = 300;

mod typed {
    #![allow(missing_docs, reason = "the public twin below is documented")]
    super::sol! {
        struct Inquiry {
            address provider;
            address owner;
            uint64 after;
            uint32 limit;
            uint64 expiry;
        }
    }
}

/// What an owner of data signs for each page of its receipts (EIP-712
/// `Inquiry(address provider,address owner,uint64 after,uint32 limit,uint64 expiry)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inquiry {
    /// Who is asked: another provider cannot use it.
    pub provider: Address,
    /// Whose receipts.
    pub owner: Address,
    /// The sequence after which the page begins.
    pub after: u64,
    /// How many receipts at most; a provider may give fewer.
    pub limit: u32,
    /// Unix seconds after which it is not answered.
    pub expiry: u64,
}

impl Inquiry {
    /// The digest that the owner signs.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        let message = typed::Inquiry {
            provider: self.provider,
            owner: self.owner,
            after: self.after,
            limit: self.limit,
            expiry: self.expiry,
        };
        digest(&message, domain.vouch())
    }

    /// Checks that the owner signed it, or the provider, whose own books the receipts are.
    ///
    /// # Errors
    /// [`Error::Signature`] if the signature is malformed, [`Error::Signer`] if it is another's.
    pub fn verify(&self, signature: &Signature, domain: &Domain) -> Result<(), Error> {
        let found = signature.recover(self.digest(domain))?;
        if found == self.owner || found == self.provider {
            return Ok(());
        }
        Err(Error::Signer { expected: self.owner, found })
    }
}

#[cfg(test)]
mod tests {
    use secp256k1::SecretKey;

    use super::*;
    use crate::signature::address_of;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_byte_array([byte; 32]).unwrap()
    }

    #[test]
    fn owner_and_provider_may_ask_and_nobody_else() {
        let domain = Domain { chain: 1, settlement: Address::repeat_byte(1) };
        let (provider, owner) = (address_of(&key(1)), address_of(&key(2)));
        let inquiry = Inquiry { provider, owner, after: 0, limit: 10, expiry: 100 };
        let signed = |key| Signature::sign(inquiry.digest(&domain), &key);
        assert_eq!(inquiry.verify(&signed(key(1)), &domain), Ok(()));
        assert_eq!(inquiry.verify(&signed(key(2)), &domain), Ok(()));
        let found = address_of(&key(3));
        let other = Err(Error::Signer { expected: owner, found });
        assert_eq!(inquiry.verify(&signed(key(3)), &domain), other);
        // A signature counts for one question on one chain.
        let elsewhere = Domain { chain: 2, ..domain };
        assert!(inquiry.verify(&signed(key(2)), &elsewhere).is_err());
        for changed in [
            Inquiry { provider: found, ..inquiry },
            Inquiry { owner: found, ..inquiry },
            Inquiry { after: 1, ..inquiry },
            Inquiry { limit: 11, ..inquiry },
            Inquiry { expiry: 101, ..inquiry },
        ] {
            assert!(changed.verify(&signed(key(2)), &domain).is_err(), "{changed:?}");
        }
    }
}
