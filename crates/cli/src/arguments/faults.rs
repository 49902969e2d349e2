//! The command line of `vouch faults`.

use std::path::PathBuf;

use alloy_primitives::{Address, B256};
use clap::{Args, Subcommand};

use super::Economics;
use crate::money::Dollars;

#[derive(Debug, Subcommand)]
pub(crate) enum Faults {
    /// Check a proof of a provider's fault, offline
    #[command(after_help = "Example: vouch faults check split-0x5f3c….json
Exit code 0 if it proves a fault. Buyers keep such files below DATA_DIR/buyer/evidence.")]
    Check {
        /// The proof
        proof: PathBuf,
    },
    /// Report a provider's fault to the chain: it costs the provider part of its stake
    #[command(after_help = "Example: vouch faults report split-0x5f3c….json
Half of what it costs is the reporter's: `vouch faults withdraw` takes it.")]
    Report {
        /// The proof
        proof: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// Show what a provider stands to lose, which keys speak for it, and what it has to answer
    #[command(after_help = "Example: vouch faults show 0x5f3c…")]
    Show {
        /// Whose [default: this machine's provider]
        provider: Option<Address>,
        #[command(flatten)]
        at: At,
    },
    /// Answer a demand for the receipt behind a claim: the demander's bond is then the provider's
    #[command(after_help = "Example: vouch faults answer 0x5f3c…
`vouch faults show` lists demands. The receipt is the channel's last in this machine's store, which
nothing may serve from meanwhile; or it is read from a file, such as a buyer's bundle.")]
    Answer {
        /// The channel
        channel: B256,
        /// A JSON file with the receipt and its promise, instead of the store
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },
    /// Stake dollars that faults of this machine's provider cost it
    #[command(after_help = "Example: vouch faults bond 100
Whoever doubts a claim may demand the receipt behind it: `vouch faults show` lists demands, and
`vouch faults answer` has to answer each within 3 days, or it is a fault.")]
    Bond {
        /// How many dollars
        amount: Dollars,
        #[command(flatten)]
        at: At,
    },
    /// Ask for part of the stake: it leaves after 21 days
    #[command(after_help = "Example: vouch faults unbond 100")]
    Unbond {
        /// How many dollars
        amount: Dollars,
        #[command(flatten)]
        at: At,
    },
    /// Take what has left the stake, and what reports have earned
    #[command(after_help = "Example: vouch faults withdraw")]
    Withdraw(At),
}

/// Which faults contract.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// The faults contract, which providers' documents name [default: the one of --holder]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) faults: Option<Address>,
    #[command(flatten)]
    pub(crate) on: Economics,
}
