//! What `vouch agent` is told.

use std::path::PathBuf;

use alloy_primitives::{Address, B256};
use clap::{Args, Subcommand};

use crate::money::Dollars;

#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Give an agent a mandate, see what is left of it, or end it
    #[command(subcommand, after_help = "Example: vouch agent mandate new mandate.toml")]
    Mandate(Mandate),
    /// Hold an agent's key in a process of its own, and act on intents that its mandate allows
    #[command(after_help = "Example: vouch agent signer --stdio
One JSON request a line, one JSON reply a line; the socket is for this user alone.")]
    Signer(Signer),
    /// Ask a paid question within the mandate, through the signer and a running `vouch connect`
    #[command(
        after_help = "Example: vouch agent ask \"What do the letters say of rain?\" --sources
The signer sets the most that it may cost aside, and takes back what the receipt does not account for."
    )]
    Ask(AgentAsk),
    /// Show an agent's address; makes its key if it has none
    #[command(after_help = "Example: vouch agent key --name sub")]
    Key {
        /// The agent's name on this machine
        #[arg(long, default_value = "agent", value_name = "NAME")]
        name: String,
    },
    /// Keep a portfolio, or try it on a history of prices
    #[command(after_help = "Example: vouch agent run portfolio.toml
On a history:  vouch agent run portfolio.toml --history prices.csv --hold USD=10000
  where each line is: unix seconds, price in the quote token, volume (optional)")]
    Run(AgentRun),
    /// Say what a run earned, against buying and holding
    #[command(after_help = "Example: vouch agent report portfolio.toml --html report.html")]
    Report(AgentReport),
    /// List what an agent did and was refused, or export the proof of one act
    #[command(after_help = "Example: vouch agent log
A proof for others:  vouch agent log --bundle RECEIPT --out act.json && vouch verify act.json
While the agent's signer runs, it is asked; else the log is read where it lies.")]
    Log(AgentLog),
    /// Vote on the protocol's parameters by a written policy
    #[command(after_help = "Example: vouch agent delegate policy.toml")]
    Delegate(AgentDelegate),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mandate {
    /// Check and sign a mandate, and put it in force by one transaction of the owner
    #[command(after_help = "Example: vouch agent mandate new mandate.toml --days 30
What the file leaves out is filled in: owner, agent, chain, start, expiry.")]
    New {
        /// The mandate, TOML
        file: PathBuf,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        owner: Owner,
        /// Until when, in days from now, where the file has no expiry
        #[arg(long, default_value_t = 30, value_name = "DAYS")]
        days: u64,
        /// The agent's address, where its key is kept elsewhere
        #[arg(long, value_name = "ADDRESS")]
        agent: Option<Address>,
        /// Wei of the chain's coin that the agent is given for gas
        #[arg(long, default_value_t = 10_000_000_000_000_000, value_name = "WEI")]
        gas: u128,
    },
    /// Show a mandate and what is left of it on the chain
    #[command(after_help = "Example: vouch agent mandate show")]
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Hand part of a mandate on to a sub-agent, with a limit of its own
    #[command(
        after_help = "Example: vouch agent mandate delegate sub --limit 2000000 --dollars 0.50
The mandate's `delegate` permission names the sub-agent's address, which `vouch agent key --name sub`
shows; the agent's signer must run. Then: vouch agent signer --name sub"
    )]
    Delegate(Delegate),
    /// End a mandate at once, by one transaction of the owner
    #[command(after_help = "Example: vouch agent mandate revoke")]
    Revoke {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        owner: Owner,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Delegate {
    /// The sub-agent's name on this machine, or its address, and then --out
    pub(crate) sub: String,
    /// The most that it may spend in all, atomic units of the permission's token
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) limit: u128,
    /// The most that it may spend on answers
    #[arg(long, default_value = "0", value_name = "DOLLARS")]
    pub(crate) dollars: Dollars,
    /// The name of the agent that hands on
    #[arg(long, default_value = "agent", value_name = "NAME")]
    pub(crate) name: String,
    /// Where that agent's signer listens [default: where `vouch agent signer` does]
    #[arg(long, value_name = "FILE")]
    pub(crate) signer: Option<PathBuf>,
    /// Where the sub-agent's mandate is written [default: mandate.json in the sub-agent's directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Which agent, on which chain.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The agent's name on this machine
    #[arg(long, default_value = "agent", value_name = "NAME")]
    pub(crate) name: String,
    /// JSON-RPC address of the chain [default: http://127.0.0.1:8545]
    #[arg(long, env = "VOUCH_CHAIN", value_name = "URL")]
    pub(crate) chain: Option<String>,
}

