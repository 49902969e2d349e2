//! A journal with damage before its end: what is lost, and what is left.
//!
//! Nothing is cut or dropped: a journal that goes on without records that were acknowledged would
//! deny them. What is left is copied aside, for whoever must know or claim what it says.

use std::path::Path;

use anyhow::Context;
use vouch_journal::{Disk, Error, Journal, Lost, Options, salvage};

use super::{
    Place, READABLE,
    contents::Kind,
    report::{Checked, Problem},
};

pub(super) fn check(disk: &dyn Disk, error: &Error, place: &Place<'_>) -> anyhow::Result<Checked> {
    let (mut records, mut first) = (0_u64, None);
    let lost = salvage(disk, &mut |_, record| {
        records += 1;
        first.get_or_insert_with(|| record.to_vec());
        Ok(())
    })?;
    let kind = Kind::of(first.as_deref());
    let mut checked = Checked { records, holds: kind.name().to_owned(), ..Checked::of(place) };
    let aside = place.path.with_extension(READABLE);
    let remedy = if place.rebuild {
        let there = aside.exists();
        if !there {
            copy(disk, &aside)?;
        }
        format!(
            "the {records} records that can be read {} {}; {} is as it was: restore it from a copy",
            if there { "were copied before to" } else { "are copied to" },
            aside.display(),
            place.path.display()
        )
    } else {
        format!(
            "restore {} from the newest copy; `vouch fsck --rebuild` copies the {records} records \
             that can be read to {} and changes nothing here",
            place.path.display(),
            aside.display()
        )
    };
    for gap in &lost {
        let place = format!("{}, {}", place.short(&gap.path), bytes(gap));
        let (problem, means) = (gap.reason.to_owned(), means(kind).to_owned());
        let remedy = remedy.clone();
        checked.problems.push(Problem { place, problem, means, remedy, rebuilt: false });
    }
    if lost.is_empty() {
        let (place, problem) = (place.short(place.path), error.to_string());
        let means = means(kind).to_owned();
        checked.problems.push(Problem { place, problem, means, remedy, rebuilt: false });
    }
    Ok(checked)
}

fn bytes(Lost { from, to, .. }: &Lost) -> String {
    if from == to { format!("byte {from}") } else { format!("bytes {from} to {to}") }
}

fn means(kind: Kind) -> &'static str {
    match kind {
        Kind::Store => {
            "calls, vouchers or promises that were acknowledged are lost here; the vouchers that can \
             be read are still worth their money on the chain"
        }
        Kind::Chain => "blocks are lost, and those behind them cannot be executed",
        Kind::Purchases => "it is not known any more what was signed: pay nothing from this wallet",
        Kind::Transactions => "what was sent to the chain is not known here: it may be sent again",
        Kind::Fork => {
            "blocks that were made from it cannot be executed without the other chain's node"
        }
        Kind::Records | Kind::Empty => "what was acknowledged there is lost on this disk",
    }
}

/// Copies every readable record into a new journal.
fn copy(disk: &dyn Disk, to: &Path) -> anyhow::Result<()> {
    let (mut journal, _) = Journal::open(to, Options::default())?;
    salvage(disk, &mut |_, record| journal.append(record).map(drop))
        .with_context(|| format!("{} cannot be written", to.display()))?;
    Ok(journal.sync()?)
}
