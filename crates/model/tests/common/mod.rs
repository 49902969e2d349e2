//! The default model, fetched once per machine and shared by all tests.

use std::path::PathBuf;

use vouch_model::source::{ModelSource, default_cache_dir};

/// The path of the default model's file.
pub(crate) fn default_model() -> PathBuf {
    let cache = default_cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    let cache = cache.expect("HOME is set");
    ModelSource::default().fetch(&cache, &mut |_| ()).expect("the default model can be fetched")
}
