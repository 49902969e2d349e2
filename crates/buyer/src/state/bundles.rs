//! Files of evidence. A receipt's bundle is a view: until it is logged the journal holds it too.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use vouch_core::{B256, bundle::Bundle, data_use::DataUse};
use vouch_journal::Position;

use super::{Record, State};
use crate::Error;

/// A larger bundle is no part of a record, which has a limit, but a file that is synced.
const MOST_RECORDED_BYTES: usize = 16 << 20;

impl State {
    /// Where a receipt's bundle is.
    pub(crate) fn bundle_path(&self, digest: &B256) -> PathBuf {
        self.bundles.join(format!("{digest}.json"))
    }

    /// Files a new receipt's bundle: whole under its name or not at all. The record, to be committed
    /// with the receipt's, is what makes it durable; there is none where the file is so by itself.
    pub(crate) fn file_bundle(&self, bundle: &Bundle) -> Result<(PathBuf, Option<Record>), Error> {
        let digest = bundle.receipt.digest();
        let (path, text) = (self.bundle_path(&digest), text(bundle)?);
        if text.len() > MOST_RECORDED_BYTES {
            write_durably(&path, text.as_bytes())?;
            return Ok((path, None));
        }
        place(&path, text.as_bytes(), false)?;
        Ok((path, Some(Record::Bundle { digest, text })))
    }

    /// Keeps a bundle that has grown, durably.
    pub(crate) fn write_bundle(&self, bundle: &Bundle) -> Result<(), Error> {
        write_durably(&self.bundle_path(&bundle.receipt.digest()), text(bundle)?.as_bytes())
    }

    /// Writes the bundles again that a crash has taken or torn. One that is logged was synced with
    /// its place in the log before the journal said so, and is left alone.
    pub(super) fn restore_bundles(&self, unlogged: &BTreeMap<B256, Position>) -> Result<(), Error> {
        for (digest, position) in unlogged {
            let record = serde_json::from_slice(&self.journal.read(*position)?);
            let Ok(Record::Bundle { text, .. }) = record else {
                return Err(Error::State(format!("the record of bundle {digest} is none")));
            };
            let path = self.bundle_path(digest);
            let found = match fs::read(&path) {
                Err(source) if source.kind() == ErrorKind::NotFound => Vec::new(),
                found => found.map_err(Error::io("read", &path))?,
            };
            if found != text.as_bytes() && !grew(&text, &found) {
                tracing::info!(%digest, "a crash took a bundle: it is written again");
                place(&path, text.as_bytes(), false)?;
            }
        }
        Ok(())
    }

    fn uses_path(&self, digest: &B256) -> PathBuf {
        self.bundles.join(format!("uses-{digest}.json"))
    }

    /// Keeps the uses of data in an answer beside its bundle.
    pub(crate) fn write_uses(&self, digest: &B256, uses: &[DataUse]) -> Result<(), Error> {
        let json = serde_json::to_vec_pretty(uses).map_err(|e| Error::State(e.to_string()))?;
        write_durably(&self.uses_path(digest), &json)
    }

    /// The uses of data in an answer; none where none are kept.
    pub(crate) fn read_uses(&self, digest: &B256) -> Result<Vec<DataUse>, Error> {
        let path = self.uses_path(digest);
        match fs::read(&path) {
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(Error::io("read", &path)(source)),
            Ok(json) => serde_json::from_slice(&json)
                .map_err(|error| Error::State(format!("{}: {error}", path.display()))),
        }
    }

    /// Keeps evidence that is no bundle.
    pub(crate) fn write_evidence(&self, name: &str, json: &[u8]) -> Result<PathBuf, Error> {
        let path = self.bundles.join(format!("evidence-{name}.json"));
        write_durably(&path, json)?;
        Ok(path)
    }

    /// Reads a bundle back.
    pub(crate) fn read_bundle(&self, digest: &B256) -> Result<Bundle, Error> {
        let path = self.bundle_path(digest);
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::NotFound { what: "bundle", id: *digest },
            _ => Error::io("read", &path)(source),
        })?;
        vouch_evidence::read(&text)
            .map_err(|error| Error::State(format!("{}: {error}", path.display())))
    }
}

fn text(bundle: &Bundle) -> Result<String, Error> {
    serde_json::to_string_pretty(bundle).map_err(|error| Error::State(error.to_string()))
}

/// Whether what was found is the recorded bundle with what was added since.
pub(super) fn grew(recorded: &str, found: &[u8]) -> bool {
    let recorded = vouch_evidence::read(recorded).ok();
    let found = std::str::from_utf8(found).ok();
    let found = found.and_then(|found| vouch_evidence::read(found).ok());
    found.is_some_and(|found| Some(Bundle { log: None, anchor: None, ..found }) == recorded)
}

/// Writes a file whole under its name or not at all, and durable; makes its directory.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    place(path, bytes, true)
}

fn place(path: &Path, bytes: &[u8], durable: bool) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    // A name of its own: two tasks may keep the same document at once.
    static STAGED: AtomicU64 = AtomicU64::new(0);
    let staging = path.with_extension(format!("{}.tmp", STAGED.fetch_add(1, Relaxed)));
    let written = fs::File::create(&staging).and_then(|mut file| {
        file.write_all(bytes)?;
        if durable { file.sync_all() } else { Ok(()) }
    });
    written.map_err(Error::io("write", &staging))?;
    fs::rename(&staging, path).map_err(Error::io("create", path))?;
    if !durable {
        return Ok(());
    }
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}
