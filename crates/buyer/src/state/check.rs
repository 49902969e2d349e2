//! Bundles held against the journal that recorded them.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use vouch_journal::Journal;

use super::{Record, bundles::grew, write_durably};
use crate::Error;

/// A bundle that is not as the buyer's journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amiss {
    /// Its file.
    pub path: PathBuf,
    /// Missing, or else changed.
    pub missing: bool,
    /// The receipt was logged: the file had its place in the log too, which the journal has not.
    pub logged: bool,
}

/// Holds the files in `bundles` against a buyer's journal, and with `rebuild` writes those that
/// differ as they were recorded. Bundles that are too large for a record are in their file alone,
/// and not checked.
///
/// # Errors
/// [`Error::Journal`], [`Error::State`] if a record is no buyer's, [`Error::Io`].
pub fn check(journal: &Journal, bundles: &Path, rebuild: bool) -> Result<Vec<Amiss>, Error> {
    let mut logged = std::collections::BTreeSet::new();
    for (number, item) in journal.iter().enumerate() {
        if let Record::Logged { digest } = record(number, &item?.1)? {
            logged.insert(digest);
        }
    }
    let mut amiss = Vec::new();
    for (number, item) in journal.iter().enumerate() {
        let Record::Bundle { digest, text } = record(number, &item?.1)? else { continue };
        let path = bundles.join(format!("{digest}.json"));
        let found = match fs::read(&path) {
            Err(source) if source.kind() == ErrorKind::NotFound => None,
            found => Some(found.map_err(Error::io("read", &path))?),
        };
        let same = |found: &Vec<u8>| found == text.as_bytes() || grew(&text, found);
        if found.as_ref().is_some_and(same) {
            continue;
        }
        if rebuild {
            write_durably(&path, text.as_bytes())?;
        }
        amiss.push(Amiss { path, missing: found.is_none(), logged: logged.contains(&digest) });
    }
    Ok(amiss)
}

fn record(number: usize, bytes: &[u8]) -> Result<Record, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::State(format!("record {number}: {error}")))
}
