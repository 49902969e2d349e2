//! Holds an index against the journal that it is made from.

use std::io;
use std::sync::Arc;

use vouch_journal::{Disk, Journal, Known};

use super::kept::{Kept, damaged};
use super::snapshot::Snapshot;
use crate::state::Tries;
use crate::{Result, record, replay};

/// Reads the whole index on a disk, each block that it names and all that is in it; false if there
/// is none.
///
/// # Errors
/// [`Error::Index`](crate::Error::Index) if it is not that of this journal, or damaged;
/// [`Error::Journal`](crate::Error::Journal) if the journal lacks what was in it.
pub fn check_index(journal: &Journal, disk: Arc<dyn Disk>) -> Result<bool> {
    let Some(newest) = Snapshot::all(disk.as_ref())?.into_iter().next() else { return Ok(false) };
    let snapshot = Snapshot::read(disk.as_ref(), newest)?;
    if snapshot.known().journal != journal.id() {
        return Err(damaged("snapshot", "it is of another journal").into());
    }
    journal.read(snapshot.known().record)?;
    let kept = Kept::open(disk.clone(), &snapshot, None)?;
    blocks(&kept, journal)?;
    kept.check_values()?;
    let mut state = snapshot.state(disk.as_ref())?;
    let fork = replay::fork(&replay::genesis(journal)?, None, &disk)?;
    if Tries::new(fork).apply(snapshot.blocks, &mut state)? != snapshot.state_root {
        return Err(damaged("state", "it does not come to its root").into());
    }
    Ok(true)
}

fn blocks(kept: &Kept, journal: &Journal) -> Result<()> {
    let (reader, mut before) = (journal.reader(), None);
    for number in kept.oldest_row()..=kept.blocks() {
        let wrong = |what: &str| io::Error::other(format!("block {number}: {what}"));
        let row = kept.row(number)?.ok_or_else(|| wrong("it has no row"))?;
        let stored = reader.read(row.position).map_err(|e| wrong(&e.to_string()))?;
        let block = record::decode_block(&stored, number).map_err(|e| wrong(&e.to_string()))?;
        let own = block.transactions().len() as u64;
        // What came before the first that is kept cannot be counted any more.
        let told = row.transactions.checked_sub(own).filter(|_| kept.is_pruned());
        let counted = before.or(told);
        let transactions = counted.unwrap_or_default() + own;
        before = Some(transactions);
        let is_meant = block.hash == row.hash && block.header.number == number;
        if !is_meant || row.transactions != transactions || row.bloom != block.header.logs_bloom {
            return Err(wrong("its row is another's").into());
        }
        if kept.number(&block.hash)? != Some(number) {
            return Err(wrong("its hash is not found").into());
        }
        for (at, transaction) in block.transactions().iter().enumerate() {
            if !kept.transaction(transaction.hash())?.contains(&(number, at)) {
                return Err(wrong(&format!("transaction {at} is not found")).into());
            }
        }
    }
    Ok(())
}

/// The last record of a journal that the index beside it has seen: who opens the journal has to look
/// for it there.
///
/// # Errors
/// Those of the device, `InvalidData` among them.
pub fn known_record(disk: &dyn Disk) -> io::Result<Option<Known>> {
    let newest = Snapshot::all(disk)?.into_iter().next();
    newest.map(|record| Ok(Snapshot::read(disk, record)?.known())).transpose()
}
