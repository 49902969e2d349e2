//! `vouch chain compact`: the chain's files without what was taken back.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use vouch_chain::Compacted;
use vouch_journal::{Directory, Journal, Options};

use super::inspect::bytes;
use crate::{node, output::Output};

/// Where what counts is written before it takes the place of what there was, beside the chain.
const WRITTEN: &str = "chain.compacted";

/// What was read of the chain that is forked, if one is; executing needs it.
const FORK: &str = "fork";

pub(super) fn run(directory: &Path, output: Output) -> anyhow::Result<()> {
    let written = directory.with_file_name(WRITTEN);
    // Held until its place is taken, so that nobody begins with it meanwhile.
    let held = Arc::new(Directory::open(directory)?);
    if written.exists() {
        // What an earlier one has left.
        fs::remove_dir_all(&written).with_context(|| format!("{}", written.display()))?;
    }
    let known = vouch_chain::known_record(held.as_ref()).unwrap_or_default();
    let (from, recovery) =
        Journal::open_known(Box::new(Arc::clone(&held)), Options::default(), known)?;
    ensure!(recovery.records > 0, "{} holds no chain yet", directory.display());
    let before = bytes(directory)?;
    let (mut to, _) = Journal::open(&written, Options::default())?;
    let bar = node::block_bar();
    bar.set_length(recovery.records);
    let compacted = vouch_chain::compact(&from, &mut to, &mut |at| bar.set_position(at));
    bar.finish_and_clear();
    drop(to);
    if compacted.is_err() {
        fs::remove_dir_all(&written).with_context(|| format!("{}", written.display()))?;
    }
    let Compacted { kept, left_out } = compacted?;
    let after = bytes(&written)?;
    if left_out > 0 {
        copy(&directory.join(FORK), &written.join(FORK))?;
        renameat_with(CWD, &written, CWD, directory, RenameFlags::EXCHANGE)
            .context("the system cannot put one directory in the place of another in one step")?;
        // Before what there was is removed.
        let parent = directory.parent().unwrap_or(directory);
        let synced = fs::File::open(parent).and_then(|parent| parent.sync_all());
        synced.with_context(|| format!("{} cannot be synced", parent.display()))?;
    }
    fs::remove_dir_all(&written).with_context(|| format!("{}", written.display()))?;
    let report = json!({
        "kept": kept,
        "leftOut": left_out,
        "bytesBefore": before,
        "bytesAfter": if left_out > 0 { after } else { before },
    });
    output.answer(&report, || match left_out {
        0 => format!("nothing of the {kept} records was taken back: the chain is as it was"),
        _ => format!(
            "{left_out} records were taken back and are left out; {kept} stay, in {} MB instead of \
             {} MB; the next start executes them again",
            after.div_ceil(1_000_000),
            before.div_ceil(1_000_000)
        ),
    })
}

/// Copies the files right in a directory, durably; nothing if it is not there.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !from.exists() {
        return Ok(());
    }
    let why = || format!("{} cannot be copied", from.display());
    fs::create_dir(to).with_context(why)?;
    for file in fs::read_dir(from).with_context(why)? {
        let file = file.with_context(why)?;
        let copy = to.join(file.file_name());
        fs::copy(file.path(), &copy).with_context(why)?;
        fs::File::open(&copy).and_then(|copy| copy.sync_all()).with_context(why)?;
    }
    for directory in [Some(to), to.parent()].into_iter().flatten() {
        fs::File::open(directory).and_then(|names| names.sync_all()).with_context(why)?;
    }
    Ok(())
}
