//! The model that turns texts into vectors.

use alloy_primitives::B256;
use vouch_data::Embed;

/// An embedding model, ready.
pub(super) struct Embedder {
    /// Its identity: vectors of two models cannot be compared.
    pub(super) model: B256,
    pub(super) dimensions: usize,
    pub(super) embed: Box<dyn Embed>,
}

/// The default embedding model.
pub(super) fn embedder() -> anyhow::Result<Embedder> {
    anyhow::bail!("this build has no embedding model: use one that has, to index or to train")
}
