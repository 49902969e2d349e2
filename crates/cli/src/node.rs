//! The embedded chain: its genesis holds the contracts, and money for the provider's key.

use std::path::Path;

use alloy_primitives::{Address, U256};
use anyhow::Context;
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
    let mut options = Options::new(genesis, SystemClock);
    let bar = replay_bar();
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

/// Shown on a terminal only, while a chain with many blocks is executed again.
fn replay_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("  chain {bar:30} {pos}/{len} blocks") {
        bar.set_style(style);
    }
    bar
}
