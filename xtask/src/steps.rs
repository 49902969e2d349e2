//! Running other programs, with a line for each step and its time.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// The root of the workspace that cargo runs this for: clones that share a target directory share
/// this binary too, so the path it was compiled at may be another's.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().unwrap_or(&manifest).to_owned()
}

/// A command that runs in `directory` below the root.
pub(crate) fn command(program: &str, arguments: &[&str], directory: &str) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root().join(directory)).stdin(Stdio::null());
    command
}

/// A cargo command in the workspace: the very cargo that runs this.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    command(&cargo, arguments, ".")
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let metadata = cargo(&["metadata", "--format-version=1", "--no-deps"]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target")?;
    Ok(target.into())
}

/// Runs a command whose own output is shown, and prints its time.
pub(crate) fn shown(title: &str, command: &mut Command) -> anyhow::Result<()> {
    println!("==> {title}");
    let start = Instant::now();
    let status = command.status().with_context(|| format!("{command:?} could not be started"))?;
    if !status.success() {
        bail!("{title} failed: {command:?} ended with {status}");
    }
    println!("==> {title}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a command behind a spinner; its output is shown only if it fails.
pub(crate) fn quiet(title: &str, command: &mut Command) -> anyhow::Result<()> {
    let spinner = spinner(title);
    let start = Instant::now();
    let output = command.output().with_context(|| format!("{command:?} could not be started"))?;
    spinner.finish_and_clear();
    if !output.status.success() {
        println!("{}", String::from_utf8_lossy(&output.stdout));
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("{title} failed: {command:?} ended with {}", output.status);
    }
    println!("    {title}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// A spinner with a title and the time so far.
pub(crate) fn spinner(title: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("  {spinner} {msg} ({elapsed})");
    let bar = ProgressBar::new_spinner().with_message(title.to_owned());
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Fails, with the command that installs it, if a program is missing.
pub(crate) fn require(program: &str, why: &str, install: &str) -> anyhow::Result<()> {
    let found =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    bail!("`{program}` is missing, which {why}: install it, for example with `{install}`")
}
