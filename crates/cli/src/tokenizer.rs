//! Tokenizers that this machine holds, to check that an answer's ids are its text.

use std::path::Path;

use alloy_primitives::B256;
use anyhow::{Context, ensure};
use serde_json::Value;
use vouch_buyer::{AnyTokenizer, Recount, kept_tokenizer};
use vouch_core::bundle::Bundle;
use vouch_model::{
    embed::{Embedder, is_embedding_model},
    gguf::Gguf,
    tokenizer::Tokenizer,
};

/// The tokenizer that a bundle's model identity names.
#[derive(Debug)]
pub(crate) struct Held(AnyTokenizer);

impl Held {
    pub(crate) fn recount<'a>(&'a self, bundle: &'a Bundle) -> Recount<'a> {
        Recount::new(&self.0, &bundle.response)
    }
}

fn named(bundle: &Bundle) -> Option<B256> {
    bundle.model.get("tokenizer").and_then(Value::as_str)?.parse().ok()
}

/// The one that the buyer kept, if it ever dealt with the model.
pub(crate) fn kept(data_dir: &Path, bundle: &Bundle) -> Option<Held> {
    let hash = named(bundle)?;
    kept_tokenizer(&data_dir.join("buyer"), &hash).map(Held)
}

/// The one in a model's file or directory.
pub(crate) fn of_model(file: &Path, bundle: &Bundle) -> anyhow::Result<Held> {
    let hash = named(bundle).context("the bundle's model identity names no tokenizer")?;
    let tokenizer = match is_embedding_model(file) {
        true => {
            let spec = Embedder::open(file, 1)?.tokenizer().spec().to_json()?;
            AnyTokenizer::from_spec(&spec)?
        }
        false => AnyTokenizer::Text(Box::new(Tokenizer::from_gguf(&Gguf::open(file)?)?)),
    };
    ensure!(
        tokenizer.hash() == hash,
        "{} has another tokenizer than the model that the bundle names",
        file.display()
    );
    Ok(Held(tokenizer))
}
