//! `vouch chain`. Where anvil has an option that means the same, it has the same name here.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Chain {
    /// Where JSON-RPC listens, over HTTP and WebSocket [default: 127.0.0.1:8545]
    #[arg(long, env = "VOUCH_CHAIN_LISTEN", value_name = "ADDRESS", conflicts_with_all = ["host", "port"])]
    pub(crate) listen: Option<SocketAddr>,
    /// The address alone to listen on
    #[arg(long, value_name = "IP")]
    pub(crate) host: Option<IpAddr>,
    /// The port alone to listen on
    #[arg(long, short, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Make a block every so many seconds [default: as soon as a transaction waits]
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) block_time: Option<Duration>,
    /// Make blocks by evm_mine alone
    #[arg(long, visible_alias = "no-mine", conflicts_with = "block_time")]
    pub(crate) no_mining: bool,
    /// Say nothing but that it listens
    #[arg(long, visible_alias = "quiet")]
    pub(crate) silent: bool,
    /// Go on from another network's chain, at the address of one of its nodes; what is not changed
    /// here is read there when it is needed, and kept
    #[arg(long, short, visible_alias = "fork", value_name = "URL[@BLOCK]", env = "VOUCH_FORK_URL", hide_env_values = true, conflicts_with_all = ["genesis", "timestamp"], value_parser = forked)]
    pub(crate) fork_url: Option<Forked>,
    /// The block to go on from [default: the newest]
    #[arg(long, value_name = "NUMBER", requires = "fork_url")]
    pub(crate) fork_block_number: Option<u64>,
    /// Keep this many blocks before the newest, with their receipts and states, and remove what is
    /// older from the disk, for good [default: keep all]
    #[arg(long, value_name = "BLOCKS", value_parser = prune)]
    pub(crate) prune: Option<u64>,
    /// Keep nothing: the chain ends with the process
    #[arg(long)]
    pub(crate) in_memory: bool,
    #[command(flatten)]
    pub(crate) new: NewChain,
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
}

/// What a new chain begins with; one that is there goes on as it began.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "A new chain")]
pub(crate) struct NewChain {
    /// What it begins with and which rules hold when: geth's genesis.json
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) genesis: Option<PathBuf>,
    /// Its id [default: a random one]
    #[arg(long, value_name = "ID", conflicts_with = "genesis")]
    pub(crate) chain_id: Option<u64>,
    /// How many accounts own test ether
    #[arg(long, short, value_name = "NUMBER", conflicts_with = "genesis", default_value_t = 10, value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub(crate) accounts: u32,
    /// How much each of them owns, in ether
    #[arg(long, value_name = "ETHER", conflicts_with = "genesis", default_value_t = 10_000)]
    pub(crate) balance: u64,
    /// What their keys come from (BIP-39) [default: random words, kept in DATA_DIR/accounts.json]
    #[arg(long, short, value_name = "WORDS", conflicts_with = "genesis")]
    pub(crate) mnemonic: Option<String>,
    /// Gas of a block [default: 1000000000]
    #[arg(long, value_name = "GAS", conflicts_with = "genesis")]
    pub(crate) gas_limit: Option<u64>,
    /// Time of its first block, in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS", conflicts_with = "genesis")]
    pub(crate) timestamp: Option<u64>,
}

/// Which chain is forked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forked {
    /// One of its nodes.
    pub(crate) url: String,
    pub(crate) block: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Execute blocks that were made elsewhere, and keep them
    #[command(after_help = "Example: vouch chain --genesis genesis.json import chain.rlp
Each must follow the one before it and be what its header says; those that are there already are passed over.")]
    Import {
        /// RLP blocks, one after the other, as geth exports them
        file: PathBuf,
    },
    /// Write blocks to a file, as geth imports them
    #[command(after_help = "Example: vouch chain export chain.rlp --from 1 --to 1000")]
    Export {
        /// Where they are written; what is there is replaced
        file: PathBuf,
        /// The first block
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        from: u64,
        /// The last block [default: the newest]
        #[arg(long, value_name = "NUMBER")]
        to: Option<u64>,
    },
    /// Say what there is of the chain, and how much of the disk it takes
    #[command(after_help = "Example: vouch chain status
Of a chain that runs, GET /metrics and its JSON-RPC tell.")]
    Status,
    /// Check that every record is as it was written and every block is what its header says
    #[command(after_help = "Example: vouch chain fsck --rebuild")]
    Fsck(super::Fsck),
    /// Leave out of the chain's files what was taken back (evm_revert, anvil_reset)
    #[command(after_help = "Example: vouch chain compact
What counts is written anew and takes the place of what there was in one step.")]
    Compact,
}

fn prune(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(blocks) if blocks >= 256 => Ok(blocks),
        _ => Err("want 256 blocks or more: BLOCKHASH looks back so far".to_owned()),
    }
}

fn forked(text: &str) -> Result<Forked, String> {
    // What stands before a host may have an @ of its own.
    if let Some((url, block)) = text.rsplit_once('@')
        && !block.is_empty()
        && block.bytes().all(|byte| byte.is_ascii_digit())
    {
        let block = block.parse().map_err(|_| format!("{block} is no block's number"))?;
        return Ok(Forked { url: url.to_owned(), block: Some(block) });
    }
    Ok(Forked { url: text.to_owned(), block: None })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "want a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if time >= Duration::from_millis(1) && time <= Duration::from_secs(1 << 32) => {
            Ok(time)
        }
        _ => Err("want between 0.001 and 4294967296 seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_may_name_its_block() {
        let of = |url: &str, block| Forked { url: url.to_owned(), block };
        assert_eq!(forked("http://[::1]:8545@17"), Ok(of("http://[::1]:8545", Some(17))));
        assert_eq!(forked("https://me:secret@host/1"), Ok(of("https://me:secret@host/1", None)));
        assert_eq!(forked("https://me@host@5"), Ok(of("https://me@host", Some(5))));
        assert!(forked("http://host@99999999999999999999").is_err());
    }
}
