//! A chain of this process for the real binary, and what the binary says there.

use std::{path::Path, process::Command};

use alloy::{network::EthereumWallet, providers::DynProvider};
use alloy_primitives::U256;
use serde_json::Value;
use vouch_chain::{Chain, Clock, Genesis, GenesisAccount, Options, random_chain_id};
use vouch_contracts::{
    economy::{Economy, Governance, deploy_economy},
    genesis_code,
};
use vouch_wallet::Wallet;

/// A chain with the economy on it, whose operator is this machine's provider: its URL, and a
/// provider that signs as the operator.
pub(crate) async fn chain(home: &Path, clock: impl Clock) -> (String, Economy, DynProvider) {
    let operator = Wallet::open_or_create(&home.join("provider"), "").unwrap();
    let ether = U256::from(10u64).pow(U256::from(21));
    let mut genesis = Genesis::development(random_chain_id().unwrap(), 1_700_000_000)
        .with_account(operator.address(), GenesisAccount::funded(ether));
    for contract in genesis_code(operator.address()).unwrap() {
        let code = GenesisAccount::contract(contract.code);
        let account = GenesisAccount { storage: contract.storage, ..code };
        genesis = genesis.with_account(contract.address, account);
    }
    let chain = Chain::open(&home.join("chain"), Options::new(genesis, clock)).unwrap();
    let signer = EthereumWallet::from(operator.signer().unwrap());
    let signing = vouch_contracts::signing(&chain.provider(), signer);
    let governance = Governance::development(operator.address());
    let economy = deploy_economy(&signing, operator.address(), &governance).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, chain.router()).await.unwrap() });
    (url, economy, signing)
}

/// What `vouch GROUP ARGUMENTS` answers in JSON, or its error.
pub(crate) fn vouch(home: &Path, group: &str, arguments: &[&str]) -> Result<Value, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouch"));
    command.arg(group).args(arguments).args(["--json", "--data-dir"]).arg(home);
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
