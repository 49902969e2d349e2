//! A payer's signature under one request: a voucher alone buys nothing in session mode.

use alloy_primitives::B256;
use alloy_sol_types::sol;
use serde::{Deserialize, Serialize};

use crate::domain::{Domain, digest};

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
        digest(&message, &domain.vouch())
    }
}
