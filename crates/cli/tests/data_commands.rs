//! `vouch data`: its help, and an owner's way through it.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

use std::{path::Path, process::Command};

use alloy::{
    network::EthereumWallet,
    providers::{Provider, ProviderBuilder},
};
use alloy_primitives::U256;
use serde_json::{Value, json};
use vouch_chain::{Chain, Genesis, GenesisAccount, Options, SystemClock, random_chain_id};
use vouch_contracts::{
    economy::{Governance, deploy_economy},
    genesis_code,
};
use vouch_wallet::Wallet;

#[test]
fn every_data_command_has_help_with_an_example() {
    let commands = [
        "publish",
        "serve",
        "grant",
        "revoke",
        "list",
        "earnings",
        "settle",
        "register",
        "royalties",
        "index",
        "train",
    ];
    for command in commands {
        let output =
            Command::new(env!("CARGO_BIN_EXE_vouch")).args(["data", command, "--help"]).output();
        let output = output.expect("the binary starts");
        assert!(output.status.success(), "{command}");
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(help.contains(&format!("Example: vouch data {command}")), "{command}: {help}");
    }
}

/// An owner publishes, grants, serves and revokes on a real chain, by the real binary.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_publishes_grants_and_revokes() {
    let home = tempfile::tempdir().unwrap();
    let url = chain(home.path()).await;
    let letters = home.path().join("letters");
    std::fs::create_dir(&letters).unwrap();
    std::fs::write(letters.join("a.md"), "# Oil\n\nThe lamp burns whale oil.").unwrap();
    std::fs::write(letters.join("b.bin"), "x").unwrap();
    let directory = letters.to_str().unwrap();
    let data = |arguments: &[&str]| run(home.path(), &url, arguments);

    let published = data(&["publish", directory, "--licence", "CC-BY-4.0"]).unwrap();
    assert_eq!(
        (&published["documents"], published["skipped"].as_array().unwrap().len()),
        (&json!(1), 1)
    );
    let again = data(&["publish", directory, "--licence", "CC-BY-4.0"]).unwrap();
    assert_eq!((&again["dataset"], &again["transaction"]), (&published["dataset"], &Value::Null));

    let to = "0x00000000000000000000000000000000000000aa";
    let granted = data(&["grant", "letters", "--to", to, "--price", "0.0005"]).unwrap();
    assert_eq!(granted["grant"]["price"], "500");
    let list = data(&["list"]).unwrap();
    assert_eq!(list["datasets"][0]["name"], "letters");
    assert_eq!(
        (&list["grants"][0]["id"], &list["grants"][0]["state"]),
        (&granted["id"], &json!("runs"))
    );

    data(&["revoke", granted["id"].as_str().unwrap()]).unwrap();
    assert_eq!(data(&["list"]).unwrap()["grants"][0]["state"], "revoked");
    data(&["revoke", "--dataset", "letters"]).unwrap();
    assert_eq!(data(&["earnings"]).unwrap()["series"], json!([]));
    assert_eq!(data(&["royalties", "--explain"]).unwrap()["nodes"], json!([]));
    let error = data(&["grant", "poems", "--to", to]).unwrap_err();
    assert!(error.contains("vouch data list"), "{error}");
}

/// A chain with the economy on it, whose operator is this machine's provider.
async fn chain(home: &Path) -> String {
    let operator = Wallet::open_or_create(&home.join("provider"), "").unwrap();
    let ether = U256::from(10u64).pow(U256::from(21));
    let mut genesis = Genesis::development(random_chain_id().unwrap(), 1_700_000_000)
        .with_account(operator.address(), GenesisAccount::funded(ether));
    for contract in genesis_code(operator.address()).unwrap() {
        let code = GenesisAccount::contract(contract.code);
        let account = GenesisAccount { storage: contract.storage, ..code };
        genesis = genesis.with_account(contract.address, account);
    }
    let chain = Chain::open(&home.join("chain"), Options::new(genesis, SystemClock)).unwrap();
    let signer = EthereumWallet::from(operator.signer().unwrap());
    let signing = ProviderBuilder::new().wallet(signer).connect_provider(chain.provider()).erased();
    let governance = Governance::development(operator.address());
    deploy_economy(&signing, operator.address(), &governance).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, chain.router()).await.unwrap() });
    url
}

fn run(home: &Path, url: &str, arguments: &[&str]) -> Result<Value, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouch"));
    command.arg("data").args(arguments).args(["--json", "--chain", url, "--data-dir"]).arg(home);
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
