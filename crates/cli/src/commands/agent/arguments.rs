//! What `vouch agent` is told.

use std::path::PathBuf;

use alloy_primitives::Address;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Give an agent a mandate, see what is left of it, or end it
    #[command(subcommand, after_help = "Example: vouch agent mandate new mandate.toml")]
    Mandate(Mandate),
    /// Hold an agent's key in a process of its own, and act on intents that its mandate allows
    #[command(after_help = "Example: vouch agent signer --stdio
One JSON request a line, one JSON reply a line; the socket is for this user alone.")]
    Signer(Signer),
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
    /// End a mandate at once, by one transaction of the owner
    #[command(after_help = "Example: vouch agent mandate revoke")]
    Revoke {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        owner: Owner,
    },
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
