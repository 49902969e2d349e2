//! A payer's signature under one request: a voucher alone buys nothing in session mode.

use alloy_primitives::B256;
use alloy_sol_types::sol;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{Domain, digest},
    planted::{Bug, planted},
};

mod typed {
    #![allow(missing_docs, reason = "the public twin below is documented")]
    super::sol! {
        struct Request {
            bytes32 channel;
            bytes32 request;
            bytes32 terms;
            uint128 maxCharge;
            uint64 expiry;
        }
    }
}

/// What a payer signs for each request (EIP-712
/// `Request(bytes32 channel,bytes32 request,bytes32 terms,uint128 maxCharge,uint64 expiry)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// The channel that pays.
    pub channel: B256,
    /// [`crate::commitment::request`] of the call.
    pub request: B256,
    /// Hash of the accepted [`crate::terms::Terms`].
    pub terms: B256,
    /// The most that the call may be charged, in atomic units.
    #[serde(with = "crate::serde_decimal")]
    pub max_charge: u128,
    /// Unix seconds after which the request must not be started.
    pub expiry: u64,
}

impl Request {
    /// The digest that the payer's authorizer signs.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        let message = typed::Request {
            channel: self.channel,
            request: self.request,
            terms: self.terms,
            maxCharge: self.max_charge,
            expiry: self.expiry,
        };
        digest(&message, domain.vouch())
    }
}

/// Checks that a request with this expiry may be started at `now_s`. The time is the payer's word:
/// beyond `max_life_s` the same request could come again after its answer was forgotten, and be
/// charged as new.
///
/// # Errors
/// [`ExpiryError`].
pub fn check_expiry(expiry: u64, now_s: u64, max_life_s: u64) -> Result<(), ExpiryError> {
    if expiry < now_s {
        return Err(ExpiryError::Over);
    }
    if expiry > now_s.saturating_add(max_life_s) && !planted(Bug::TimestampTrusted) {
        return Err(ExpiryError::TooFar);
    }
    Ok(())
}

/// Why a request may not be started now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExpiryError {
    /// Its time is over.
    #[error("the request's expiry is over: sign it anew")]
    Over,
    /// Its time ends too far ahead.
    #[error("the request's expiry is too far ahead: sign an earlier one")]
    TooFar,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_starts_before_its_expiry_and_no_longer_ahead_of_it_than_allowed() {
        let check = |expiry| check_expiry(expiry, 100, 60);
        assert_eq!((check(99), check(100)), (Err(ExpiryError::Over), Ok(())));
        assert_eq!((check(160), check(161)), (Ok(()), Err(ExpiryError::TooFar)));
        assert_eq!(check_expiry(u64::MAX, u64::MAX - 1, 60), Ok(()));
    }
}
