//! Turns text into a model's token ids and back, equal to llama.cpp id for id.
//!
//! ```text
//! text -> fragments around special tokens -> pieces by the model's pattern -> bytes -> merges -> ids
//!         (special.rs)                       (pretokenize.rs)                (bpe.rs)
//! ```
//! Byte-level BPE ("gpt2" in GGUF) only. Written here rather than taken from crate `tokenizers`,
//! because equality with llama.cpp decides: its handling of special tokens and its chained
//! patterns differ from that crate's, whose alignments, locks and 30 dependencies are not needed.
//! Patterns run on a linear-time regex engine, so no text can make one slow.
//!
//! Invariants: the same [`TokenizerSpec`] gives the same ids everywhere; decoding what was encoded
//! gives the text back, byte for byte (where the vocabulary has all 256 bytes); ids never exceed
//! [`Tokenizer::vocabulary_size`].

mod bpe;
mod bytes;
mod pretokenize;
mod spec;
mod special;

use alloy_primitives::B256;

use crate::{Error, Gguf};
use bpe::Merges;
use bytes::TokenBytes;
use pretokenize::PreTokenizer;
pub use spec::TokenizerSpec;
use special::{Fragment, SpecialTokens};

/// A model's tokenizer. Immutable: share it between threads behind an `Arc`.
#[derive(Debug)]
pub struct Tokenizer {
    spec: TokenizerSpec,
    hash: B256,
    bytes: TokenBytes,
    pre: PreTokenizer,
    merges: Merges,
    special: SpecialTokens,
}

impl Tokenizer {
    /// Builds the tokenizer that a GGUF file describes.
    ///
    /// # Errors
    /// [`Error::Gguf`] where a table is absent; [`Error::Tokenizer`] where it is of another kind
    /// than byte-level BPE, of an unknown pattern, or contradicts itself.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, Error> {
        Self::new(TokenizerSpec::from_gguf(gguf)?)
    }

    /// Builds the tokenizer from its JSON form, as a provider publishes it. The bytes are foreign:
    /// compare [`Tokenizer::hash`] with the one in the model's identity before trusting the ids.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the bytes are not such a form or contradict themselves.
    pub fn from_spec(json: &[u8]) -> Result<Self, Error> {
        Self::new(TokenizerSpec::from_json(json)?)
    }

    /// Builds the tokenizer that `spec` describes.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where it contradicts itself.
    pub fn new(spec: TokenizerSpec) -> Result<Self, Error> {
        spec.validate()?;
        let bytes = TokenBytes::new(&spec);
        Ok(Self {
            hash: spec.hash()?,
            pre: PreTokenizer::new(&spec.pre)?,
            merges: Merges::new(&spec, &bytes)?,
            special: SpecialTokens::new(&spec),
            bytes,
            spec,
        })
    }

    /// The ids of `text`. Nothing is added: no beginning-of-sequence token (see
    /// [`Tokenizer::prefix`]), no space.
    ///
    /// With `parse_special`, the text of a control token (`<|im_end|>`) becomes that token: right
    /// for a rendered template, wrong for text that a stranger wrote. User-defined tokens are
    /// always recognised, as in llama.cpp.
    #[must_use]
    pub fn encode(&self, text: &str, parse_special: bool) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 1);
        let mut scratch = bpe::Scratch::default();
        for fragment in self.special.split(text, parse_special) {
            match fragment {
                Fragment::Token(id) => ids.push(id),
                Fragment::Text(text) => {
                    for piece in self.pre.split(text) {
                        self.merges.encode(piece.as_bytes(), &mut scratch, &mut ids);
                    }
                }
            }
        }
        ids
    }

    /// The text of `ids`, control tokens by their names. Bytes that are not UTF-8 (a character
    /// whose tokens are cut off) and ids outside the vocabulary become U+FFFD, so that neither
    /// can hide; [`Tokenizer::contains`] tells the latter apart.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for &id in ids {
            match self.contains(id) {
                true => bytes.extend_from_slice(self.token_bytes(id)),
                false => bytes.extend_from_slice("\u{fffd}".as_bytes()),
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    /// The exact bytes of one token, possibly part of a character; a control token's name. Empty
    /// for an id outside the vocabulary: check [`Tokenizer::contains`] first on foreign ids.
    #[must_use]
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id)
    }

    /// Whether `id` is in the vocabulary.
    #[must_use]
    pub fn contains(&self, id: u32) -> bool {
        id < self.vocabulary_size()
    }

    /// How many ids there are; they run from 0.
    #[must_use]
    pub fn vocabulary_size(&self) -> u32 {
        // At most 2^20, by `TokenizerSpec::validate`.
        self.spec.tokens.len() as u32
    }

    /// The token to put before a sequence that no template began, if the model wants one.
    #[must_use]
    pub fn prefix(&self) -> Option<u32> {
        self.spec.bos.filter(|_| self.spec.add_bos)
    }

    /// The beginning-of-sequence token.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.spec.bos
    }

    /// The end-of-sequence token.
    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        self.spec.eos
    }

    /// The tokens that end an answer (end of sequence, of turn, of message), ascending.
    #[must_use]
    pub fn end_of_generation(&self) -> &[u32] {
        &self.spec.end_of_generation
    }

    /// Whether `id` ends an answer.
    #[must_use]
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.spec.end_of_generation.binary_search(&id).is_ok()
    }

    /// Whether `id` is a control token, which has no place in text shown to people.
    #[must_use]
    pub fn is_control(&self, id: u32) -> bool {
        self.spec.control.binary_search(&id).is_ok()
    }

    /// Everything that determines the ids.
    #[must_use]
    pub fn spec(&self) -> &TokenizerSpec {
        &self.spec
    }

    /// The tokenizer's identity: SHA-256 of the canonical JSON of its [`TokenizerSpec`].
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.hash
    }
}
