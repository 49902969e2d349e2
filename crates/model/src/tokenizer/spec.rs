//! What determines tokenization, as data: read from a GGUF file, published as JSON, hashed.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Gguf};

const MAX_TOKENS: usize = 1 << 20;
const MAX_MERGES: usize = 1 << 21;
const MAX_TOKEN_BYTES: usize = 4096;
const MAX_JSON_BYTES: usize = 128 << 20;

/// Token types of GGUF (`tokenizer.ggml.token_type`). Normal is 1; unused and byte tokens are
/// treated as normal.
const TYPE_UNKNOWN: i32 = 2;
const TYPE_CONTROL: i32 = 3;
const TYPE_USER_DEFINED: i32 = 4;

/// Control tokens that end an answer even where no metadata key says so, as in llama.cpp.
const END_NAMES: [&str; 11] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<|return|>",
    "<|call|>",
    "<EOT>",
    "<｜end▁of▁sentence｜>",
];

/// Everything that determines a tokenizer's ids. Two specs with one hash tokenize alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerSpec {
    /// Format of this document: 1.
    pub version: u32,
    /// Kind of model: `gpt2`, which is byte-level BPE.
    pub model: String,
    /// Name of the pattern that cuts text into pieces, as in GGUF (`smollm`, `llama-bpe`).
    pub pre: String,
    /// Token texts by id; normal tokens in GPT-2's printable form of bytes.
    pub tokens: Vec<String>,
    /// Merges by rank, each `left right`.
    pub merges: Vec<String>,
    /// Ids of control (and unknown) tokens, ascending.
    pub control: Vec<u32>,
    /// Ids of tokens that are always recognised in text, ascending.
    pub user_defined: Vec<u32>,
    /// Beginning of sequence.
    pub bos: Option<u32>,
    /// End of sequence.
    pub eos: Option<u32>,
    /// Ids that end an answer, ascending.
    pub end_of_generation: Vec<u32>,
    /// Whether `bos` begins every sequence.
    pub add_bos: bool,
}

impl TokenizerSpec {
    /// Reads the tables of a GGUF file. `tokenizer.ggml.add_space_prefix` has no say: byte-level
    /// BPE adds no space, and llama.cpp ignores the key for it too.
    ///
    /// # Errors
    /// [`Error::Gguf`] where a table is absent or of the wrong type.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, Error> {
        let tokens = gguf.strings("tokenizer.ggml.tokens")?;
        let types = match gguf.contains("tokenizer.ggml.token_type") {
            true => gguf.i32s("tokenizer.ggml.token_type")?,
            false => Vec::new(),
        };
        let of_type = |wanted: &[i32]| ids(types.iter().map(|kind| wanted.contains(kind)));
        let pre = match gguf.contains("tokenizer.ggml.pre") {
            true => gguf.str("tokenizer.ggml.pre")?,
            false => "default",
        };
        let eos = optional_id(gguf, "tokenizer.ggml.eos_token_id")?;
        let control = of_type(&[TYPE_UNKNOWN, TYPE_CONTROL]);
        Ok(Self {
            version: 1,
            model: gguf.str("tokenizer.ggml.model")?.to_owned(),
            pre: pre.to_owned(),
            end_of_generation: end_of_generation(gguf, &tokens, &control, eos)?,
            user_defined: of_type(&[TYPE_USER_DEFINED]),
            control,
            bos: optional_id(gguf, "tokenizer.ggml.bos_token_id")?,
            eos,
            add_bos: add_bos(gguf, pre)?,
            merges: gguf.strings("tokenizer.ggml.merges")?.into_iter().map(str::to_owned).collect(),
            tokens: tokens.into_iter().map(str::to_owned).collect(),
        })
    }

    /// Reads the JSON form; the bytes may be foreign.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where they are too long or not that form.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        if json.len() > MAX_JSON_BYTES {
            return Err(refuse(format!("is {} bytes, above the limit of 128 MiB", json.len())));
        }
        serde_json::from_slice(json)
            .map_err(|error| refuse(format!("is not a tokenizer spec: {error}")))
    }

    /// The canonical JSON form (RFC 8785).
    ///
    /// # Errors
    /// None in practice: every value has a JSON form.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        serde_json_canonicalizer::to_vec(self)
            .map_err(|error| refuse(format!("has no canonical JSON form: {error}")))
    }

    /// SHA-256 of the canonical JSON form.
    ///
    /// # Errors
    /// As [`TokenizerSpec::to_json`].
    pub fn hash(&self) -> Result<B256, Error> {
        Ok(B256::new(Sha256::digest(self.to_json()?).into()))
    }

    /// Checks sizes and that every id is in the vocabulary, so that later code may index by ids.
    pub(super) fn validate(&self) -> Result<(), Error> {
        if self.version != 1 {
            return Err(refuse(format!("has version {}; version 1 is read", self.version)));
        }
        if self.model != "gpt2" {
            return Err(refuse(format!(
                "is of kind {:.40?}; only gpt2 (byte-level BPE) is read",
                self.model
            )));
        }
        if self.tokens.is_empty()
            || self.tokens.len() > MAX_TOKENS
            || self.merges.len() > MAX_MERGES
        {
            return Err(refuse(format!(
                "has {} tokens and {} merges; 1 to {MAX_TOKENS} and up to {MAX_MERGES} are read",
                self.tokens.len(),
                self.merges.len()
            )));
        }
        if let Some(id) = self.tokens.iter().position(|token| token.len() > MAX_TOKEN_BYTES) {
            return Err(refuse(format!("has token {id} of more than {MAX_TOKEN_BYTES} bytes")));
        }
        let lists = [&self.control, &self.user_defined, &self.end_of_generation];
        if lists.iter().any(|ids| !ids.is_sorted_by(|a, b| a < b)) {
            return Err(refuse("has a list of ids that is not in ascending order".into()));
        }
        let mut named = lists.into_iter().flatten().chain(&self.bos).chain(&self.eos);
        match named.find(|id| **id as usize >= self.tokens.len()) {
            Some(id) => Err(refuse(format!("names token {id}, which its vocabulary lacks"))),
            None => Ok(()),
        }
    }
}

pub(super) fn refuse(detail: String) -> Error {
    Error::Tokenizer(detail)
}

fn ids(chosen: impl Iterator<Item = bool>) -> Vec<u32> {
    (0u32..).zip(chosen).filter_map(|(id, chosen)| chosen.then_some(id)).collect()
}

fn optional_id(gguf: &Gguf, key: &str) -> Result<Option<u32>, Error> {
    gguf.contains(key).then(|| gguf.u32(key)).transpose()
}

/// Llama 3 files begin with bos even where the key is absent (llama.cpp, `llama-vocab.cpp`).
fn add_bos(gguf: &Gguf, pre: &str) -> Result<bool, Error> {
    match gguf.contains("tokenizer.ggml.add_bos_token") {
        true => gguf.bool("tokenizer.ggml.add_bos_token"),
        false => Ok(super::pretokenize::is_llama3(pre)),
    }
}

fn end_of_generation(
    gguf: &Gguf,
    tokens: &[&str],
    control: &[u32],
    eos: Option<u32>,
) -> Result<Vec<u32>, Error> {
    let mut ends: Vec<u32> = eos.into_iter().collect();
    for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
        ends.extend(optional_id(gguf, key)?);
    }
    let is_end = |id: &u32| tokens.get(*id as usize).is_some_and(|name| END_NAMES.contains(name));
    ends.extend(control.iter().copied().filter(is_end));
    ends.sort_unstable();
    ends.dedup();
    Ok(ends)
}
