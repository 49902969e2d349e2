//! A grant: what the owner of a dataset allows, and signs.

use std::{borrow::Cow, fmt, str::FromStr};

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use serde::{Deserialize, Deserializer, Serialize};
use vouch_contracts::bindings::ConsentRegistry;
use vouch_core::{data_use, signature::Signature};
use vouch_wallet::Wallet;

use crate::{Error, Result};

/// What data may be used for: keccak-256 of a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Purpose(pub B256);

impl Purpose {
    /// To be found, shown to a model and cited.
    #[must_use]
    pub fn search() -> Self {
        Self::of(data_use::SEARCH)
    }

    /// To train a model.
    #[must_use]
    pub fn train() -> Self {
        Self::of(data_use::TRAIN)
    }

    fn of(word: &str) -> Self {
        Self(keccak256(word))
    }
}

impl FromStr for Purpose {
    type Err = Error;

    /// A word of letters and dashes, or 32 bytes in hexadecimal.
    fn from_str(text: &str) -> Result<Self> {
        if let Some(hash) = text.starts_with("0x").then(|| text.parse()).transpose().ok().flatten()
        {
            return Ok(Self(hash));
        }
        let word = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(word) {
            let why = format!("{text:?} is no lower-case word such as search or train");
            return Err(Error::malformed("purpose", why));
        }
        Ok(Self::of(text))
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            purpose if purpose == Self::search() => f.write_str("search"),
            purpose if purpose == Self::train() => f.write_str("train"),
            Self(hash) => hash.fmt(f),
        }
    }
}

impl fmt::Debug for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Purpose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What an owner allows, as the contract records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// Whose data.
    pub owner: Address,
    /// [`crate::dataset::dataset_id`].
    pub dataset: B256,
    /// Who may use it.
    pub grantee: Address,
    /// For what.
    pub purpose: Purpose,
    /// Identity of the model or service; 0 for any of the grantee's.
    pub service: B256,
    /// Atomic units of the dollar for each use.
    #[serde(with = "crate::decimal")]
    pub price: u128,
    /// Part of a call's charge, in hundredths of a percent, at most 10,000.
    pub share_bps: u16,
    /// Unix seconds, the first at which it runs.
    pub start: u64,
    /// Unix seconds, the first at which it no longer does.
    pub end: u64,
    /// Tells apart grants that are otherwise the same.
    pub nonce: U256,
}

/// A grant as its owner writes it down, in TOML or JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The dataset.
    pub dataset: B256,
    /// Who may use it.
    pub grantee: Address,
    /// `search`, `train`, or another word.
    pub purpose: Purpose,
    /// Only for this model or service.
    #[serde(default)]
    pub service: B256,
    /// Atomic units of the dollar for each use, as a string.
    #[serde(default, with = "crate::decimal")]
    pub price: u128,
    /// Part of a call's charge, in hundredths of a percent.
    #[serde(default)]
    pub share_bps: u16,
    /// Unix seconds.
    pub start: u64,
    /// Unix seconds.
    pub end: u64,
}

impl Terms {
    /// Reads terms written in TOML.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the place of the mistake.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| Error::malformed("terms", error))
    }

    /// The grant of `owner` under these terms, with a random nonce.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the contract would not take it, [`Error::Random`].
    pub fn grant(&self, owner: Address) -> Result<Grant> {
        let mut nonce = [0; 8];
        crate::seal::fill(&mut nonce)?;
        let grant = Grant {
            owner,
            dataset: self.dataset,
            grantee: self.grantee,
            purpose: self.purpose,
            service: self.service,
            price: self.price,
            share_bps: self.share_bps,
            start: self.start,
            end: self.end,
            nonce: U256::from(u64::from_be_bytes(nonce)),
        };
        grant.check()?;
        Ok(grant)
    }
}

impl Grant {
    /// Checks what the contract will check.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the reason.
    pub fn check(&self) -> Result<()> {
        let why = if self.end <= self.start {
            "it ends before it starts"
        } else if self.share_bps > 10_000 {
            "its share is above 10,000 hundredths of a percent"
        } else if self.grantee.is_zero() || self.owner.is_zero() {
            "it has no owner or no grantee"
        } else {
            return Ok(());
        };
        Err(Error::malformed("grant", why))
    }

