//! The models on sale: exact engines over files, or somebody's server.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use vouch_core::money::Prices;
use vouch_gateway::{ModelConfig, ModelEngine, TokenizerDocument};
use vouch_model::{
    embed::is_embedding_model,
    exact::{ExactEngine, ExactOptions},
    source::{DEFAULT, ModelSource, Progress, default_cache_dir},
    upstream::{UpstreamEngine, UpstreamOptions},
};

use crate::{arguments::Sale, embedder::Embedder, money::Dollars};

/// Dollars for a million tokens, where nothing is said: some small models' market price.
const PRICE_INPUT: Dollars = Dollars(100_000);
const PRICE_OUTPUT: Dollars = Dollars(400_000);
const PRICE_EMBEDDING: Dollars = Dollars(20_000);

/// Loads what is on sale: a model that answers, and one that embeds where it is asked for.
/// The latter is returned beside them, for whoever else needs it.
pub(crate) async fn load(sale: &Sale) -> anyhow::Result<(Vec<ModelConfig>, Option<Embedder>)> {
    let mut models = vec![generator(sale).await?];
    let Some(source) = &sale.embedding_model else { return Ok((models, None)) };
    let embedder = Embedder::open_source(source, sale.threads.unwrap_or(0)).await?;
    models.push(embedding(&embedder, sale)?);
    Ok((models, Some(embedder)))
}

async fn generator(sale: &Sale) -> anyhow::Result<ModelConfig> {
    let input = sale.price_input.unwrap_or(PRICE_INPUT).0;
    let output = sale.price_output.unwrap_or(PRICE_OUTPUT).0;
    let prices = Prices { input, cached: input, output, request: 0 };
    match &sale.upstream {
        Some(url) => upstream(url, sale, prices),
        None => exact(sale, prices).await,
    }
}

fn upstream(url: &str, sale: &Sale, prices: Prices) -> anyhow::Result<ModelConfig> {
    let name = sale.upstream_model.clone();
    let name =
        name.context("--upstream needs --upstream-model, the upstream's name for the model")?;
    let mut options = UpstreamOptions::new(url, &name);
    options.api_key.clone_from(&sale.upstream_key);
    let engine = Arc::new(UpstreamEngine::new(options)?);
    let engine = ModelEngine::Generator(engine);
    Ok(ModelConfig { name, engine, prices, tokenizer: None })
}

async fn exact(sale: &Sale, prices: Prices) -> anyhow::Result<ModelConfig> {
    let path = fetch(sale.model.as_deref().unwrap_or(DEFAULT)).await?;
    ensure!(
        !is_embedding_model(&path),
        "{} gives vectors, not text: sell it by --embedding-model",
        path.display()
    );
    let options = ExactOptions { threads: sale.threads.unwrap_or(0), ..ExactOptions::default() };
    let engine = tokio::task::spawn_blocking(move || ExactEngine::open(&path, &options)).await??;
    let tokenizer = TokenizerDocument {
        sha256: engine.tokenizer().hash(),
        json: engine.tokenizer().spec().to_json()?.into(),
    };
    let name = vouch_model::Engine::entry(&engine).card.name.clone();
    let engine = ModelEngine::Generator(Arc::new(engine));
    Ok(ModelConfig { name, engine, prices, tokenizer: Some(tokenizer) })
}

fn embedding(embedder: &Embedder, sale: &Sale) -> anyhow::Result<ModelConfig> {
    let input = sale.price_embedding.unwrap_or(PRICE_EMBEDDING).0;
    let prices = Prices { input, cached: input, output: 0, request: 0 };
    let model = embedder.model();
    let tokenizer = TokenizerDocument {
        sha256: model.tokenizer().hash(),
        json: model.tokenizer().spec().to_json()?.into(),
    };
    let name = model.entry().card.name.clone();
    let engine = ModelEngine::Embedder(model);
    Ok(ModelConfig { name, engine, prices, tokenizer: Some(tokenizer) })
}

/// The model's file, fetched if it is not here; a bar shows on a terminal how far it is.
pub(crate) async fn fetch(source: &str) -> anyhow::Result<PathBuf> {
    let source: ModelSource = source.parse()?;
    let cache = default_cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    let cache =
        cache.context("no place for models: set XDG_CACHE_HOME or HOME to an absolute path")?;
    let path = tokio::task::spawn_blocking(move || {
        let bar = ProgressBar::new(0);
        if let Ok(style) =
            ProgressStyle::with_template("  model {bar:30} {bytes}/{total_bytes} {eta}")
        {
            bar.set_style(style);
        }
        let path = source.fetch(&cache, &mut |Progress { done_bytes, total_bytes }| {
            bar.set_length(total_bytes);
            bar.set_position(done_bytes);
        });
        bar.finish_and_clear();
        path
    });
    Ok(path.await??)
}
