//! Data that was used: the owner's grant, what it is credited, and the receipt of it (kind 5).
//!
//! ```text
//!  answer's receipt ◀── parent ── data-use receipt      payer   = the data's owner, who is credited
//!   nonce ── source_nonce(i) ─▶   request = H(nonce' || dataset || document)
//!   charge ── Grant::credit ──▶   charge; sequence and cumulative count in the owner's stream
//! ```
//! A stream is what one provider owes one owner: its receipts are numbered from 1 without gaps and
//! carry the total, so an owner that holds receipt `n` knows what receipts 1 to `n` add up to.
//!
//! A set that a model was trained on is used as a whole: `document` is [`WHOLE`], `input` counts its
//! examples, the parent is the training ([`crate::training`]), and the credit follows from its report.

use alloy_primitives::{Address, B256, Keccak256, U256, keccak256};
use alloy_sol_types::{SolStruct, sol};
use serde::{Deserialize, Serialize};

use crate::{Error, bundle::LogProof, domain::Domain, promise::SignedPromise, receipt::Receipt};

/// The word whose keccak-256 is the purpose of search: passages in a prompt.
pub const SEARCH: &str = "search";
/// The word whose keccak-256 is the purpose of training.
pub const TRAIN: &str = "train";
/// What stands for the document where a set is used as a whole.
pub const WHOLE: B256 = B256::ZERO;
/// 100% in basis points.
const WHOLE_BPS: u128 = 10_000;

mod typed {
    #![allow(missing_docs, reason = "the public twin below is documented")]
    super::sol! {
        struct Grant {
            address owner;
            bytes32 dataset;
            address grantee;
            bytes32 purpose;
            bytes32 service;
            uint128 price;
            uint16 shareBps;
            uint64 start;
            uint64 end;
            uint256 nonce;
        }
    }
}

/// An owner's permission to use a dataset, as `ConsentRegistry` keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// Whose data it is, and who is credited.
    pub owner: Address,
    /// `keccak256(abi.encode(owner, root))`.
    pub dataset: B256,
    /// Who may use it.
    pub grantee: Address,
    /// keccak-256 of a word, such as [`SEARCH`].
    pub purpose: B256,
    /// For which model or service, 0 for any of the grantee's.
    pub service: B256,
    /// Atomic units for each use.
    #[serde(with = "crate::serde_decimal")]
    pub price: u128,
    /// Part of the call's charge, in basis points.
    pub share_bps: u16,
    /// Unix seconds from which it holds; in JSON a decimal string, as "for ever" exceeds what RFC
    /// 8785 keeps of a number.
    #[serde(with = "seconds")]
    pub start: u64,
    /// Unix seconds from which it no longer does, in JSON as `start`.
    #[serde(with = "seconds")]
    pub end: u64,
    /// Tells grants apart.
    pub nonce: U256,
}

mod seconds {
    use serde::{Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let seconds = crate::serde_decimal::deserialize(from)?;
        u64::try_from(seconds).map_err(|_| D::Error::custom("a time in seconds exceeds 64 bits"))
    }
}

impl Grant {
    /// The EIP-712 `hashStruct` of the grant: its id.
    #[must_use]
    pub fn id(&self) -> B256 {
        let grant = typed::Grant {
            owner: self.owner,
            dataset: self.dataset,
            grantee: self.grantee,
            purpose: self.purpose,
            service: self.service,
            price: self.price,
            shareBps: self.share_bps,
            start: self.start,
            end: self.end,
            nonce: self.nonce,
        };
        grant.eip712_hash_struct()
    }

    /// What one use in a call with this charge is credited: the price and the share, rounded down.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a share above 100%, [`Error::Overflow`].
    pub fn credit(&self, charge: u128) -> Result<u128, Error> {
        let share = u128::from(self.share_bps);
        if share > WHOLE_BPS {
            return Err(Error::malformed("grant", "its share is above 100%"));
        }
        // In two parts: the product of the whole could exceed 128 bits.
        let (whole, rest) = (charge / WHOLE_BPS, charge % WHOLE_BPS);
        let part = whole.checked_mul(share).zip(rest.checked_mul(share));
        let part = part.and_then(|(whole, rest)| whole.checked_add(rest / WHOLE_BPS));
        part.and_then(|part| part.checked_add(self.price)).ok_or(Error::Overflow)
    }

