//! What was found, as JSON and for people.

use std::{fmt, path::Path};

use serde::Serialize;

use super::Place;
use crate::output::printable;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    data_dir: String,
    /// Something is wrong that was not made right.
    pub(super) damaged: bool,
    journals: Vec<Checked>,
}

/// One journal and the views over it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Checked {
    /// Its directory, from the data directory on.
    pub(super) journal: String,
    /// What it is about.
    pub(super) holds: String,
    pub(super) records: u64,
    pub(super) notes: Vec<String>,
    pub(super) problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// File, and byte where it is known.
    pub(super) place: String,
    pub(super) problem: String,
    pub(super) means: String,
    /// What to do, or what was done.
    pub(super) remedy: String,
    pub(super) rebuilt: bool,
}

impl Report {
    pub(super) fn new(data_dir: &Path, journals: Vec<Checked>) -> Self {
        let damaged =
            journals.iter().flat_map(|journal| &journal.problems).any(|problem| !problem.rebuilt);
        Self { data_dir: data_dir.display().to_string(), damaged, journals }
    }
}

impl Checked {
    pub(super) fn of(place: &Place<'_>) -> Self {
        Self { journal: place.short(place.path), ..Self::default() }
    }

    pub(super) fn with(mut self, problem: Problem) -> Self {
        self.problems.push(problem);
        self
    }
}

impl Problem {
    /// A view that can be made again, or was.
    pub(super) fn view(place: String, problem: String, means: &str, rebuilt: bool) -> Self {
        let remedy = if rebuilt {
            "it was made again from the journal"
        } else {
            "`vouch fsck --rebuild` makes it again from the journal"
        };
        Self { place, problem, means: means.to_owned(), remedy: remedy.to_owned(), rebuilt }
    }

    /// Something that is only in the journal, and is not right there.
    pub(super) fn lost(at: &Place<'_>, place: String, problem: String, means: &str) -> Self {
        let remedy =
            format!("restore {} from the newest copy; nothing was changed", at.path.display());
        Self { place, problem, means: means.to_owned(), remedy, rebuilt: false }
    }

    /// A journal whose files are not there.
    pub(super) fn gone(at: &Place<'_>) -> Self {
        let means = "everything that was acknowledged here is lost on this disk";
        Self::lost(at, at.short(at.path), "the journal's files are missing".to_owned(), means)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for checked in &self.journals {
            let Checked { journal, holds, records, notes, problems } = checked;
            let state = match (problems.len(), problems.iter().all(|problem| problem.rebuilt)) {
                (0, _) => "sound",
                (_, true) => "made right",
                _ => "DAMAGED",
            };
            writeln!(f, "{state:<10}  {journal}: {records} records{}", about(holds))?;
            for note in notes {
                writeln!(f, "  {note}")?;
            }
            for Problem { place, problem, means, remedy, .. } in problems {
                writeln!(f, "  {place}: {}\n    means: {means}\n    {remedy}", printable(problem))?;
            }
        }
        f.write_str(if self.damaged { "damage was found" } else { "all is well" })
    }
}

fn about(holds: &str) -> String {
    if holds.is_empty() { String::new() } else { format!(" of {}", printable(holds)) }
}
