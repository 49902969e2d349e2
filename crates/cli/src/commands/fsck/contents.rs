//! A journal that reads to its end: what it says, and the views over it.

use std::sync::Arc;

use anyhow::Context;
use indicatif::ProgressBar;
use vouch_journal::{Directory, Disk, Journal, Recovery};
use vouch_settle::is_outbox_record;
use vouch_store::{
    FileTiles,
    fsck::{self, Remedy},
};

use super::{
    Place,
    report::{Checked, Problem},
};

/// What a journal is about, as its first record shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Store,
    Chain,
    Fork,
    Purchases,
    /// What a provider has sent to a chain.
    Transactions,
    /// JSON records of an agent, a witness, a run.
    Records,
    Empty,
}

impl Kind {
    pub(super) fn of(first: Option<&[u8]>) -> Self {
        match first {
            None => Self::Empty,
            Some(record) if fsck::is_store(record) => Self::Store,
            Some(record) if vouch_chain::is_genesis_record(record) => Self::Chain,
            Some(record) if vouch_chain::is_fork_record(record) => Self::Fork,
            Some(record) if record.starts_with(br#"{"Format":"#) => Self::Purchases,
            Some(record) if is_outbox_record(record) => Self::Transactions,
            Some(_) => Self::Records,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Store => "a log",
            Self::Chain => "the chain",
            Self::Fork => "what was read of a chain that is forked",
            Self::Purchases => "purchases",
            Self::Transactions => "transactions that were sent",
            Self::Records => "a run, a signer or a witness",
            Self::Empty => "",
        }
    }
}

pub(super) fn check(
    journal: Journal,
    disk: &Arc<dyn Disk>,
    recovery: &Recovery,
    place: &Place<'_>,
) -> anyhow::Result<Checked> {
    let first = journal.iter().next().transpose()?;
    let kind = Kind::of(first.as_ref().map(|(_, record)| record.as_slice()));
    let mut checked =
        Checked { records: recovery.records, holds: kind.name().to_owned(), ..Checked::of(place) };
    if recovery.truncated_bytes > 0 {
        checked.notes.push(format!(
            "{} bytes at its end are of a write that was cut short, or that has changed since: the \
             next start cuts them; a checkpoint, a chain or a receipt elsewhere tells if more was \
             acknowledged",
            recovery.truncated_bytes
        ));
    }
    match kind {
        Kind::Store => store(&journal, disk, place, &mut checked)?,
        Kind::Chain => chain(&journal, disk, recovery.records, place, &mut checked)?,
        Kind::Purchases => purchases(&journal, place, &mut checked)?,
        Kind::Transactions => records(&journal, place, &mut checked, transaction)?,
        Kind::Records => records(&journal, place, &mut checked, document)?,
        // Executing the chain has read it.
        Kind::Fork | Kind::Empty => {}
    }
    Ok(checked)
}

fn store(
    journal: &Journal,
    disk: &Arc<dyn Disk>,
    place: &Place<'_>,
    checked: &mut Checked,
) -> anyhow::Result<()> {
    let tiles = FileTiles::on(Box::new(Directory::unlocked(&place.beside("log"))));
    let found = fsck::check(journal, disk, &tiles, place.rebuild)?;
    checked.holds = format!(
        "log {}: {} entries, {} of them under a checkpoint, {} channels",
        found.origin, found.entries, found.checkpoint, found.channels
    );
    for damage in found.damage {
        let at = place.short(&place.beside(&damage.place));
        checked.problems.push(match damage.remedy {
            Remedy::Restore => {
                let means = "what was promised, charged or released is not what is here: serving \
                             from it could contradict what others hold";
                Problem::lost(place, at, damage.problem, means)
            }
            remedy => {
                let means =
                    "readers of the log are refused or misled; no money and no record is lost";
                Problem::view(at, damage.problem, means, remedy == Remedy::Rebuilt)
            }
        });
    }
    Ok(())
}

fn chain(
    journal: &Journal,
    disk: &Arc<dyn Disk>,
    records: u64,
    place: &Place<'_>,
    checked: &mut Checked,
) -> anyhow::Result<()> {
    let bar = ProgressBar::new(records);
    let executed = vouch_chain::check(journal, Arc::clone(disk), records, &mut |at| {
        bar.set_position(at.done);
    });
    bar.finish_and_clear();
    match executed {
        Ok(vouch_chain::Checked { from, to, pruned: false }) => {
            let blocks = to - from;
            checked.holds = format!("the chain: {blocks} blocks, each executed again to its roots");
        }
        Ok(vouch_chain::Checked { from, to, .. }) => {
            checked.holds = format!(
                "the chain, of which the first blocks were pruned: block {to}, executed again to its \
                 roots from block {from} on"
            );
        }
        Err(error) => {
            let means = "the chain cannot be started from here, and its balances are not known";
            let at = place.short(place.path);
            checked.problems.push(Problem::lost(place, at, error.to_string(), means));
            return Ok(());
        }
    }
    let checked_index = vouch_chain::check_index(journal, Arc::clone(disk));
    if let Err(error @ vouch_chain::Error::Journal(_)) = &checked_index {
        let means = "blocks or changes that were acknowledged are gone from the journal";
        let at = place.short(place.path);
        checked.problems.push(Problem::lost(place, at, error.to_string(), means));
    } else if let Err(error) = checked_index {
        let at = place.short(&place.path.join("index"));
        if journal.resumes().is_some() {
            // It cannot be made again from the first block.
            let means = "some of the blocks and balances that were to be kept are not found";
            checked.problems.push(Problem::lost(place, at, error.to_string(), means));
            return Ok(());
        }
        let means = "old blocks and balances are not found; nothing is lost";
        if place.rebuild {
            // The next start makes it.
            vouch_chain::remove_index(disk.as_ref())?;
        }
        checked.problems.push(Problem::view(at, error.to_string(), means, place.rebuild));
    }
    Ok(())
}

fn purchases(journal: &Journal, place: &Place<'_>, checked: &mut Checked) -> anyhow::Result<()> {
    for amiss in vouch_buyer::check(journal, &place.beside("bundles"), place.rebuild)? {
        let problem = if amiss.missing { "it is missing" } else { "it is not what was recorded" };
        let means = if amiss.logged {
            "an answer's evidence is not at hand; made again, it has receipt and promise, and its \
             place in the log is to be asked for anew"
        } else {
            "an answer's evidence is not at hand"
        };
        let at = place.short(&amiss.path);
        checked.problems.push(Problem::view(at, problem.to_owned(), means, place.rebuild));
    }
    Ok(())
}

/// Records that other parts of the program read, each by itself.
fn records(
    journal: &Journal,
    place: &Place<'_>,
    checked: &mut Checked,
    read: fn(&[u8]) -> Result<(), String>,
) -> anyhow::Result<()> {
    for (number, item) in journal.iter().enumerate() {
        let (_, bytes) = item.context("a record cannot be read")?;
        if let Err(why) = read(&bytes) {
            let problem = format!("record {number} is not what this program writes: {why}");
            let means = "what it belongs to does not start";
            checked.problems.push(Problem::lost(place, place.short(place.path), problem, means));
        }
    }
    Ok(())
}

/// A JSON document.
fn document(record: &[u8]) -> Result<(), String> {
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(record);
    read.map(drop).map_err(|error| error.to_string())
}

fn transaction(record: &[u8]) -> Result<(), String> {
    let known = is_outbox_record(record);
    known.then_some(()).ok_or_else(|| "it names no transaction".into())
}
