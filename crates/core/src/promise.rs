//! A provider's promise that a batch of receipts will be in its log: one signature a commit.

use alloy_primitives::{Address, B256};
use alloy_sol_types::sol;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    domain::{Domain, digest},
    log::merkle,
    signature::Signature,
};

mod typed {
    #![allow(missing_docs, reason = "the public twin below is documented")]
    super::sol! {
        struct Promise {
            bytes32 root;
            uint64 first;
            uint32 count;
            bytes32 notBefore;
            uint64 mergeBy;
        }
    }
}

/// What a provider signs for each commit (EIP-712
/// `Promise(bytes32 root,uint64 first,uint32 count,bytes32 notBefore,uint64 mergeBy)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Promise {
    /// RFC 6962 root over the batch's log entries.
    pub root: B256,
    /// Log index of the batch's first entry.
    pub first: u64,
    /// How many entries the batch has.
    pub count: u32,
    /// A recent block hash of the settlement chain: the promise was not made before it.
    pub not_before: B256,
    /// Unix seconds by which a checkpoint covers the batch.
    pub merge_by: u64,
}

/// A promise with its signature and one receipt's place in the batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedPromise {
    /// What was promised.
    pub promise: Promise,
    /// By the provider.
    pub signature: Signature,
    /// Log index of the receipt.
    pub index: u64,
    /// RFC 6962 audit path inside the batch, from the leaf up.
    pub path: Vec<B256>,
}

impl Promise {
    /// The digest that the provider signs.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        let message = typed::Promise {
            root: self.root,
            first: self.first,
            count: self.count,
            notBefore: self.not_before,
            mergeBy: self.merge_by,
        };
        digest(&message, domain.vouch())
    }
}

impl SignedPromise {
    /// Checks that `provider` promised the log entry with this leaf hash.
    ///
    /// # Errors
    /// [`Error::Signature`] or [`Error::Signer`] if it is not the provider's, and
    /// [`Error::ProofShape`] or [`Error::Proof`] if the entry is not in the batch.
    pub fn verify(&self, leaf_hash: B256, domain: &Domain, provider: Address) -> Result<(), Error> {
        self.signature.verify(self.promise.digest(domain), provider)?;
        let place = self
            .index
            .checked_sub(self.promise.first)
            .ok_or(Error::ProofShape("the index is before the batch"))?;
        merkle::verify_inclusion(
            leaf_hash,
            place,
            u64::from(self.promise.count),
            &self.path,
            self.promise.root,
        )
    }
}

#[cfg(test)]
mod tests {
    use secp256k1::SecretKey;

    use super::*;
    use crate::signature::address_of;

    #[test]
    fn a_promise_is_its_providers_and_covers_its_batch() {
        let key = SecretKey::from_byte_array([1; 32]).unwrap();
        let provider = address_of(&key);
        let domain = Domain { chain: 1, settlement: Address::repeat_byte(1) };
        let leaves: Vec<_> = (0u8..5).map(|entry| merkle::leaf_hash(&[entry])).collect();
        let promise = Promise {
            root: merkle::root(&leaves),
            first: 100,
            count: 5,
            not_before: B256::repeat_byte(2),
            merge_by: 60,
        };
        let signature = Signature::sign(promise.digest(&domain), &key);
        let path = merkle::inclusion_path(&leaves, 3);
        let signed = SignedPromise { promise, signature, index: 103, path };
        assert_eq!(signed.verify(leaves[3], &domain, provider), Ok(()));
        assert!(signed.verify(leaves[2], &domain, provider).is_err(), "another entry");
        assert!(signed.verify(leaves[3], &domain, Address::ZERO).is_err(), "another provider");
        let later = Promise { merge_by: 61, ..promise };
        let altered = SignedPromise { promise: later, ..signed.clone() };
        assert!(altered.verify(leaves[3], &domain, provider).is_err(), "more time than promised");
        let before = SignedPromise { index: 99, ..signed };
        let shape = Err(Error::ProofShape("the index is before the batch"));
        assert_eq!(before.verify(leaves[3], &domain, provider), shape);
    }
}
