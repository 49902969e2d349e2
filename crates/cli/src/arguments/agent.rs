//! The command line of `vouch agent`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Keep a portfolio, or try it on a history of prices
    #[command(after_help = "Example: vouch agent run portfolio.toml --unguarded
On a history:  vouch agent run portfolio.toml --history prices.csv --hold USD=10000
  where each line is: unix seconds, price in the quote token, volume (optional)")]
    Run(AgentRun),
    /// Say what a run earned, against buying and holding
    #[command(after_help = "Example: vouch agent report portfolio.toml --html report.html")]
    Report(AgentReport),
    /// Vote on the protocol's parameters by a written policy
    #[command(after_help = "Example: vouch agent delegate policy.toml --unguarded")]
    Delegate(AgentDelegate),
}

/// Where an agent acts, and with what.
#[derive(Debug, Args)]
pub(crate) struct Acting {
    /// JSON-RPC address of the chain [default: http://127.0.0.1:8545]
    #[arg(long, env = "VOUCH_CHAIN", value_name = "URL")]
    pub(crate) chain: Option<String>,
    /// Sign with the agent's own key for its own account: no mandate holds it to anything
    #[arg(long)]
    pub(crate) unguarded: bool,
    /// The `vouch connect` that questions to a model go through [default: the one of this data
    /// directory, or http://127.0.0.1:4021]
    #[arg(long, value_name = "URL")]
    pub(crate) connect: Option<String>,
    /// Where the run is recorded [default: DATA_DIR/agent/NAME of the file]
    #[arg(long, value_name = "DIR")]
    pub(crate) journal: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AgentRun {
    /// What to keep, where to trade, and within which limits
    pub(crate) portfolio: PathBuf,
    #[command(flatten)]
    pub(crate) acting: Acting,
    /// End after so many blocks
    #[arg(long, value_name = "N")]
    pub(crate) blocks: Option<u64>,
    #[command(flatten)]
    pub(crate) history: Past,
}

/// A simulation on what was.
#[derive(Debug, Args)]
pub(crate) struct Past {
    /// Simulate on a file of prices, or on the blocks of a recorded run (its directory)
    #[arg(long, value_name = "PATH")]
    pub(crate) history: Option<PathBuf>,
    /// What the simulated account begins with; repeatable
    #[arg(long = "hold", value_name = "NAME=AMOUNT", requires = "history")]
    pub(crate) holdings: Vec<String>,
    /// What the pool of a file of prices holds of the quote token
    #[arg(long, default_value = "1000000", value_name = "AMOUNT", requires = "history")]
    pub(crate) depth: String,
    /// The fee of a v3 pool of a file of prices, in millionths
    #[arg(long, default_value_t = 3_000, value_name = "N", requires = "history")]
    pub(crate) fee: u32,
    /// Wei for a unit of gas, where the history does not say
    #[arg(long, default_value_t = 1_000_000_000, value_name = "WEI", requires = "history")]
    pub(crate) gas_price: u128,
    /// Write the report as a page
    #[arg(long, value_name = "FILE", requires = "history")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AgentReport {
    /// The portfolio of the run
    pub(crate) portfolio: PathBuf,
    /// Where the run was recorded [default: DATA_DIR/agent/NAME of the file]
    #[arg(long, value_name = "DIR")]
    pub(crate) journal: Option<PathBuf>,
    /// Write a page with charts, which needs nothing beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write everything that the run saw and did, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub(crate) entries: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AgentDelegate {
    /// Which changes of which parameters are fine
    pub(crate) policy: PathBuf,
    #[command(flatten)]
    pub(crate) acting: Acting,
    /// Look at proposals from this block on
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) from_block: u64,
    /// Vote on what is open, and end
    #[arg(long)]
    pub(crate) once: bool,
}
