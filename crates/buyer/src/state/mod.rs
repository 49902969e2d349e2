//! The buyer's durable state: a journal of facts, the books over it, and the bundles.

mod bundles;
mod check;
mod fits;
mod ledger;
mod raise;
mod record;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use vouch_journal::{Disk, Journal, Options};

use crate::Error;
pub(crate) use bundles::write_durably;
pub use check::{Amiss, check};
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
        let mut unlogged = BTreeMap::new();
        let mut records = 0u64;
        for record in journal.iter() {
            let (position, bytes) = record?;
            let record = serde_json::from_slice(&bytes)
                .map_err(|error| Error::State(format!("record {records}: {error}")))?;
            if records == 0 && !matches!(record, Record::Format(_)) {
                return Err(Error::State("it does not begin with its format".into()));
            }
            match record {
                Record::Bundle { digest, .. } => drop(unlogged.insert(digest, position)),
                Record::Logged { digest } => drop(unlogged.remove(&digest)),
                _ => {}
            }
            ledger.apply(record).map_err(Error::State)?;
            records += 1;
        }
        let mut state = Self { journal, ledger, bundles };
        state.restore_bundles(&unlogged)?;
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
}

#[cfg(test)]
mod tests;
