//! The index held against the journal.

use std::sync::Arc;

use vouch_journal::{Disk, Journal, Position};

use super::{Damage, Remedy, replay};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::index::{self, Index, Snapshot};

/// Rows that are compared at once.
const CHUNK: u64 = 4096;

/// What is wrong with the index, if there is one.
pub(super) fn check(
    journal: &Journal,
    disk: &Arc<dyn Disk>,
    config: &Config,
    rebuild: bool,
) -> Result<Option<Damage>> {
    let problem = match compare(journal, disk, config) {
        Ok(None) => return Ok(None),
        Ok(Some(problem)) => problem.to_owned(),
        Err(Error::Index(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let mut remedy = Remedy::Rebuild;
    if rebuild {
        index::remove(disk)?;
        remedy = Remedy::Rebuilt;
    }
    Ok(Some(Damage { place: "journal/index".to_owned(), problem, remedy }))
}

fn compare(
    journal: &Journal,
    disk: &Arc<dyn Disk>,
    config: &Config,
) -> Result<Option<&'static str>> {
    let Some(snapshot) = Snapshot::read(disk)? else { return Ok(None) };
    if snapshot.known.journal != journal.id() {
        return Ok(Some("it is of another journal"));
    }
    let indexed = Index::open(Arc::clone(disk), &snapshot)?;
    let end = Position(snapshot.known.record.0.saturating_add(1));
    let replay = replay(journal, end, disk, config)?;
    let log = replay.log();
    if (log.size(), log.root(log.size())?) != (snapshot.size, snapshot.root) {
        return Ok(Some("it has other entries than the journal"));
    }
    if replay.record() != snapshot.record {
        return Ok(Some("its channels are not those of the journal"));
    }
    if indexed.nodes()? != log.tree.nodes(0) {
        return Ok(Some("its hashes are not those of the journal's entries"));
    }
    for first in (0..snapshot.size).step_by(usize::try_from(CHUNK).unwrap_or(1)) {
        let count = CHUNK.min(snapshot.size.saturating_sub(first));
        if indexed.rows(first, count)? != log.rows(first, count)? {
            return Ok(Some("its entries are not those of the journal"));
        }
    }
    if !indexed.has(replay.keys(), snapshot.kept_from())? {
        return Ok(Some("a receipt cannot be found by it"));
    }
    Ok(None)
}
