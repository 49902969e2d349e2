//! The buyer's durable state: a journal of facts, the books over it, and the bundles.

mod fits;
mod ledger;
mod raise;
mod record;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use vouch_core::{B256, bundle::Bundle, data_use::DataUse};
use vouch_journal::{Disk, Journal, Options};

use crate::Error;
pub use ledger::Phase;
pub(crate) use ledger::{Channel, Ledger};
pub(crate) use raise::{Raise, RaiseError};
pub(crate) use record::{Call, Deposit, Entry, Opened, Record, most_input};

/// A buyer's calls are few beside a gateway's: small files keep the directory small.
const JOURNAL: Options = Options { segment_bytes: 64 << 20, preallocate_bytes: 1 << 18 };

/// Journal, books and bundles. Facts are durable before they count.
#[derive(Debug)]
pub(crate) struct State {
    journal: Journal,
    pub(crate) ledger: Ledger,
    bundles: PathBuf,
}

impl State {
    /// Opens the state in `dir`, creating it if needed.
    pub(crate) fn open(dir: &Path, total: u128, per_call: u128) -> Result<Self, Error> {
        let journal = Journal::open(&dir.join("journal"), JOURNAL)?.0;
        Self::replay(journal, dir, total, per_call)
    }

    /// As [`State::open`], with the journal on any disk.
    pub(crate) fn open_on(
        disk: Box<dyn Disk>,
        dir: &Path,
        total: u128,
        per_call: u128,
    ) -> Result<Self, Error> {
        Self::replay(Journal::open_on(disk, JOURNAL)?.0, dir, total, per_call)
    }

    fn replay(journal: Journal, dir: &Path, total: u128, per_call: u128) -> Result<Self, Error> {
        let bundles = dir.join("bundles");
        fs::create_dir_all(&bundles).map_err(Error::io("create", &bundles))?;
        let mut ledger = Ledger::default();
        let mut records = 0u64;
        for record in journal.iter() {
            let record = serde_json::from_slice(&record?.1)
                .map_err(|error| Error::State(format!("record {records}: {error}")))?;
            if records == 0 && !matches!(record, Record::Format(_)) {
                return Err(Error::State("it does not begin with its format".into()));
            }
            ledger.apply(record).map_err(Error::State)?;
            records += 1;
        }
        let mut state = Self { journal, ledger, bundles };
        if records == 0 {
            state.commit([Record::Format(record::FORMAT)])?;
        }
        state.ledger.budget = state.ledger.budget.with_caps(total, per_call);
        Ok(state)
    }

    /// Makes facts durable, all of them in one sync, then lets them count. If this fails, nothing
    /// that they would allow may leave the machine.
    pub(crate) fn commit(
        &mut self,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<(), Error> {
        let records: Vec<_> = records.into_iter().collect();
        for record in &records {
            self.ledger.check(record).map_err(Error::State)?;
        }
        for record in &records {
            let bytes =
                serde_json::to_vec(record).map_err(|error| Error::State(error.to_string()))?;
            self.journal.append(&bytes)?;
        }
        self.journal.sync()?;
        records.into_iter().try_for_each(|record| self.ledger.apply(record).map_err(Error::State))
    }

    /// Where a receipt's bundle is.
    pub(crate) fn bundle_path(&self, digest: &B256) -> PathBuf {
        self.bundles.join(format!("{digest}.json"))
    }

    /// Keeps a bundle: whole under its name or not at all, and durable.
    pub(crate) fn write_bundle(&self, bundle: &Bundle) -> Result<PathBuf, Error> {
        let path = self.bundle_path(&bundle.receipt.digest());
        let json = serde_json::to_vec_pretty(bundle).map_err(|e| Error::State(e.to_string()))?;
        write_durably(&path, &json)?;
        Ok(path)
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
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
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
            std::io::ErrorKind::NotFound => Error::NotFound { what: "bundle", id: *digest },
            _ => Error::io("read", &path)(source),
        })?;
        vouch_evidence::read(&text)
            .map_err(|error| Error::State(format!("{}: {error}", path.display())))
    }
}

/// Writes a file whole under its name or not at all, and durable; makes its directory.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    // A name of its own: two tasks may keep the same document at once.
    static STAGED: AtomicU64 = AtomicU64::new(0);
    let staging = path.with_extension(format!("{}.tmp", STAGED.fetch_add(1, Relaxed)));
    let written = fs::File::create(&staging).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(Error::io("write", &staging))?;
    fs::rename(&staging, path).map_err(Error::io("create", path))?;
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}

#[cfg(test)]
mod tests;
