//! The embedded chain: its genesis holds the contracts, and money for the provider's key.

use std::path::Path;

use alloy_primitives::{Address, U256};
use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use vouch_chain::{Chain, Genesis, GenesisAccount, Options, SystemClock, random_chain_id};
use vouch_contracts::genesis_code;

use crate::time::unix_seconds;

/// A thousand test ether: fees for as long as anyone tests.
const OPERATOR_WEI: u128 = 1_000_000_000_000_000_000_000;

/// Opens the chain in `data_dir/chain`; a new one has the contracts, and `operator` has ether and
/// may mint the test dollar.
pub(crate) fn open(data_dir: &Path, operator: Address) -> anyhow::Result<Chain> {
    let contracts = genesis_code(operator)?;
    let mut genesis = Genesis::development(random_chain_id()?, unix_seconds())
        .with_account(operator, GenesisAccount::funded(U256::from(OPERATOR_WEI)));
    for contract in contracts {
        let account =
            GenesisAccount { storage: contract.storage, ..GenesisAccount::contract(contract.code) };
        genesis = genesis.with_account(contract.address, account);
    }
    start(data_dir, genesis)
}

/// Opens the chain in `data_dir/chain` that begins with this genesis, or begins one.
pub(crate) fn open_of(data_dir: &Path, genesis: Genesis) -> anyhow::Result<Chain> {
    let chain = start(data_dir, genesis.clone())?;
    ensure!(
        *chain.genesis() == genesis,
        "the chain in {} began with another genesis: leave --genesis out to go on with it, or choose \
         another --data-dir",
        data_dir.display()
    );
    Ok(chain)
}

fn start(data_dir: &Path, genesis: Genesis) -> anyhow::Result<Chain> {
    let mut options = Options::new(genesis, SystemClock);
    let bar = block_bar();
    options.progress = Box::new(move |progress| {
        bar.set_length(progress.of);
        bar.set_position(progress.block);
        if progress.block == progress.of {
            bar.finish_and_clear();
        }
    });
    let directory = data_dir.join("chain");
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
