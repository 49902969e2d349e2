//! Checks a store against its journal, and makes its public files again.
//!
//! The journal is gone through twice: once as a start does, and once by an audit that shares no
//! code with the store's tree and publisher, so that a mistake there is seen here. Nothing is
//! written but public files, and those only if that is asked for.

mod audit;
mod index;
mod views;

use std::fmt;
use std::sync::Arc;

use vouch_core::domain::Domain;
use vouch_journal::{Disk, Journal, Position};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::record::{Item, items};
use crate::replay::Replay;
use crate::tiles::TileStore;
use audit::Audited;

/// What a store holds, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The log's name.
    pub origin: String,
    /// Entries in the log.
    pub entries: u64,
    /// Size of the newest checkpoint in the journal; 0 if there is none.
    pub checkpoint: u64,
    /// Channels.
    pub channels: u64,
    /// What is wrong.
    pub damage: Vec<Damage>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// A public file below the log's directory, or a place in the journal.
    pub place: String,
    /// What is found there.
    pub problem: String,
    /// What can be done.
    pub remedy: Remedy,
}

/// What can be done about damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It is a view: it can be made again from the journal.
    Rebuild,
    /// It was made again just now.
    Rebuilt,
    /// Only a copy of the journal helps.
    Restore,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// Whether a journal with this first record is a store's.
#[must_use]
pub fn is_store(record: &[u8]) -> bool {
    identity(record).is_some()
}

/// Chain, contract and log that a store's first record names.
fn identity(record: &[u8]) -> Option<(Domain, String)> {
    match items(0, record).ok()?.first()? {
        (_, Item::Identity { chain, settlement, origin }) => {
            Some((Domain { chain: *chain, settlement: *settlement }, (*origin).to_owned()))
        }
        _ => None,
    }
}

/// Checks a store: its records against each other, its promises and checkpoints against its
/// receipts, its public files and its index on the journal's disk against its records. With
/// `rebuild` the public files that differ are written again, and an index that differs is removed:
/// the next start makes it.
///
/// # Errors
/// Those of journal and tile store; [`Error::Record`] if the journal is no store's. What is wrong
/// with the data is no error but in [`Checked::damage`].
pub fn check(
    journal: &Journal,
    disk: &Arc<dyn Disk>,
    tiles: &dyn TileStore,
    rebuild: bool,
) -> Result<Checked> {
    let first = journal.iter().next().transpose()?;
    let no_store = Error::Record { position: 0, why: "it does not say whose log this is" };
    let (domain, origin) = first.and_then(|(_, record)| identity(&record)).ok_or(no_store)?;
    let mut damage = Vec::new();
    let mut channels = 0;
    let config = looking(domain, origin.clone());
    match replay(journal, journal.durable(), disk, &config).and_then(Replay::finish) {
        Ok(replayed) => {
            channels = crate::tree::length(&replayed.state.views());
        }
        Err(error @ Error::Journal(_)) => return Err(error),
        Err(error) => damage.push(wrong("journal", error)),
    }
    let audited = audit::audit(journal, &domain, &origin, &mut damage)?;
    let Audited { entries, stored, .. } = &audited;
    let checkpoint = stored.as_ref().map_or(0, |stored| stored.size);
    let entries = *entries;
    // Views are made from a journal that contradicts nobody, or not at all.
    if damage.is_empty() {
        views::check(journal, tiles, &audited, rebuild, &mut damage)?;
        damage.extend(index::check(journal, disk, &config, rebuild)?);
    }
    Ok(Checked { origin, entries, checkpoint, channels, damage })
}

/// Goes through the journal as a start without an index does, as far as `end`.
fn replay<'a>(
    journal: &Journal,
    end: Position,
    disk: &Arc<dyn Disk>,
    config: &'a Config,
) -> Result<Replay<'a>> {
    let mut replay = Replay::new(Arc::clone(disk), config)?;
    replay.read(&journal.reader(), end, disk, journal.id())?;
    Ok(replay)
}

/// A store's configuration for somebody without keys.
fn looking(domain: Domain, origin: String) -> Config {
    let unsigned = || "fsck signs nothing".to_owned();
    let mut config = Config::new(
        domain,
        origin,
        Arc::new(|| 0),
        Arc::new(move |_| Err(unsigned())),
        Arc::new(move |_| Err(unsigned())),
    );
    // Nothing is written by looking.
    config.index_every = u64::MAX;
    config
}

fn wrong(place: impl Into<String>, problem: impl fmt::Display) -> Damage {
    Damage { place: place.into(), problem: problem.to_string(), remedy: Remedy::Restore }
}
