//! `vouch fsck`: everything in the data directory held against its journals.

mod contents;
mod damaged;
mod report;

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use vouch_journal::{Directory, Disk, Error, Journal, Options, ReadOnly};

use crate::{arguments, output::Output};
use report::{Checked, Problem, Report};

/// The end of the name under which a damaged journal's readable records are kept.
const READABLE: &str = "readable";
/// Journals are a few directories deep.
const MOST_DEPTH: u32 = 8;

pub(crate) fn run(
    arguments: &arguments::Fsck,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let mut found = Vec::new();
    find(data_dir, 0, &mut found)?;
    if found.is_empty() {
        bail!("{} holds no journal: name a data directory with --data-dir", data_dir.display());
    }
    // All of them first: whoever uses one of them is to end before anything is judged.
    let held = found
        .into_iter()
        .map(|path| Ok((Arc::new(Directory::open(&path)?), path)))
        .collect::<Result<Vec<_>, Error>>()?;
    let journals = held
        .into_iter()
        .map(|(disk, path)| {
            let place = Place { data_dir, path: &path, rebuild: arguments.rebuild };
            check(disk, &place).with_context(|| format!("{} cannot be checked", path.display()))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let report = Report::new(data_dir, journals);
    output.answer(&report, || report.to_string())?;
    Ok(if report.damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A journal's directory, and what may be done there.
struct Place<'a> {
    data_dir: &'a Path,
    path: &'a Path,
    rebuild: bool,
}

impl Place<'_> {
    /// A path as people know it: from the data directory on.
    fn short(&self, path: &Path) -> String {
        path.strip_prefix(self.data_dir).unwrap_or(path).display().to_string()
    }

    /// What stands beside the journal.
    fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }
}

/// Directories that hold a journal, or have held one, in the order of their names.
fn find(directory: &Path, depth: u32, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let read = || format!("{} cannot be read", directory.display());
    let mut below = Vec::new();
    let mut journal = false;
    for entry in std::fs::read_dir(directory).with_context(read)? {
        let entry = entry.with_context(read)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        journal |= is_segment(&name) || name == "journal.lock";
        let readable = Path::new(&*name).extension().is_some_and(|end| end == READABLE);
        if entry.file_type().with_context(read)?.is_dir() && !readable {
            below.push(entry.path());
        }
    }
    if journal {
        found.push(directory.to_owned());
    }
    below.sort();
    if depth < MOST_DEPTH {
        below.iter().try_for_each(|path| find(path, depth + 1, found))?;
    }
    Ok(())
}

fn is_segment(name: &str) -> bool {
    name.starts_with("journal-") && name.ends_with(".log")
}

fn check(disk: Arc<Directory>, place: &Place<'_>) -> anyhow::Result<Checked> {
    let disk: Arc<dyn Disk> = disk;
    if !disk.list("")?.iter().any(|name| is_segment(name)) {
        return Ok(Checked::of(place).with(Problem::gone(place)));
    }
    let looking = Box::new(ReadOnly::new(Arc::clone(&disk)));
    match Journal::open_on(looking, Options::default()) {
        Ok((journal, recovery)) => contents::check(journal, &disk, &recovery, place),
        Err(error @ Error::Damaged { .. }) => damaged::check(disk.as_ref(), &error, place),
        // Only a journal without a record would have been begun anew.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::ReadOnlyFilesystem => {
            let note = "a crash came as it was begun: it holds nothing yet";
            Ok(Checked { notes: vec![note.to_owned()], ..Checked::of(place) })
        }
        Err(error) => Err(error.into()),
    }
}
