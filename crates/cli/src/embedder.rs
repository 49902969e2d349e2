//! The embedding model of this machine: for sale, for indexes, for questions and for training.

use std::{path::PathBuf, sync::Arc};

use alloy_primitives::B256;
use anyhow::ensure;
use vouch_data::{Embed, EmbedError};
use vouch_model::{
    embed::{self, is_embedding_model},
    source::DEFAULT_EMBEDDING,
};

use crate::provider::models::fetch;

/// An embedding model, ready. Copies share its weights.
#[derive(Debug, Clone)]
pub(crate) struct Embedder {
    path: PathBuf,
    model: Arc<embed::Embedder>,
}

impl Embedder {
    /// The default one, fetched if it is not here.
    pub(crate) async fn open() -> anyhow::Result<Self> {
        Self::open_or(None).await
    }

    /// The default one: `sold` where it is that, so that its weights are in memory once.
    pub(crate) async fn open_or(sold: Option<Self>) -> anyhow::Result<Self> {
        let path = fetch(DEFAULT_EMBEDDING).await?;
        match sold {
            Some(sold) if sold.path == path.canonicalize()? => Ok(sold),
            _ => Self::load(path, 0).await,
        }
    }

    /// The one that a source names, on this many threads; 0 for all.
    pub(crate) async fn open_source(source: &str, threads: usize) -> anyhow::Result<Self> {
        let path = fetch(source).await?;
        ensure!(
            is_embedding_model(&path),
            "{} is no embedding model: give the directory of one, or {DEFAULT_EMBEDDING}",
            path.display()
        );
        Self::load(path, threads).await
    }

    async fn load(path: PathBuf, threads: usize) -> anyhow::Result<Self> {
        let path = path.canonicalize()?;
        let opened = tokio::task::spawn_blocking(move || {
            embed::Embedder::open(&path, threads).map(|model| (path, Arc::new(model)))
        });
        let (path, model) = opened.await??;
        Ok(Self { path, model })
    }

    /// The model itself, to be sold.
    pub(crate) fn model(&self) -> Arc<embed::Embedder> {
        Arc::clone(&self.model)
    }

    /// Its identity: vectors of two models cannot be compared.
    pub(crate) fn identity(&self) -> anyhow::Result<B256> {
        Ok(self.model.entry().identity.hash()?)
    }

    pub(crate) fn dimensions(&self) -> usize {
        self.model.dimensions()
    }
}

impl Embed for Embedder {
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(self.model.embed(texts)?)
    }
}
