//! `vouch model`: what there is to run, and what determines a run.

use std::path::Path;

use serde_json::json;
use vouch_model::{
    embed::{Embedder, is_embedding_model},
    entry::{ARITHMETIC_EXACT, ModelEntry},
    gguf::Gguf,
};

use crate::{arguments::Model, output::Output, provider::models::fetch};

pub(crate) async fn run(arguments: Model, output: Output) -> anyhow::Result<()> {
    match arguments {
        Model::Fetch { source } => {
            let path = fetch(&source).await?;
            output.answer(&json!({ "path": path }), || path.display().to_string())
        }
        Model::Show { source } => show(&fetch(&source).await?, output),
    }
}

fn show(path: &Path, output: Output) -> anyhow::Result<()> {
    let entry = match is_embedding_model(path) {
        true => Embedder::open(path, 1)?.entry().clone(),
        false => ModelEntry::from_gguf(path, &Gguf::open(path)?, ARITHMETIC_EXACT)?,
    };
    let hash = entry.identity.hash()?;
    let value = json!({ "hash": hash, "identity": entry.identity, "card": entry.card });
    output.answer(&value, || {
        let identity = &entry.identity;
        let files = identity.files.iter().map(|file| format!("\n  file          {} {}", file.sha256, file.name));
        let optional = |hash: Option<alloy_primitives::B256>| hash.map_or_else(|| "none".into(), |hash| hash.to_string());
        format!(
            "{}\n  identity      {hash}{}\n  architecture  {}, {}\n  tokenizer     {}\n  template      {}\n  arithmetic    {}",
            entry.card.name,
            files.collect::<String>(),
            identity.architecture,
            identity.quantisation,
            optional(identity.tokenizer),
            optional(identity.template),
            identity.arithmetic,
        )
    })
}
