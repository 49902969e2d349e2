//! A journal without what its chain has taken back.

use vouch_journal::Journal;

use crate::edit::Undone;
use crate::{Error, Result, record};

/// How many records were copied, and how many were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Records that count.
    pub kept: u64,
    /// Blocks and changes that were taken back, and what took them back.
    pub left_out: u64,
}

/// Copies what counts of a chain's journal into an empty one, durably. `progress` is told how many
/// records were looked at.
///
/// # Errors
/// [`Error::Journal`], [`Error::Record`] and [`Error::Newer`]; [`Error::CompactPruned`] if its first
/// blocks are gone.
pub fn compact(
    from: &Journal,
    to: &mut Journal,
    progress: &mut dyn FnMut(u64),
) -> Result<Compacted> {
    if from.resumes().is_some() {
        return Err(Error::CompactPruned);
    }
    let undone = Undone::of_all(&from.reader())?;
    let mut compacted = Compacted { kept: 0, left_out: 0 };
    for (index, stored) in (0..).zip(from.iter()) {
        let (_, stored) = stored?;
        progress(index);
        if undone.contains(index) {
            compacted.left_out += 1;
            continue;
        }
        // What cannot be read is not carried on.
        match index {
            0 => drop(record::decode_genesis(&stored, 0)?),
            _ => drop(record::decode(&stored, index)?),
        }
        to.append(&stored)?;
        compacted.kept += 1;
    }
    to.sync()?;
    Ok(compacted)
}
