//! `cargo xtask bench gateway`: what a paid call costs over the same call to the upstream alone.

mod bench;
mod figures;
mod tally;

use std::{io::Write, net::SocketAddr, path::PathBuf};

use clap::{Args, Parser};
use serde_json::json;
use vouch_benches::{figure::print, stub};

use crate::bench::Bench;

const BENCH: &str = "gateway";

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
    /// The virtual environment with LiteLLM; without it, LiteLLM is left out.
    #[arg(long)]
    litellm: Option<PathBuf>,
    /// The folder with `x402.mjs` and its packages; without it, x402 is left out.
    #[arg(long)]
    x402: Option<PathBuf>,
    /// Where the data directories are made: on the disk whose syncs are to be measured.
    #[arg(long)]
    data_dir: PathBuf,
    /// How often ours and the peers take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many connections call at once, each with a channel of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    connections: Vec<u8>,
    /// Calls in a round to the stub and to the gateway, over all connections; an eighth over one.
    #[arg(long, default_value_t = 16_000)]
    calls: usize,
    /// The same for a peer.
    #[arg(long, default_value_t = 800)]
    peer_calls: usize,
    /// Print a line of JSON a figure.
    #[arg(long)]
    json: bool,
}

/// One thread: the load must leave the cores to what it measures.
#[tokio::main(flavor = "current_thread")]
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
    std::fs::create_dir_all(&options.data_dir)?;
    let mut bench = Bench::start(options).await?;
    bench.warm_up().await?;
    for round in 1..=options.rounds {
        for connections in options.connections.iter().map(|count| usize::from(*count)) {
            note(&format!("round {round} of {}, {connections} connections", options.rounds));
            bench.round(options, connections).await?;
        }
    }
    note("comparing the books");
    bench.books.compare(&bench.market).await?;
    let (mut figures, x402) = (bench.figures()?, bench.x402_figures()?);
    if let Some(peer) = &bench.x402 {
        peer.claim().await?;
    }
    figures.extend(bench.starts(options).await?);
    print(&figures, options.json)?;
    if !x402.is_empty() {
        print(&x402, options.json)?;
    }
    Ok(())
}

#[allow(clippy::print_stderr, reason = "how far it is, apart from the figures")]
fn note(text: &str) {
    eprintln!("    {text}");
}
