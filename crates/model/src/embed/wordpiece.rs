//! Turns text into ids by WordPiece, as BERT's uncased models have it, equal to crate `tokenizers`.
//!
//! Written here because the crate brings many others and its own Unicode tables; a word is
//! looked up by its longest known beginning, then the rest by its longest continuation (`##`).
//! A text is read only as far as its ids are kept, so no text can take long.

use std::collections::HashMap;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::unicode::{Piece, clean};
use crate::Error;

const MAX_TOKENS: usize = 1 << 20;
const MAX_TOKEN_BYTES: usize = 256;
const MAX_WORD_CHARS: u32 = 256;
const MAX_JSON_BYTES: usize = 64 << 20;
/// How the ids of text are determined, apart from the vocabulary: this module and its tables.
const MODEL: &str = "wordpiece-bert-uncased/1";

/// Everything that determines a tokenizer's ids. Two specs with one hash tokenize alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordPieceSpec {
    /// Format of this document: 1.
    pub version: u32,
    /// `wordpiece-bert-uncased/1`.
    pub model: String,
    /// Token texts by id; those inside of words begin with `##`.
    pub tokens: Vec<String>,
    /// Ids of tokens that are recognised in text by their names, ascending.
    pub special: Vec<u32>,
    /// Put before each text.
    pub first: u32,
    /// Put behind each text.
    pub last: u32,
    /// Stands for a word that cannot be spelled.
    pub unknown: u32,
    /// Longer words, in characters, are unknown.
    pub max_word_chars: u32,
    /// The most ids of a text, the two around it included; the rest is cut off.
    pub max_tokens: u32,
}

/// A sentence encoder's tokenizer. Immutable: share it between threads behind an `Arc`.
#[derive(Debug)]
pub struct WordPiece {
    spec: WordPieceSpec,
    hash: B256,
    beginnings: Vocabulary,
    continuations: Vocabulary,
    special: Vec<(String, u32)>,
}

#[derive(Debug, Default)]
struct Vocabulary {
    ids: HashMap<Box<str>, u32>,
    longest_bytes: usize,
}

impl WordPiece {
    /// Builds the tokenizer that Hugging Face's `tokenizer.json` describes.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where it is not BERT's uncased WordPiece.
    pub(super) fn from_tokenizer_json(json: &[u8], max_tokens: u32) -> Result<Self, Error> {
        Self::new(hugging_face::spec(json, max_tokens)?)
    }

    /// Builds the tokenizer from its JSON form, as a provider publishes it. The bytes are foreign:
    /// compare [`WordPiece::hash`] with the one in the model's identity before trusting the ids.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the bytes are not such a form or contradict themselves.
    pub fn from_spec(json: &[u8]) -> Result<Self, Error> {
        if json.len() > MAX_JSON_BYTES {
            return Err(refuse(format!("is {} bytes, above the limit of 64 MiB", json.len())));
        }
        let spec = serde_json::from_slice(json)
            .map_err(|error| refuse(format!("is not a WordPiece spec: {error}")))?;
        Self::new(spec)
    }

    /// Builds the tokenizer that `spec` describes.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where it contradicts itself.
    pub fn new(spec: WordPieceSpec) -> Result<Self, Error> {
        spec.validate()?;
        let mut beginnings = Vocabulary::default();
        let mut continuations = Vocabulary::default();
        for (id, token) in (0u32..).zip(&spec.tokens) {
            // A word never holds `##`: it is cut at punctuation.
            match token.strip_prefix("##") {
                Some(rest) => continuations.insert(rest, id),
                None => beginnings.insert(token, id),
            }
        }
        let special = spec.special.iter().map(|id| (spec.tokens[*id as usize].clone(), *id));
        let special = special.collect();
        Ok(Self { hash: spec.hash()?, beginnings, continuations, special, spec })
    }

