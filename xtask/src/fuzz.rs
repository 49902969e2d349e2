//! `cargo xtask fuzz`: each decoder of foreign bytes, under libFuzzer, on the stable compiler.
//!
//! `fuzz/` is compiled with LLVM's coverage counters, which need no nightly compiler; without a
//! sanitizer, since the code is safe Rust: what is looked for are panics, overflows, endless loops
//! and values that do not survive being written and read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, bail, ensure};

use crate::steps::{cargo, require, root, shown, target};

/// What counts edges, and comparisons so that the fuzzer learns what a byte is compared with.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// An input that takes longer is a finding.
const TIMEOUT_S: u32 = 10;
const MEMORY_MB: u32 = 2048;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which decoders [default: all]
    targets: Vec<String>,
    /// How long for each.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// How many at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let start = Instant::now();
    require("c++", "compiles libFuzzer", "apt-get install build-essential")?;
    let directory = target()?.join("fuzz");
    let manifest = root().join("fuzz/Cargo.toml");
    let mut build = cargo(&["build", "--release", "--quiet", "--locked", "--manifest-path"]);
    // With a target named, build scripts and macros go without the flags.
    let host = host()?;
    build.arg(&manifest).arg("--target-dir").arg(&directory).arg("--target").arg(&host);
    build.env("RUSTFLAGS", FLAGS);
    shown("fuzz: build", &mut build)?;
    let known = targets()?;
    let wanted = if arguments.targets.is_empty() { &known } else { &arguments.targets };
    for name in wanted {
        ensure!(known.contains(name), "{name:?} is none of the decoders: {}", known.join(", "));
    }
    let binary = directory.join(host).join("release/vouch-fuzz");
    let mut found = Vec::new();
    for names in wanted.chunks(arguments.jobs.max(1)) {
        let running = names
            .iter()
            .map(|name| one(&binary, &directory, name, arguments.seconds))
            .collect::<anyhow::Result<Vec<_>>>()?;
        for (name, mut child) in names.iter().zip(running) {
            let status = child.wait()?;
            let said = fs::read(log(&directory, name))?;
            let said = String::from_utf8_lossy(&said);
            let runs =
                said.lines().rev().find(|line| line.starts_with("Done ")).unwrap_or_default();
            println!("{name}: {}", if status.success() { runs } else { "FOUND SOMETHING" });
            if !status.success() {
                println!(
                    "{}",
                    said.lines()
                        .rev()
                        .take(40)
                        .collect::<Vec<_>>()
                        .into_iter()
                        .rev()
                        .collect::<Vec<_>>()
                        .join("\n")
                );
                found.push(name.as_str());
            }
        }
    }
    if !found.is_empty() {
        let kept = directory.join("found");
        bail!("{} found something: the inputs are in {}", found.join(", "), kept.display());
    }
    println!("==> fuzz: {} decoders in {:.0} s", wanted.len(), start.elapsed().as_secs_f64());
    Ok(())
}

/// Starts a decoder's run, from what is committed and what earlier runs have come upon.
fn one(
    binary: &Path,
    directory: &Path,
    name: &str,
    seconds: u32,
) -> anyhow::Result<std::process::Child> {
    let (corpus, found) = (directory.join("corpus").join(name), directory.join("found"));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&found)?;
    let mut command = Command::new(binary);
    command
        .env("VOUCH_FUZZ", name)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={TIMEOUT_S}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"))
        .arg(format!("-artifact_prefix={}/{name}-", found.display()))
        .args(["-print_final_stats=0", "-max_len=16384"])
        .arg(&corpus);
    let seeds = root().join("fuzz/seeds").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    // Not a pipe: who is read last would wait for room in it and try nothing meanwhile.
    command.stderr(fs::File::create(log(directory, name))?).stdout(std::process::Stdio::null());
    command.spawn().with_context(|| format!("{} does not start", binary.display()))
}

/// What a decoder's last run said.
fn log(directory: &Path, name: &str) -> PathBuf {
    directory.join("found").join(format!("{name}.log"))
}

/// The triple of this machine.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc does not start")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

/// The names in `fuzz/src/main.rs`, which a test of the list would only repeat.
fn targets() -> anyhow::Result<Vec<String>> {
    let source = fs::read_to_string(root().join("fuzz/src/main.rs"))?;
    let rows = source.lines().filter_map(|line| line.trim().strip_prefix("(\""));
    let names: Vec<_> =
        rows.filter_map(|row| row.split_once("\", ").map(|(name, _)| name.to_owned())).collect();
    ensure!(!names.is_empty(), "fuzz/src/main.rs lists no targets");
    Ok(names)
}