    /// Its name: the EIP-712 struct hash.
    #[must_use]
    pub fn id(&self) -> B256 {
        data_use::Grant::from(*self).id()
    }

    /// What the owner signs, for the registry at `registry` on `chain`.
    #[must_use]
    pub fn digest(&self, chain: u64, registry: Address) -> B256 {
        self.message().eip712_signing_hash(&domain(chain, registry))
    }

    /// Signs the grant, so that anyone may record it.
    #[must_use]
    pub fn sign(&self, wallet: &Wallet, chain: u64, registry: Address) -> Signature {
        wallet.sign(self.digest(chain, registry))
    }

    /// The contract's form.
    #[must_use]
    pub fn message(&self) -> ConsentRegistry::Grant {
        ConsentRegistry::Grant {
            owner: self.owner,
            dataset: self.dataset,
            grantee: self.grantee,
            purpose: self.purpose.0,
            service: self.service,
            price: self.price,
            shareBps: self.share_bps,
            start: self.start,
            end: self.end,
            nonce: self.nonce,
        }
    }

    /// What one use earns: the price, and the share of the call's charge, rounded down.
    ///
    /// # Errors
    /// [`Error::Amount`] if it does not fit 128 bits.
    pub fn earns(&self, charge: u128) -> Result<u128> {
        data_use::Grant::from(*self)
            .credit(charge)
            .map_err(|error| Error::Amount(format!("what a use earns: {error}")))
    }
}

/// As the gateway and receipts have it.
impl From<Grant> for data_use::Grant {
    fn from(grant: Grant) -> Self {
        Self {
            owner: grant.owner,
            dataset: grant.dataset,
            grantee: grant.grantee,
            purpose: grant.purpose.0,
            service: grant.service,
            price: grant.price,
            share_bps: grant.share_bps,
            start: grant.start,
            end: grant.end,
            nonce: grant.nonce,
        }
    }
}

impl From<&ConsentRegistry::Granted> for Grant {
    fn from(event: &ConsentRegistry::Granted) -> Self {
        Self {
            owner: event.owner,
            dataset: event.dataset,
            grantee: event.grantee,
            purpose: Purpose(event.purpose),
            service: event.service,
            price: event.price,
            share_bps: event.shareBps,
            start: event.start,
            end: event.end,
            nonce: event.nonce,
        }
    }
}

fn domain(chain: u64, registry: Address) -> Eip712Domain {
    Eip712Domain::new(
        Some("Vouch Consent".into()),
        Some("1".into()),
        Some(U256::from(chain)),
        Some(registry),
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: &str = r#"
        dataset = "0x0101010101010101010101010101010101010101010101010101010101010101"
        grantee = "0x0202020202020202020202020202020202020202"
        purpose = "search"
        price = "250"
        share_bps = 500
        start = 100
        end = 200
    "#;

    #[test]
    fn terms_become_a_grant() {
        let grant = Terms::from_toml(TERMS).unwrap().grant(Address::repeat_byte(3)).unwrap();
        assert_eq!((grant.purpose, grant.price, grant.share_bps), (Purpose::search(), 250, 500));
        assert_eq!(grant.earns(1_999).unwrap(), 250 + 99);
        assert!(grant.earns(u128::MAX).is_ok());
        assert!(Grant { price: u128::MAX, ..grant }.earns(1_000_000).is_err());
        let json = serde_json::to_string(&grant).unwrap();
        assert_eq!(serde_json::from_str::<Grant>(&json).unwrap(), grant);
    }

    #[test]
    fn terms_that_contradict_themselves_are_refused() {
        for (from, to) in [
            ("end = 200", "end = 100"),
            ("share_bps = 500", "share_bps = 10001"),
            ("\"search\"", "\"Search it\""),
            ("\"250\"", "\"-1\""),
            ("start", "begin"),
            (
                "0x0202020202020202020202020202020202020202",
                "0x0000000000000000000000000000000000000000",
            ),
        ] {
            let terms = Terms::from_toml(&TERMS.replace(from, to));
            let grant = terms.and_then(|terms| terms.grant(Address::repeat_byte(3)));
            assert!(grant.is_err(), "{to}");
        }
    }
}
