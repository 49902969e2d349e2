//! The embedded chain: its genesis holds the contracts, and money for the provider's key.

use std::path::{Path, PathBuf};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, U256};
use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use vouch_chain::{
    ByHand, Chain, ForkPoint, Genesis, GenesisAccount, Mining, Options, SystemClock,
    random_chain_id,
};
use vouch_contracts::genesis_code;

use crate::arguments::chain::{Forked, NewChain};
use crate::time::unix_seconds;

/// In wei.
const ETHER: u128 = 1_000_000_000_000_000_000;
/// Fees for as long as anyone tests.
const OPERATOR_ETHER: u64 = 1_000;

/// What a chain is for.
pub(crate) enum Usage {
    /// Money depends on it: nobody changes by hand more than its time.
    Provider,
    /// To try things out.
    Development {
        mining: Mining,
        /// [`Options::prune_blocks`].
        prune_blocks: Option<u64>,
        /// Accounts that it signs for; each owns some ether if the chain is new.
        signers: Vec<PrivateKeySigner>,
        /// What it begins with if it is new.
        new: NewChain,
    },
}

/// Opens the chain in `data_dir/chain`; a new one has the contracts, and `operator` has ether and
/// may mint the test dollar.
pub(crate) fn open(data_dir: &Path, operator: Address, usage: Usage) -> anyhow::Result<Chain> {
    let contracts = genesis_code(operator)?;
    let mut genesis = Genesis::development(random_chain_id()?, unix_seconds());
    for contract in contracts {
        let account =
            GenesisAccount { storage: contract.storage, ..GenesisAccount::contract(contract.code) };
        genesis = genesis.with_account(contract.address, account);
    }
    if let Usage::Development { signers, new, .. } = &usage {
        genesis = new.development(genesis, signers);
    }
    // One of the accounts may be the operator: it has the larger sum.
    if !genesis.has_account(operator) {
        let wei = U256::from(OPERATOR_ETHER) * U256::from(ETHER);
        genesis = genesis.with_account(operator, GenesisAccount::funded(wei));
    }
    start(data_dir, usage.options(genesis))
}

/// Opens the chain in `data_dir/chain`, a fork, or begins one there where none was begun.
pub(crate) fn open_fork(
    data_dir: &Path,
    forked: &Forked,
    begun: bool,
    usage: Usage,
) -> anyhow::Result<Chain> {
    let genesis = match (&usage, begun) {
        (Usage::Development { signers, new, .. }, false) => {
            let genesis = Genesis::fork(ForkPoint::ask(&forked.url, forked.block)?);
            new.development(genesis, signers)
        }
        // That of the chain that is there counts.
        _ => Genesis::development(random_chain_id()?, unix_seconds()),
    };
    let mut options = usage.options(genesis);
    options.fork_url = Some(forked.url.clone());
    let chain = start(data_dir, options)?;
    let number = chain.genesis().fork_point().map(ForkPoint::number);
    ensure!(
        forked.block.is_none() || forked.block == number,
        "the chain in {} goes on from block {}: leave the block out, or choose another --data-dir",
        data_dir.display(),
        number.unwrap_or_default()
    );
    Ok(chain)
}

impl Usage {
    fn options(self, genesis: Genesis) -> Options {
        let mut options = Options::new(genesis, SystemClock);
        match self {
            Self::Provider => options.by_hand = ByHand::Time,
            Self::Development { mining, prune_blocks, signers, new } => {
                options.expected_chain_id = new.chain_id;
                (options.mining, options.accounts) = (mining, signers);
                options.prune_blocks = prune_blocks;
            }
        }
        options
    }
}

impl NewChain {
    /// What was asked for, and what each of the accounts owns.
    fn development(&self, mut genesis: Genesis, signers: &[PrivateKeySigner]) -> Genesis {
        let balance = U256::from(self.balance) * U256::from(ETHER);
        genesis = self.chain_id.into_iter().fold(genesis, Genesis::with_chain_id);
        genesis = self.gas_limit.into_iter().fold(genesis, Genesis::with_gas_limit);
        genesis = self.timestamp.into_iter().fold(genesis, Genesis::with_timestamp);
        let owners = signers.iter().map(PrivateKeySigner::address);
        owners.fold(genesis, |genesis, owner| {
            genesis.with_account(owner, GenesisAccount::funded(balance))
        })
    }
}

/// Opens the chain in `data_dir/chain` that begins with this genesis, or begins one.
pub(crate) fn open_of(
    data_dir: &Path,
    genesis: Genesis,
    mining: Mining,
    prune_blocks: Option<u64>,
) -> anyhow::Result<Chain> {
    let mut options = Options::new(genesis.clone(), SystemClock);
    (options.mining, options.prune_blocks) = (mining, prune_blocks);
    let chain = start(data_dir, options)?;
    ensure!(
        *chain.genesis() == genesis,
        "the chain in {} began with another genesis: leave --genesis out to go on with it, or choose \
         another --data-dir",
        data_dir.display()
    );
    Ok(chain)
}

/// Whether there is a chain, or the beginning of one.
pub(crate) fn is_begun(data_dir: &Path) -> bool {
    let files = std::fs::read_dir(directory(data_dir));
    files.is_ok_and(|mut files| files.next().is_some())
}

/// Whether there is a chain to look at.
pub(crate) fn has_blocks(data_dir: &Path) -> bool {
    directory(data_dir).join("journal-00000000.log").exists()
}

/// Where the chain is.
pub(crate) fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("chain")
}

fn start(data_dir: &Path, mut options: Options) -> anyhow::Result<Chain> {
    let bar = block_bar();
    options.progress = Box::new(move |progress| {
        bar.set_length(progress.of);
        bar.set_position(progress.done);
        if progress.done == progress.of {
            bar.finish_and_clear();
        }
    });
    let directory = directory(data_dir);
    Chain::open(&directory, options)
        .with_context(|| format!("the chain in {} cannot be opened", directory.display()))
}

/// Shown on a terminal only, while many blocks are executed.
pub(crate) fn block_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("  chain {bar:30} {pos}/{len} blocks") {
        bar.set_style(style);
    }
    bar
}
