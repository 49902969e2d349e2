//! What a model's files hold: they come from anyone.

use serde_json::{Map, json};
use vouch_model::{Gguf, template::ChatTemplate, tokenizer::Tokenizer};

use crate::text;

pub(crate) fn gguf(bytes: &[u8]) {
    if let Ok(gguf) = Gguf::from_bytes("fuzz", bytes.to_vec())
        && let Ok(tokenizer) = Tokenizer::from_gguf(&gguf)
    {
        let _template = ChatTemplate::from_gguf(&gguf, &tokenizer);
    }
}

pub(crate) fn tokenizer(bytes: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_spec(bytes) {
        let _text = tokenizer.decode(&[0, 1, u32::MAX]);
    }
    if let Some(Ok(template)) = text(bytes).map(|source| ChatTemplate::new(source, "<s>", "</s>")) {
        let messages = json!([{ "role": "user", "content": "Hello" }]);
        let _prompt = template.render(&messages, true, &Map::new());
    }
}
