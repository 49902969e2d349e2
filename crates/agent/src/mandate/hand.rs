//! A part of a mandate that was handed on to a sub-agent, and the act that did so.

use alloy::sol_types::SolStruct;
use alloy_primitives::{B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use vouch_wallet::Wallet;

use super::{
    Contracts, Grant, MandateError,
    abi::Handed,
    delegation::{check_signature, eip712},
};

/// What a sub-agent was given of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hand {
    /// The `delegate` permission it was handed on under.
    pub permission: usize,
    /// The most that the sub-agent may spend, atomic units of the permission's token.
    #[serde(with = "crate::decimal")]
    pub limit: u128,
    /// What was handed on under the permission before: each hand has a counter of its own.
    #[serde(with = "crate::decimal")]
    pub before: u128,
    /// Atomic dollars for answers. No chain holds them; they are part of what is signed.
    #[serde(with = "crate::decimal", default)]
    pub dollars: u128,
    /// The agent's: of each leaf of each permission that is handed on.
    pub signatures: Vec<Bytes>,
    /// The act that it was handed on in. That act's own outcome lacks it: nothing has its own hash.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub made_in: Option<MadeIn>,
}

/// By which receipt a part was handed on; the parent of all receipts of what is done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MadeIn {
    /// The delegating act's.
    pub receipt: B256,
    /// The agent's, under receipt and part together: neither goes with another.
    pub signature: Bytes,
}

/// How much is handed on; see [`Hand`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Handed on before.
    pub before: u128,
    /// Atomic units of the permission's token.
    pub limit: u128,
    /// Atomic dollars for answers.
    pub dollars: u128,
}

impl Hand {
    /// What the agent signs once the act that handed this on has a receipt.
    fn digest(&self, mandate: B256, receipt: B256, contracts: &Contracts) -> B256 {
        let [limit, before, dollars] = [self.limit, self.before, self.dollars].map(U256::from);
        let permission = U256::from(self.permission);
        let handed = Handed { mandate, permission, limit, before, dollars, receipt };
        handed.eip712_signing_hash(&eip712("Vouch Mandate", contracts))
    }
}

impl Grant {
    /// Names the act that this part was handed on in, with the agent's key; `mandate` is the
    /// mandate's hash. A grant that was not handed on stays as it is.
    pub fn name_act(&mut self, mandate: B256, receipt: B256, agent: &Wallet) {
        let Some(hand) = &mut self.hand else { return };
        let signature = agent.sign(hand.digest(mandate, receipt, &self.contracts));
        let signature = Bytes::copy_from_slice(&signature.0);
        hand.made_in = Some(MadeIn { receipt, signature });
    }

    /// The receipt of the act that this part was handed on in; none if it is no part.
    ///
    /// # Errors
    /// [`MandateError::NoAct`], [`MandateError::Signature`] if the agent did not sign it.
    pub fn made_in(&self) -> Result<Option<B256>, MandateError> {
        let Some(hand) = &self.hand else { return Ok(None) };
        let MadeIn { receipt, signature } = hand.made_in.as_ref().ok_or(MandateError::NoAct)?;
        let digest = hand.digest(self.mandate.hash()?, *receipt, &self.contracts);
        check_signature(signature, digest, self.mandate.agent)?;
        Ok(Some(*receipt))
    }
}
