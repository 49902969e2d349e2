//! Whether token ids are the text that was given for them.

use alloy_primitives::B256;
use serde::Deserialize;
use serde_json::Value;
use vouch_evidence::Detokenizer;
use vouch_model::{Error, embed::WordPiece, tokenizer::Tokenizer};
use vouch_wire::openai::EmbeddingsInput;

/// A tokenizer of any kind that a model's identity may name.
#[derive(Debug)]
pub enum AnyTokenizer {
    /// Of a model that answers with text.
    Text(Box<Tokenizer>),
    /// Of a model that answers with vectors.
    Vectors(Box<WordPiece>),
}

impl AnyTokenizer {
    /// Builds the tokenizer from its JSON form, as a provider publishes it. The bytes are foreign:
    /// compare [`AnyTokenizer::hash`] with the one in the model's identity.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the bytes are of no known form or contradict themselves.
    pub fn from_spec(json: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Kind {
            model: String,
        }
        let kind = serde_json::from_slice::<Kind>(json);
        if kind.is_ok_and(|kind| kind.model.starts_with("wordpiece")) {
            return WordPiece::from_spec(json).map(Box::new).map(Self::Vectors);
        }
        Tokenizer::from_spec(json).map(Box::new).map(Self::Text)
    }

    /// The tokenizer's identity.
    #[must_use]
    pub fn hash(&self) -> B256 {
        match self {
            Self::Text(tokenizer) => tokenizer.hash(),
            Self::Vectors(tokenizer) => tokenizer.hash(),
        }
    }
}

/// A tokenizer with the answer that it is to be held against.
#[derive(Debug)]
pub struct Recount<'a> {
    tokenizer: &'a AnyTokenizer,
    /// What the response says.
    said: Option<&'a str>,
    /// Whether the answer broke off before its end.
    cut: bool,
}

impl<'a> Recount<'a> {
    /// Holds a tokenizer against a response: OpenAI's object with its one choice, or with vectors.
    #[must_use]
    pub fn new(tokenizer: &'a AnyTokenizer, response: &'a Value) -> Self {
        let choice = response.pointer("/choices/0");
        let said = choice.and_then(|choice| {
            choice.pointer("/message/content").or_else(|| choice.get("text"))?.as_str()
        });
        let cut = choice.is_some_and(|choice| choice["finish_reason"].is_null());
        Self { tokenizer, said, cut }
    }
}

impl Detokenizer for Recount<'_> {
    fn text(&self, ids: &[u32], request: &Value) -> Result<String, String> {
        let AnyTokenizer::Text(tokenizer) = self.tokenizer else {
            return Err("a tokenizer for vectors decodes no text".into());
        };
        let mut bytes = Vec::new();
        for id in ids {
            if !tokenizer.contains(*id) {
                return Err(format!("{id} is not in the vocabulary"));
            }
            if !tokenizer.is_control(*id) {
                bytes.extend_from_slice(tokenizer.token_bytes(*id));
            }
        }
        let stops = stops(request);
        let found = stops.iter().filter_map(|stop| find(&bytes, stop.as_bytes())).min();
        bytes.truncate(found.unwrap_or(bytes.len()));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // An engine holds back what may become a character or a stop string. Where the answer broke
        // off, that much may be missing.
        let held = stops.iter().map(String::len).max().unwrap_or(0).saturating_add(4);
        match self.said {
            Some(said) if self.cut && bytes.len() <= said.len().saturating_add(held) => {
                let begins = text.starts_with(said);
                Ok(if begins { said.to_owned() } else { text })
            }
            _ => Ok(text),
        }
    }

    /// Of texts that became vectors; a chat's template is not applied here.
    fn input_ids(&self, _resource: &str, request: &Value) -> Option<Vec<u32>> {
        let AnyTokenizer::Vectors(tokenizer) = self.tokenizer else { return None };
        let input = EmbeddingsInput::deserialize(request.get("input")?).ok()?;
        Some(input.ids(|text| tokenizer.encode(text)).concat())
    }
}

fn stops(request: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().filter(|stop| !stop.is_empty()).map(str::to_owned);
    match request.get("stop") {
        Some(Value::Array(stops)) => stops.iter().filter_map(text).collect(),
        Some(stop) => text(stop).into_iter().collect(),
        None => Vec::new(),
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