    /// The ids of `text`, with those around it, cut to the most that the model takes. The name of
    /// a special token, such as `[SEP]`, becomes that token, as in the reference.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let limit = self.spec.max_tokens as usize - 1;
        let mut ids = vec![self.spec.first];
        let mut rest = text;
        while ids.len() < limit && !rest.is_empty() {
            let (before, special, after) = self.next_special(rest);
            self.encode_fragment(before, limit, &mut ids);
            ids.extend(special);
            rest = after;
        }
        ids.truncate(limit);
        ids.push(self.spec.last);
        ids
    }

    /// The text before the next special token, that token, and the text behind.
    fn next_special<'a>(&self, text: &'a str) -> (&'a str, Option<u32>, &'a str) {
        for (start, _) in text.match_indices('[') {
            let found = self.special.iter().find(|(name, _)| text[start..].starts_with(name));
            if let Some((name, id)) = found {
                return (&text[..start], Some(*id), &text[start + name.len()..]);
            }
        }
        (text, None, "")
    }

    fn encode_fragment(&self, text: &str, limit: usize, ids: &mut Vec<u32>) {
        let mut word = Word::default();
        for char in text.chars() {
            clean(char, |piece| match piece {
                Piece::Letter(char) => word.push(char, self.spec.max_word_chars),
                Piece::Space => self.take(&mut word, ids),
                Piece::Single(char) => {
                    self.take(&mut word, ids);
                    word.push(char, self.spec.max_word_chars);
                    self.take(&mut word, ids);
                }
            });
            if ids.len() >= limit {
                return;
            }
        }
        self.take(&mut word, ids);
    }

    /// Adds the ids of a word and empties it.
    fn take(&self, word: &mut Word, ids: &mut Vec<u32>) {
        let start = ids.len();
        let mut rest = word.text.as_str();
        let mut spelled = word.chars <= self.spec.max_word_chars;
        while spelled && !rest.is_empty() {
            let is_first = rest.len() == word.text.len();
            let known = if is_first { &self.beginnings } else { &self.continuations };
            spelled = match known.longest(rest) {
                Some((length, id)) => {
                    ids.push(id);
                    rest = &rest[length..];
                    true
                }
                None => false,
            };
        }
        if !spelled {
            ids.truncate(start);
            ids.push(self.spec.unknown);
        }
        word.text.clear();
        word.chars = 0;
    }

    /// Checks ids that a caller gives instead of text.
    ///
    /// # Errors
    /// [`Error::Request`] where there are none, too many, or one outside the vocabulary.
    pub fn check(&self, ids: &[u32]) -> Result<(), Error> {
        let limit = self.spec.max_tokens as usize;
        if ids.is_empty() || ids.len() > limit {
            return Err(Error::Request(format!(
                "an input has {} token ids; 1 to {limit} are taken",
                ids.len()
            )));
        }
        match ids.iter().find(|id| **id >= self.vocabulary_size()) {
            None => Ok(()),
            Some(id) => Err(Error::Request(format!(
                "token id {id} is not in the vocabulary of {}",
                self.vocabulary_size()
            ))),
        }
    }

    /// How many ids there are; they run from 0.
    #[must_use]
    pub fn vocabulary_size(&self) -> u32 {
        self.spec.tokens.len() as u32 // at most 2^20, by `WordPieceSpec::validate`
    }

    /// Everything that determines the ids.
    #[must_use]
    pub fn spec(&self) -> &WordPieceSpec {
        &self.spec
    }

    /// The tokenizer's identity: SHA-256 of the canonical JSON of its [`WordPieceSpec`].
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.hash
    }
}

/// A word as it is read; of one that is too long, only its length.
#[derive(Debug, Default)]
struct Word {
    text: String,
    chars: u32,
}

impl Word {
    fn push(&mut self, char: char, max_chars: u32) {
        self.chars = self.chars.saturating_add(1);
        if self.chars <= max_chars {
            self.text.push(char);
        }
    }
}

impl Vocabulary {
    fn insert(&mut self, token: &str, id: u32) {
        self.ids.insert(token.into(), id);
        self.longest_bytes = self.longest_bytes.max(token.len());
    }

    /// The longest beginning of `text` that is known: its length and id.
    fn longest(&self, text: &str) -> Option<(usize, u32)> {
        let longest = self.longest_bytes.min(text.len());
        let mut lengths = (1..=longest).rev().filter(|length| text.is_char_boundary(*length));
        lengths.find_map(|length| Some((length, *self.ids.get(&text[..length])?)))
    }
}

impl WordPieceSpec {
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
    /// As [`WordPieceSpec::to_json`].
    pub fn hash(&self) -> Result<B256, Error> {
        Ok(B256::new(Sha256::digest(self.to_json()?).into()))
    }

