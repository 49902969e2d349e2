use std::fmt;

use serde_json::Value;
use vouch_core::{Address, B256};

use crate::{LinkName, WitnessPolicy};

/// What the verifier is told besides the bundle. The default trusts nothing and requires nothing:
/// links that are absent are reported as such.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    /// The provider that must have made the receipt.
    pub provider: Option<Address>,
    /// The payer that the receipt must be for.
    pub payer: Option<Address>,
    /// Links that must not be absent.
    pub require: Vec<LinkName>,
    /// Logs and witnesses that are known, and which of them must have cosigned.
    pub witnesses: WitnessPolicy,
    /// A block that is known to be on its chain.
    pub block: Option<KnownBlock>,
    /// Hash of the runtime code of `CheckpointAnchor`: without it, any contract could stand at the
    /// address that a bundle names.
    pub anchor_code: Option<B256>,
    /// Decodes token ids with the tokenizer that the model's identity names.
    pub detokenizer: Option<&'a dyn Detokenizer>,
}

/// A block hash taken from somebody who is trusted with it, such as an own node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownBlock {
    /// EIP-155 id of the chain.
    pub chain: u64,
    /// keccak-256 of the header's RLP.
    pub hash: B256,
}

/// A tokenizer, as the verifier needs one.
///
/// Whoever passes one has checked that it is the one that the bundle's model identity names.
pub trait Detokenizer: fmt::Debug {
    /// The text of generated ids, as the response must carry it: special tokens left out, and cut
    /// where the request's stop strings say (`request` is its parsed body).
    ///
    /// # Errors
    /// A sentence, if an id is none of the tokenizer's.
    fn text(&self, ids: &[u32], request: &Value) -> Result<String, String>;

    /// The ids that a request's prompt encodes to, template applied; `None` if this tokenizer
    /// cannot tell, and then the input is the provider's word.
    fn input_ids(&self, resource: &str, request: &Value) -> Option<Vec<u32>> {
        let _unused = (resource, request);
        None
    }
}
