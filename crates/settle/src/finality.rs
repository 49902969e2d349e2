//! How deep a block must be until what is in it counts.

use std::{fmt, str::FromStr};

use alloy::{
    eips::BlockNumberOrTag,
    providers::{DynProvider, Provider},
};

use crate::Error;

/// Chains whose own nodes say soon, and say reliably, what is final: Polygon, Gnosis and Avalanche.
const TAGGED: [u64; 3] = [137, 100, 43_114];
/// Rollups with one sequencer, which has not taken back a block that it gave out: OP Mainnet, Base,
/// Arbitrum One and their test networks. Ten blocks are seconds there.
const ROLLUPS: [u64; 6] = [10, 8453, 42_161, 11_155_420, 84_532, 421_614];
/// Ids that development nodes have.
const DEVELOPMENT: [u64; 2] = [1337, 31_337];

/// When a deposit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// When this many blocks are above it; 0 where a chain takes nothing back.
    Blocks(u64),
    /// When the node calls its block safe.
    Safe,
    /// When the node calls its block final.
    Finalized,
}

impl Finality {
    /// What suits a network, where nothing is said: no depth on a development node, the node's own
    /// word where it comes within seconds, ten blocks of a rollup, and twelve blocks elsewhere. A
    /// deeper reorganisation costs no more than what was served and not claimed until it is seen.
    #[must_use]
    pub fn usual(chain_id: u64) -> Self {
        match chain_id {
            id if DEVELOPMENT.contains(&id) => Self::Blocks(0),
            id if TAGGED.contains(&id) => Self::Finalized,
            id if ROLLUPS.contains(&id) => Self::Blocks(10),
            _ => Self::Blocks(12),
        }
    }

    /// The number of the newest block that counts, where `head` is the newest of all.
    pub(crate) async fn newest(self, provider: &DynProvider, head: u64) -> Result<u64, Error> {
        let tag = match self {
            Self::Blocks(blocks) => return Ok(head.saturating_sub(blocks)),
            Self::Safe => BlockNumberOrTag::Safe,
            Self::Finalized => BlockNumberOrTag::Finalized,
        };
        let block = provider.get_block_by_number(tag).await;
        let block = block.map_err(Error::rpc("for its final block"))?;
        // A chain that is younger than its finality has nothing final but its genesis.
        Ok(block.map_or(0, |block| block.header.number))
    }
}

impl FromStr for Finality {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "safe" => Ok(Self::Safe),
            "finalized" => Ok(Self::Finalized),
            blocks => blocks.parse().map(Self::Blocks).map_err(|_| {
                format!("{blocks:?} is neither a number of blocks nor `safe` nor `finalized`")
            }),
        }
    }
}

impl fmt::Display for Finality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocks(blocks) => blocks.fmt(f),
            Self::Safe => "safe".fmt(f),
            Self::Finalized => "finalized".fmt(f),
        }
    }
}
