//! `cargo xtask bench chain`: token transfers on `vouch chain`, anvil and hardhat, in turn.
//!
//! ```text
//! signed once ──▶ load ──HTTP──▶ vouch chain | anvil | hardhat node     a new chain for each load
//!                   └──▶ when all are in blocks: every receipt, balance and nonce is checked
//! ```

mod ceilings;
mod check;
mod figures;
mod growth;
mod measure;
mod node;
mod rpc;
mod transfers;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::{
    ceilings::Ceilings,
    check::check,
    figures::Results,
    measure::{Shape, prepare, run},
    node::{Node, Who},
    transfers::Transfers,
};

const BENCH: &str = "chain";
/// Before the answers to `eth_sendRawTransactionSync` are timed.
const WARM_UP: usize = 100;
const LARGEST: usize = 1_000_000;

#[derive(Debug, Parser)]
struct Options {
    /// The `vouch` binary.
    #[arg(long)]
    vouch: PathBuf,
    /// The folder with the packages of anvil and hardhat; without it, they are left out.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Where the data directories are made: on the disk whose syncs are to be measured.
    #[arg(long)]
    data_dir: PathBuf,
    /// What to measure [default: all].
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// How often ours and the peers take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Transfers in a row, to ours and to anvil with a block a second.
    #[arg(long, default_value_t = 100_000)]
    count: usize,
    /// The same to anvil with instant blocks.
    #[arg(long, default_value_t = 5_000)]
    anvil_count: usize,
    /// The same to hardhat.
    #[arg(long, default_value_t = 5_000)]
    hardhat_count: usize,
    /// Transfers by `eth_sendRawTransactionSync`.
    #[arg(long, default_value_t = 2_000)]
    sync_count: usize,
    /// Accounts that send, in turn.
    #[arg(long, default_value_t = 1_000)]
    senders: usize,
    /// How many transfers a chain has each time when it is looked at as it grows.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000])]
    sizes: Vec<usize>,
    /// Lets it grow to 1,000,000 transfers.
    #[arg(long)]
    growth: bool,
    /// Print a line of JSON a figure.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Transfers a second, and what they cost.
    Load,
    /// How soon a transfer is known to be in a block.
    Sync,
    /// What revm, libsecp256k1 and the disk do alone.
    Ceilings,
    /// One chain as it becomes longer.
    Growth,
}

/// One thread: the load must leave the cores to what it measures.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    std::fs::create_dir_all(&options.data_dir)?;
    note(&format!("signing {} transfers", options.most()));
    let transfers = Transfers::sign(options.senders, options.most())?;
    let mut results = Results::default();
    for round in 1..=options.rounds {
        note(&format!("round {round} of {}", options.rounds));
        if options.measures(Part::Ceilings) {
            let directory = &options.data_dir;
            results.ceilings.push(Ceilings::measure(&transfers, options.count, directory)?);
        }
        if options.measures(Part::Load) {
            loads(&options, &transfers, &mut results).await?;
        }
        if options.measures(Part::Sync) {
            sync(&options, &transfers, &mut results).await?;
        }
    }
    if options.measures(Part::Growth) {
        results.growth = Some(growth::grow(&options, &transfers).await?);
    }
    results.print(options.json)
}

impl Options {
    fn measures(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn with_peers(&self, all: &[Who]) -> Vec<Who> {
        all.iter().copied().filter(|who| who.is_ours() || self.peers.is_some()).collect()
    }

    fn sizes(&self) -> Vec<usize> {
        let mut sizes = self.sizes.clone();
        sizes.extend(self.growth.then_some(LARGEST));
        sizes.sort_unstable();
        sizes
    }

    fn most(&self) -> usize {
        let counts = [self.count, self.anvil_count, self.hardhat_count, WARM_UP + self.sync_count];
        let sizes = if self.measures(Part::Growth) { self.sizes() } else { Vec::new() };
        counts.into_iter().chain(sizes).max().unwrap_or(0)
    }
}

/// Each in turn, under the same load.
async fn loads(
    options: &Options,
    transfers: &Transfers,
    results: &mut Results,
) -> anyhow::Result<()> {
    for shape in [Shape::single(1), Shape::single(8), Shape::BATCHES] {
        for who in options.with_peers(&[Who::Vouch, Who::Anvil, Who::Hardhat]) {
            load(options, transfers, who, shape, results).await?;
        }
    }
    for who in options.with_peers(&[Who::VouchInterval, Who::AnvilInterval]) {
        load(options, transfers, who, Shape::BATCHES, results).await?;
    }
    Ok(())
}

async fn load(
    options: &Options,
    transfers: &Transfers,
    who: Who,
    shape: Shape,
    results: &mut Results,
) -> anyhow::Result<()> {
    let count = who.count(options);
    let node = Node::start(who, options).await?;
    prepare(&node, transfers).await?;
    let measured = run(&node, transfers, 0..count, shape).await?;
    note(&format!("{who:?}, {shape}: {:.0} transfers/s", measured.rate()));
    check(&node, transfers, count).await?;
    results.add(who, shape, node.name().await?, measured);
    if (who, shape) == (Who::Vouch, Shape::BATCHES) {
        let (node, starts) = node.restarted(options).await?;
        check(&node, transfers, count).await?;
        results.starts.push(starts);
    }
    Ok(())
}

/// Hardhat does not have the method.
async fn sync(
    options: &Options,
    transfers: &Transfers,
    results: &mut Results,
) -> anyhow::Result<()> {
    for who in options.with_peers(&[Who::Vouch, Who::Anvil]) {
        let node = Node::start(who, options).await?;
        prepare(&node, transfers).await?;
        run(&node, transfers, 0..WARM_UP, Shape::SYNC).await?;
        let end = WARM_UP + options.sync_count;
        let measured = run(&node, transfers, WARM_UP..end, Shape::SYNC).await?;
        note(&format!("{who:?}, {}: {:.0} transfers/s", Shape::SYNC, measured.rate()));
        check(&node, transfers, end).await?;
        results.add(who, Shape::SYNC, node.name().await?, measured);
    }
    Ok(())
}

#[allow(clippy::print_stderr, reason = "how far it is, apart from the figures")]
fn note(text: &str) {
    eprintln!("    {text}");
}
