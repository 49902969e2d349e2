//! The command line of `vouch govern`.

use alloy_primitives::{Address, U256};
use clap::{Args, Subcommand, ValueEnum};

use super::Economics;

#[derive(Debug, Subcommand)]
pub(crate) enum Govern {
    /// Show what the parameters are, and what is proposed
    #[command(after_help = "Example: vouch govern show")]
    Show(Economics),
    /// Let another key vote with your votes: an agent's, for example; your own takes them back
    #[command(after_help = "Example: vouch govern delegate 0x5f3c…")]
    Delegate {
        /// Who votes
        to: Address,
        #[command(flatten)]
        on: Economics,
    },
    /// Propose another value of a parameter
    #[command(after_help = "Example: vouch govern propose fee-share-bps 50")]
    Propose {
        /// Which
        parameter: Parameter,
        /// The value: basis points, or atomic units of the stake
        value: U256,
        /// Why, for those who vote
        #[arg(long, default_value = "", value_name = "TEXT")]
        why: String,
        #[command(flatten)]
        on: Economics,
    },
    /// Overrule your delegate on a proposal, while its vote is open
    #[command(after_help = "Example: vouch govern overrule 8123… against")]
    Overrule(Vote),
    /// Queue a proposal that passed, or carry it out once its delay is over
    #[command(after_help = "Example: vouch govern enact 8123…")]
    Enact {
        /// The proposal
        proposal: U256,
        #[command(flatten)]
        on: Economics,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Vote {
    /// The proposal
    pub(crate) proposal: U256,
    /// What you vote
    pub(crate) support: Support,
    #[command(flatten)]
    pub(crate) on: Economics,
}

/// What governance may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Parameter {
    /// The protocol's part of income, in basis points
    FeeShareBps,
    /// The part of a stake that a fault costs, in basis points
    SlashingShareBps,
    /// The least stake, in atomic units
    MinimumStake,
}

/// A vote; the numbers are the governor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Support {
    /// Against it
    Against = 0,
    /// For it
    For = 1,
    /// Neither
    Abstain = 2,
}
