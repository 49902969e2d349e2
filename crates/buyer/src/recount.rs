//! Whether token ids are the text that was given for them.

use serde_json::Value;
use vouch_evidence::Detokenizer;
use vouch_model::tokenizer::Tokenizer;

/// A tokenizer with the answer that it is to be held against.
#[derive(Debug)]
pub struct Recount<'a> {
    tokenizer: &'a Tokenizer,
    /// What the response says.
    said: Option<&'a str>,
    /// Whether the answer broke off before its end.
    cut: bool,
}

impl<'a> Recount<'a> {
    /// Holds a tokenizer against a response, OpenAI's object with its one choice.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, response: &'a Value) -> Self {
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
        let mut bytes = Vec::new();
        for id in ids {
            if !self.tokenizer.contains(*id) {
                return Err(format!("{id} is not in the vocabulary"));
            }
            if !self.tokenizer.is_control(*id) {
                bytes.extend_from_slice(self.tokenizer.token_bytes(*id));
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