    fn validate(&self) -> Result<(), Error> {
        let in_vocabulary = |id: &u32| (*id as usize) < self.tokens.len();
        if self.version != 1 || self.model != MODEL {
            return Err(refuse(format!("is of kind {:.40?}; {MODEL} is read", self.model)));
        }
        if !(1..=MAX_TOKENS).contains(&self.tokens.len())
            || self.tokens.iter().any(|token| token.len() > MAX_TOKEN_BYTES)
        {
            return Err(refuse("has too many tokens, none, or one that is too long".into()));
        }
        if !self.special.iter().chain([&self.first, &self.last, &self.unknown]).all(in_vocabulary) {
            return Err(refuse("names a token that its vocabulary lacks".into()));
        }
        let names = self.special.iter().map(|id| &self.tokens[*id as usize]);
        if !names.clone().all(|name| name.starts_with('[') && name.len() > 1) {
            return Err(refuse("has a special token whose name does not begin with [".into()));
        }
        if !(3..=1 << 16).contains(&self.max_tokens)
            || !(1..=MAX_WORD_CHARS).contains(&self.max_word_chars)
        {
            return Err(refuse("has limits that make no sense".into()));
        }
        Ok(())
    }
}

fn refuse(detail: String) -> Error {
    Error::Tokenizer(detail)
}

/// `tokenizer.json`, of which one setting is read and every other refused.
mod hugging_face {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::{MAX_TOKENS, MODEL, WordPieceSpec, refuse};
    use crate::Error;

    #[derive(Deserialize)]
    struct File {
        added_tokens: Vec<Added>,
        normalizer: Value,
        pre_tokenizer: Value,
        post_processor: Processor,
        model: Model,
    }

    #[derive(Deserialize)]
    struct Added {
        id: u32,
        content: String,
        special: bool,
        single_word: bool,
        lstrip: bool,
        rstrip: bool,
        normalized: bool,
    }

    #[derive(Deserialize)]
    struct Processor {
        single: Value,
    }

    #[derive(Deserialize)]
    struct Model {
        #[serde(rename = "type")]
        kind: String,
        unk_token: String,
        continuing_subword_prefix: String,
        max_input_chars_per_word: u32,
        vocab: BTreeMap<String, u32>,
    }

    pub(super) fn spec(json: &[u8], max_tokens: u32) -> Result<WordPieceSpec, Error> {
        let file: File = serde_json::from_slice(json)
            .map_err(|error| refuse(format!("cannot be read from tokenizer.json: {error}")))?;
        let normalizer = json!({"type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": true, "strip_accents": null, "lowercase": true});
        let around = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
        let single =
            json!([around("[CLS]"), {"Sequence": {"id": "A", "type_id": 0}}, around("[SEP]")]);
        let plain = |added: &Added| {
            added.special
                && !(added.single_word || added.lstrip || added.rstrip || added.normalized)
        };
        if file.normalizer != normalizer
            || file.pre_tokenizer != json!({"type": "BertPreTokenizer"})
            || file.post_processor.single != single
            || file.model.kind != "WordPiece"
            || file.model.continuing_subword_prefix != "##"
            || !file.added_tokens.iter().all(plain)
        {
            return Err(refuse("is not BERT's uncased WordPiece, which alone is read".into()));
        }
        let tokens = tokens(&file.model.vocab)?;
        let id = |name: &str| {
            let id = file.model.vocab.get(name).copied();
            id.ok_or_else(|| refuse(format!("lacks the token {name:.40}")))
        };
        for added in &file.added_tokens {
            if id(&added.content)? != added.id {
                return Err(refuse("gives a special token two ids".into()));
            }
        }
        let mut special: Vec<u32> = file.added_tokens.iter().map(|added| added.id).collect();
        special.sort_unstable();
        Ok(WordPieceSpec {
            version: 1,
            model: MODEL.into(),
            special,
            first: id("[CLS]")?,
            last: id("[SEP]")?,
            unknown: id(&file.model.unk_token)?,
            max_word_chars: file.model.max_input_chars_per_word,
            max_tokens,
            tokens,
        })
    }

    /// The tokens in the order of their ids, which must run from 0.
    fn tokens(vocabulary: &BTreeMap<String, u32>) -> Result<Vec<String>, Error> {
        let mut by_id: Vec<(u32, &String)> =
            vocabulary.iter().map(|(token, id)| (*id, token)).collect();
        by_id.sort_unstable();
        let contiguous = (0u32..).zip(&by_id).all(|(index, (id, _))| index == *id);
        match contiguous && by_id.len() <= MAX_TOKENS {
            true => Ok(by_id.into_iter().map(|(_, token)| token.clone()).collect()),
            false => Err(refuse("has ids that do not run from 0".into())),
        }
    }
}