/// Whose account it is.
#[derive(Debug, Args)]
pub(crate) struct Owner {
    /// The owner's key file [default: the wallet that `vouch wallet` shows]
    #[arg(long = "owner", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Signer {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The signed mandate [default: the one that `mandate new` made]
    #[arg(long, value_name = "FILE")]
    pub(crate) mandate: Option<PathBuf>,
    /// Where it listens [default: signer.sock in the agent's directory]
    #[arg(long, value_name = "FILE", conflicts_with = "stdio")]
    pub(crate) socket: Option<PathBuf>,
    /// Read requests from standard input and answer on standard output, until its end
    #[arg(long)]
    pub(crate) stdio: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AgentAsk {
    /// The question
    pub(crate) question: String,
    /// The model [default: the provider's first]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Answer from sources, whose owners are paid
    #[arg(long)]
    pub(crate) sources: bool,
    /// Instructions before the question
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// The most tokens of the answer
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub(crate) max_tokens: u32,
    /// 0 for the likeliest answer, higher for a freer one
    #[arg(long, value_name = "NUMBER")]
    pub(crate) temperature: Option<f64>,
    /// The same seed gives the same answer
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<i64>,
    /// The most that the answer may cost [default: what the mandate allows for one]
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) max_charge: Option<Dollars>,
    /// The agent's name on this machine
    #[arg(long, default_value = "agent", value_name = "NAME")]
    pub(crate) name: String,
    /// Where the agent's signer listens [default: where `vouch agent signer` does]
    #[arg(long, value_name = "FILE")]
    pub(crate) signer: Option<PathBuf>,
    /// The `vouch connect` that the question goes through [default: the one of this data directory,
    /// or http://127.0.0.1:4021]
    #[arg(long, value_name = "URL")]
    pub(crate) connect: Option<String>,
}

/// Where an agent acts, and with what.
#[derive(Debug, Args)]
pub(crate) struct Acting {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Where the agent's signer listens [default: where `vouch agent signer` does]
    #[arg(long, value_name = "FILE", conflicts_with = "unguarded")]
    pub(crate) signer: Option<PathBuf>,
    /// Sign with a key of its own, for that key's account: no mandate holds it to anything
    #[arg(long)]
    pub(crate) unguarded: bool,
    /// The `vouch connect` that questions to a model go through [default: the one of this data
    /// directory, or http://127.0.0.1:4021]
    #[arg(long, value_name = "URL")]
    pub(crate) connect: Option<String>,
    /// Where the run is recorded [default: runs/NAME of the file, in the agent's directory]
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
    /// The agent's name on this machine
    #[arg(long, default_value = "agent", value_name = "NAME")]
    pub(crate) name: String,
    /// Where the run was recorded [default: runs/NAME of the file, in the agent's directory]
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
pub(crate) struct AgentLog {
    /// The agent's name on this machine
    #[arg(long, default_value = "agent", value_name = "NAME")]
    pub(crate) name: String,
    /// The mandate that the log is under [default: the one that `mandate new` made]
    #[arg(long, value_name = "FILE")]
    pub(crate) mandate: Option<PathBuf>,
    /// Where the agent's signer listens [default: where `vouch agent signer` does]
    #[arg(long, value_name = "FILE")]
    pub(crate) signer: Option<PathBuf>,
    /// Export this act, with what it relied on and what was done under it
    #[arg(long, value_name = "RECEIPT", requires = "out")]
    pub(crate) bundle: Option<B256>,
    /// Where the exported proof is written
    #[arg(long, value_name = "FILE", requires = "bundle")]
    pub(crate) out: Option<PathBuf>,
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
