//! The default models, fetched once per machine and shared by all tests.

use std::path::PathBuf;

use vouch_model::source::{DEFAULT_EMBEDDING, ModelSource, default_cache_dir};

/// The path of the default model's file.
#[allow(dead_code, reason = "each test file uses what it needs")]
pub(crate) fn default_model() -> PathBuf {
    let cache = default_cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    let cache = cache.expect("HOME is set");
    ModelSource::default().fetch(&cache, &mut |_| ()).expect("the default model can be fetched")
}

/// The directory of the embedding model.
#[allow(dead_code, reason = "each test file uses what it needs")]
pub(crate) fn embedding_model() -> PathBuf {
    let cache = default_cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    let cache = cache.expect("HOME is set");
    let source: ModelSource = DEFAULT_EMBEDDING.parse().expect("it is known");
    source.fetch(&cache, &mut |_| ()).expect("the embedding model can be fetched")
}
