//! Acts as receipts (kind 6): what was asked, under which mandate, and what came of it.
//!
//! Refused acts are receipts too: whoever reads the log sees what was attempted.

use std::fmt::Debug;

use alloy_primitives::{Address, B256, U256};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vouch_core::{
    act::{self, Act},
    domain::Domain,
    money::Usage,
    promise::SignedPromise,
    receipt::{Kind, Receipt, Status, Tier, VERSION},
};

use crate::{intent::Intent, mandate::Permission, signer::Outcome};

/// What a strategy hands to the signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// What is to be done.
    pub intent: Intent,
    /// Digests of the receipts of the answers that it relied on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relied_on: Vec<B256>,
    /// Hash of the strategy that decided.
    #[serde(default)]
    pub strategy: B256,
    /// Digest of the receipt that it was made under, such as an answer's. What a sub-agent does is
    /// made under the delegating act, whatever stands here: [`Parties::parent`].
    #[serde(default)]
    pub parent: B256,
    /// Of an answer: the receipt that says what it cost. It is among `relied_on`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
}

/// An answer's receipt, with its provider's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Of kind 1 or 2.
    pub receipt: Receipt,
    /// The provider's promise to log it.
    pub promise: SignedPromise,
}

/// The intent as its receipt commits to it. A delegation says whom and of what, so that a budget's
/// tree can be checked without the mandate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(flatten)]
    intent: &'a Intent,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asset: Option<Address>,
    relied_on: &'a [B256],
}

/// What opens an act's receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Opening {
    /// Of both commitments.
    pub nonce: B256,
    /// Such as `swap`.
    pub kind: String,
    /// What was to be done, and what it relied on.
    pub intent: Value,
    /// What came of it.
    pub outcome: Value,
}

/// An act that is about to be logged: an [`Act`] without the log's promise.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Of kind 6.
    pub receipt: Receipt,
    /// What opens it.
    pub opening: Opening,
}

impl Opening {
    /// The act, once its receipt is promised.
    #[must_use]
    pub fn act(self, receipt: Receipt, promise: SignedPromise) -> Act {
        let Self { nonce, kind, intent, outcome } = self;
        Act { receipt, promise, nonce, kind, intent, outcome, log: None }
    }
}

/// That an act is in the agent's log, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// The receipt's digest.
    pub digest: B256,
    /// Its place in the log.
    pub index: u64,
}

/// Why an act could not be logged or told.
#[derive(Debug, thiserror::Error)]
#[error("the act could not be logged: {0}")]
pub struct ActError(pub String);

/// The agent's own log.
///
/// Durable before it answers; acts come one at a time, and whoever calls does not retry: a signer
/// whose log fails acts no more until it is started again.
pub trait ActLog: Send + Sync + Debug {
    /// Appends an act.
    fn append(&self, act: Draft) -> BoxFuture<'_, Result<Acknowledged, ActError>>;

    /// Up to `most` acts, oldest first, of which the first `after` are left out.
    fn acts(&self, after: usize, most: usize) -> BoxFuture<'_, Result<Vec<Act>, ActError>>;
}

/// Who acts for whom, the same in every act's receipt.
#[derive(Debug, Clone, Copy)]
pub struct Parties {
    /// Where the receipts belong.
    pub domain: Domain,
    /// The key that acts.
    pub agent: Address,
    /// For whom.
    pub owner: Address,
    /// The mandate's hash.
    pub terms: B256,
    /// Of a sub-agent: the receipt of the act that delegated to it.
    pub delegated: Option<B256>,
}

impl Parties {
    /// The receipt that an act is made under. A strategy cannot take a sub-agent's acts out of the
    /// tree of their budget; an `answer`, which spends nothing itself, stays under its `ask`.
    fn parent(&self, request: &Request) -> B256 {
        match (self.delegated, &request.intent) {
            (Some(act), Intent::Answer { .. }) if request.parent.is_zero() => act,
            (None, _) | (_, Intent::Answer { .. }) => request.parent,
            (Some(act), _) => act,
        }
    }
}

impl Draft {
    /// The receipt of what came of a request under a permission, if there is one. `charge`: what it
    /// spent, and of which token; `time` in Unix milliseconds.
    ///
    /// # Errors
    /// [`ActError`] if the system gives no random bytes.
    pub fn new(
        parties: &Parties,
        permission: Option<&Permission>,
        request: &Request,
        outcome: &Outcome,
        (charge, asset): (u128, Address),
        time: u64,
    ) -> Result<Self, ActError> {
        let status = if outcome.is_settled() { Status::Complete } else { Status::Failed };
        let opening = Opening::new(permission, request, outcome)?;
        let Opening { nonce, kind, intent, outcome } = &opening;
        let receipt = Receipt {
            version: VERSION,
            domain: parties.domain,
            kind: Kind::AgentAct,
            status,
            tier: Tier::Signed,
            flags: 0,
            provider: parties.agent,
            agent: U256::ZERO,
            payer: parties.owner,
            channel: B256::ZERO,
            sequence: 0,
            request: act::intent(nonce, kind, intent).map_err(failed)?,
            response: act::outcome(nonce, outcome).map_err(failed)?,
            tokens: B256::ZERO,
            usage: Usage::default(),
            model: request.strategy,
            sampling: B256::ZERO,
            seed: B256::ZERO,
            commitment: B256::ZERO,
            terms: parties.terms,
            charge,
            cumulative: 0,
            asset,
            parent: parties.parent(request),
            time,
        };
        Ok(Self { receipt, opening })
    }
}

impl Opening {
    fn new(
        permission: Option<&Permission>,
        request: &Request,
        outcome: &Outcome,
    ) -> Result<Self, ActError> {
        let (to, asset) = match (permission, &request.intent) {
            (Some(Permission::Delegate { to, token, .. }), Intent::Delegate { .. }) => {
                (Some(*to), Some(*token))
            }
            _ => (None, None),
        };
        let (intent, relied_on) = (&request.intent, request.relied_on.as_slice());
        let body = Body { intent, to, asset, relied_on };
        let mut nonce = B256::ZERO;
        getrandom::fill(nonce.as_mut_slice()).map_err(failed)?;
        Ok(Self {
            nonce,
            kind: intent.kind().to_owned(),
            intent: serde_json::to_value(body).map_err(failed)?,
            outcome: serde_json::to_value(outcome).map_err(failed)?,
        })
    }
}

fn failed(error: impl std::fmt::Display) -> ActError {
    ActError(error.to_string())
}
