//! `vouch agent report`.

use std::{io::Write, path::Path};

use anyhow::{Context, ensure};
use vouch_agent::{
    portfolio::Portfolio,
    report::{Report, report},
    run::{Entry, Journal},
};

use super::{actor::journal_dir, home};
use crate::arguments::agent::AgentReport;
use crate::output::Output;

pub(super) fn run(arguments: &AgentReport, data_dir: &Path, output: Output) -> anyhow::Result<()> {
    let portfolio = Portfolio::read(&arguments.portfolio)?;
    let dir = journal_dir(
        arguments.journal.as_ref(),
        &arguments.portfolio,
        &home(data_dir, &arguments.name)?,
    )?;
    ensure!(dir.is_dir(), "{} holds no run: name it with --journal", dir.display());
    let journal = Journal::open(&dir)?;
    if let Some(Entry::Begin(begin)) = journal.entries().first() {
        ensure!(
            begin.portfolio == portfolio.hash(),
            "{} was recorded with another portfolio",
            dir.display()
        );
    }
    if let Some(path) = &arguments.entries {
        let mut lines = Vec::new();
        for entry in journal.entries() {
            serde_json::to_writer(&mut lines, entry)?;
            lines.write_all(b"\n")?;
        }
        write(path, &lines)?;
    }
    let report = report(&portfolio, journal.entries())
        .context("the run has seen no block with a price for every asset yet")?;
    show(&report, arguments.html.as_deref(), output)
}

/// Prints a report, and writes its page if one was asked for.
pub(super) fn show(report: &Report, html: Option<&Path>, output: Output) -> anyhow::Result<()> {
    if let Some(path) = html {
        write(path, report.html().as_bytes())?;
    }
    output.answer(report, || {
        let page = html.map(|path| format!("  page                      {}", path.display()));
        format!("{}{}", report.text(), page.unwrap_or_default())
    })
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}
