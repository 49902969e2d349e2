//! The embedding model of this machine, as `data` wants it: for indexes, questions and training.

use std::sync::Arc;

use alloy_primitives::B256;
use vouch_data::{Embed, EmbedError};
use vouch_model::{embed, source::DEFAULT_EMBEDDING};

use crate::provider::models::fetch;

/// An embedding model, ready.
#[derive(Debug, Clone)]
pub(crate) struct Embedder(Arc<embed::Embedder>);

impl Embedder {
    /// The default one, fetched if it is not here.
    pub(crate) async fn open() -> anyhow::Result<Self> {
        let path = fetch(DEFAULT_EMBEDDING).await?;
        let opened = tokio::task::spawn_blocking(move || embed::Embedder::open(&path, 0));
        Ok(Self(Arc::new(opened.await??)))
    }

    /// Its identity: vectors of two models cannot be compared.
    pub(crate) fn identity(&self) -> anyhow::Result<B256> {
        Ok(self.0.entry().identity.hash()?)
    }

    pub(crate) fn dimensions(&self) -> usize {
        self.0.dimensions()
    }
}

impl Embed for Embedder {
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(self.0.embed(texts)?)
    }
}
