//! The bundle: all that a stranger needs to check one answer, in one JSON file.

use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    channel::{ChannelConfig, SignedVoucher},
    promise::SignedPromise,
    receipt::Receipt,
    request::Request,
    signature::Signature,
    terms::Terms,
};

/// The version of [`Bundle`] that this crate writes.
pub const VERSION: u32 = 1;

/// One answer with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// [`VERSION`].
    pub version: u32,
    /// What opens the receipt's commitments.
    pub nonce: B256,
    /// Method and path that was asked, such as `POST /v1/chat/completions`.
    pub resource: String,
    /// The exact body of the request.
    pub request: String,
    /// The final response, as JSON; its RFC 8785 form is what the receipt commits to.
    pub response: Value,
    /// The receipt.
    pub receipt: Receipt,
    /// The quote that it was made under.
    pub terms: Terms,
    /// The channel that paid.
    pub channel: ChannelConfig,
    /// A voucher that covers the receipt's cumulative total.
    pub voucher: SignedVoucher,
    /// The payer's signature under the request; stock clients sign none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// The provider's promise to log the receipt: its signature.
    pub promise: SignedPromise,
    /// The receipt in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogProof>,
    /// The log's checkpoint on a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<AnchorProof>,
    /// What determines a run of the model; the hash of its RFC 8785 form is `terms.identity`.
    pub model: Value,
}

/// A request with the payer's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authorization {
    /// What was signed.
    pub request: Request,
    /// By the channel's payer or payer authorizer.
    pub signature: Signature,
}

/// An entry's place under a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogProof {
    /// Log index of the entry.
    pub index: u64,
    /// RFC 6962 audit path from the leaf up.
    pub path: Vec<B256>,
    /// The checkpoint: a C2SP signed note.
    pub checkpoint: String,
}

/// A checkpoint in the storage of a `CheckpointAnchor` contract, proven against a block header
/// (EIP-1186).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnchorProof {
    /// EIP-155 id of the chain that was anchored to.
    pub chain: u64,
    /// The contract.
    pub contract: Address,
    /// The size that was anchored, at least the log proof's index + 1.
    pub size: u64,
    /// RLP of the block's header.
    pub header: Bytes,
    /// Trie nodes from the state root to the contract's account.
    pub account_proof: Vec<Bytes>,
    /// Trie nodes from the account's storage root to the anchored root.
    pub storage_proof: Vec<Bytes>,
    /// RFC 6962 consistency path from the smaller of the two sizes (log proof's checkpoint and
    /// anchor) to the larger; empty if they are equal.
    pub consistency: Vec<B256>,
}
