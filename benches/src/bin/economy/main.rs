//! `cargo xtask bench economy`: agents that trade with each other, decide and act, and data that is
//! valued and quoted.

mod acts;
mod decide;
mod documents;
mod embed;
mod intents;
mod paid;
mod sources;
mod trips;
mod value;

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Parser, ValueEnum};
use serde_json::json;
use vouch_benches::{figure::print, process::Process, stub, vouch::Vouch};
use vouch_model::source::{ModelSource, default_cache_dir};

const BENCH: &str = "economy";

#[derive(Debug, Parser)]
enum Arguments {
    /// Serves the stub upstream; the benchmark starts this itself.
    Stub,
    /// Measures.
    Run(Options),
}

#[derive(Debug, Args)]
struct Options {
    /// The `vouch` binary.
    #[arg(long)]
    vouch: PathBuf,
    /// The folder with uagents_trip.py and its virtual environment; without it, ours alone is
    /// measured.
    #[arg(long)]
    uagents: Option<PathBuf>,
    /// npm's packages of Uniswap's contracts.
    #[arg(long)]
    artefacts: PathBuf,
    /// Where the data directories are made: on the disk whose syncs are to be measured.
    #[arg(long)]
    data_dir: PathBuf,
    /// What to measure [default: all].
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// How often each is measured, or ours and the peer take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Round trips of a round; the peer makes a quarter of them.
    #[arg(long, default_value_t = 800)]
    trips: usize,
    /// Acts of a kind in a round.
    #[arg(long, default_value_t = 100)]
    acts: usize,
    /// Documents that are published and searched.
    #[arg(long, default_value_t = 10_000)]
    documents: usize,
    /// Questions over them.
    #[arg(long, default_value_t = 300)]
    questions: usize,
    /// Print a line of JSON a figure.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Round trips between two agents; the peer is uagents.
    Trips,
    /// Events and intents decided.
    Decide,
    /// Acts on a chain.
    Acts,
    /// KNN-Shapley.
    Value,
    /// Texts embedded.
    Embed,
    /// Answers from documents.
    Sources,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Stub => Ok(stub::serve(announce).await?),
        Arguments::Run(options) => run(&options).await,
    }
}

#[allow(clippy::print_stdout, reason = "whoever started the stub waits for this line")]
fn announce(address: SocketAddr) {
    println!("{}", json!({ "address": address }));
    // Nobody listens only if nobody waits.
    let _told = std::io::stdout().flush();
}

async fn run(options: &Options) -> anyhow::Result<()> {
    // Fails only where one is installed already.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    std::fs::create_dir_all(&options.data_dir)?;
    let parts = match options.only.as_slice() {
        [] => Part::value_variants(),
        only => only,
    };
    let mut figures = Vec::new();
    for part in parts {
        figures.extend(match part {
            Part::Trips => trips::figures(options).await?,
            Part::Decide => decide::figures(options)?,
            Part::Acts => acts::figures(options).await?,
            Part::Value => value::figures(options)?,
            Part::Embed => embed::figures(options)?,
            Part::Sources => sources::figures(options).await?,
        });
    }
    Ok(print(&figures, options.json)?)
}

impl Options {
    fn vouch(&self) -> Vouch {
        Vouch(self.vouch.clone())
    }
}

/// The stub upstream in a process of its own, and its address as an OpenAI base URL.
fn start_stub() -> anyhow::Result<(Process, String)> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    let (process, ready) = Process::ready(command.arg("stub"))?;
    let address = ready["address"].as_str().context("the stub has no address")?;
    let url = format!("http://{address}/v1");
    Ok((process, url))
}

fn fetch(source: &str) -> anyhow::Result<PathBuf> {
    let source: ModelSource = source.parse()?;
    let cache = default_cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    let cache = cache.context("no place for models: set XDG_CACHE_HOME or HOME")?;
    Ok(source.fetch(&cache, &mut |_progress| {})?)
}

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[allow(clippy::print_stderr, reason = "how far it is, apart from the figures")]
fn note(text: &str) {
    eprintln!("    {text}");
}