    /// Whether it allows this grantee this purpose for this service at that time. Whether it was
    /// revoked is the registry's to say.
    #[must_use]
    pub fn covers(&self, grantee: Address, purpose: &str, service: B256, time_s: u64) -> bool {
        self.grantee == grantee
            && self.purpose == keccak256(purpose)
            && (self.service.is_zero() || self.service == service)
            && self.start <= time_s
            && time_s < self.end
    }
}

/// Id of the account stream in which `provider` counts what it owes `owner`:
/// `keccak256("vouch data use" || chain u64 || settlement || provider || owner)`.
#[must_use]
pub fn stream(domain: &Domain, provider: Address, owner: Address) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update("vouch data use");
    hasher.update(domain.chain.to_be_bytes());
    for address in [domain.settlement, provider, owner] {
        hasher.update(address);
    }
    hasher.finalize()
}

/// What a data-use receipt has as its `request`: `keccak256(nonce' || dataset || document)`, where
/// nonce' is [`crate::commitment::source_nonce`] and `document` the leaf of the dataset's tree.
#[must_use]
pub fn request(source_nonce: &B256, dataset: &B256, document: &B256) -> B256 {
    keccak256([source_nonce.as_slice(), dataset.as_slice(), document.as_slice()].concat())
}

/// A data-use receipt with what opens it: what its owner is handed, and a node of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataUse {
    /// The receipt, of kind 5.
    pub receipt: Receipt,
    /// The provider's promise to log it: its signature.
    pub promise: SignedPromise,
    /// Its place in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogProof>,
    /// [`crate::commitment::source_nonce`]: opens this receipt and nothing else.
    pub nonce: B256,
    /// The dataset.
    pub dataset: B256,
    /// Leaf of the document in the dataset's tree.
    pub document: B256,
    /// The permission it was used under.
    pub grant: Grant,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant(price: u128, share_bps: u16) -> Grant {
        Grant {
            owner: Address::repeat_byte(1),
            dataset: B256::repeat_byte(2),
            grantee: Address::repeat_byte(3),
            purpose: keccak256(SEARCH),
            service: B256::ZERO,
            price,
            share_bps,
            start: 10,
            end: 20,
            nonce: U256::from(1),
        }
    }

    #[test]
    fn credits_price_and_share() {
        assert_eq!(grant(7, 1_000).credit(99), Ok(16));
        assert_eq!(grant(0, 10_000).credit(u128::MAX), Ok(u128::MAX));
        assert_eq!(grant(1, 10_000).credit(u128::MAX), Err(Error::Overflow));
        assert!(grant(0, 10_001).credit(1).is_err());
    }

    #[test]
    fn a_grant_for_ever_survives_canonical_json() {
        let forever = Grant { end: u64::MAX, nonce: U256::MAX, ..grant(u128::MAX, 1) };
        let json = crate::commitment::canonical_json(&forever).unwrap();
        assert_eq!(serde_json::from_slice::<Grant>(&json).unwrap(), forever);
    }

    #[test]
    fn a_grant_covers_what_it_names() {
        let (grant, service) = (grant(1, 0), B256::repeat_byte(9));
        let grantee = grant.grantee;
        assert!(grant.covers(grantee, SEARCH, service, 10));
        assert!(!grant.covers(grantee, SEARCH, service, 20));
        assert!(!grant.covers(grantee, "train", service, 10));
        assert!(!grant.covers(Address::ZERO, SEARCH, service, 10));
        assert!(!Grant { service, ..grant }.covers(grantee, SEARCH, B256::ZERO, 10));
    }

    proptest! {
        /// Shares that add up to 100% never credit more than the charge.
        #[test]
        fn shares_never_exceed_the_charge(charge: u128, first in 0u16..=10_000) {
            let one = grant(0, first).credit(charge).unwrap();
            let other = grant(0, 10_000 - first).credit(charge).unwrap();
            prop_assert!(one.checked_add(other).unwrap() <= charge);
        }
    }
}
