//! `vouch agent`: a mandate is made, used through the signer's process, shown and ended.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use alloy::{
    network::EthereumWallet,
    primitives::{Address, B256, U256},
};
use serde_json::{Value, json};
use vouch_chain::{Chain, Genesis, GenesisAccount, Options, SystemClock, random_chain_id};
use vouch_contracts::{
    addresses::TOKEN,
    bindings::{Erc20, TestDollar},
    economy::{Governance, deploy_economy},
};
use vouch_wallet::Wallet;

const DOLLAR: u128 = 1_000_000;
const PAYEE: Address = Address::repeat_byte(0xa1);
/// An answer that was bought on another machine.
const RELIED_ON: B256 = B256::repeat_byte(0x0a);

fn vouch(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouch"));
    command.arg("--data-dir").arg(data).args(arguments);
    command
}

fn json_of(data: &Path, arguments: &[&str]) -> Value {
    let output = vouch(data, arguments).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(data: &Path, arguments: &[&str]) -> String {
    let output = vouch(data, arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mandate_from_its_file_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let owner = Wallet::open_or_create(&data.join("buyer"), "").unwrap();
    let ether = GenesisAccount::funded(U256::from(10_u128.pow(21)));
    let mut genesis = Genesis::development(random_chain_id().unwrap(), 1_700_000_000)
        .with_account(owner.address(), ether);
    for contract in vouch_contracts::genesis_code(owner.address()).unwrap() {
        let account =
            GenesisAccount { storage: contract.storage, ..GenesisAccount::contract(contract.code) };
        genesis = genesis.with_account(contract.address, account);
    }
    let chain = Chain::open(&data.join("chain"), Options::new(genesis, SystemClock)).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = chain.router();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let file = data.join("mandate.toml");
    let caps = format!(
        "calls = 10\n[[caps]]\ntoken = \"{TOKEN}\"\namount = \"5000000\"\nperiodS = 86400\n"
    );
    let pays = format!(
        "[[permissions]]\nkind = \"transfer\"\ntoken = \"{TOKEN}\"\npayees = [\"{PAYEE}\"]\n"
    );
    std::fs::write(&file, format!("{caps}{pays}")).unwrap();
    let path = file.to_str().unwrap();
    let new = ["agent", "mandate", "new", path, "--chain", &url];
    let early = refused(data, &new);
    assert!(early.contains("vouch contracts deploy"), "{early}");

    let wallet = EthereumWallet::from(owner.signer().unwrap());
    let rich = vouch_contracts::signing(&chain.provider(), wallet);
    let governance = Governance::development(owner.address());
    deploy_economy(&rich, owner.address(), &governance).await.unwrap();
    let mint = TestDollar::new(TOKEN, &rich);
    let mint = mint.mint(owner.address(), U256::from(100 * DOLLAR)).from(owner.address());
    assert!(mint.send().await.unwrap().get_receipt().await.unwrap().status());

    std::fs::write(&file, pays.clone() + "colour = 1\n").unwrap();
    assert!(refused(data, &new).contains("is no mandate"));
    std::fs::write(&file, format!("calls = 10\ncaps = []\n{pays}")).unwrap();
    assert!(refused(data, &new).contains("has no cap"));
    std::fs::write(&file, format!("{caps}{pays}")).unwrap();
    let made = json_of(data, &new);
    assert!(refused(data, &new).contains("exists"));
    assert_eq!(made["owner"], json!(owner.address()));

    let signer = ["agent", "signer", "--stdio", "--chain", &url];
    let mut process =
        vouch(data, &signer).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut requests = process.stdin.take().unwrap();
    let mut replies = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut ask = |amount: &str| -> Value {
        let intent = json!({ "act": "transfer", "permission": 0, "payee": 0, "amount": amount });
        let request = json!({ "intent": intent, "reliedOn": [RELIED_ON] });
        writeln!(requests, "{request}").unwrap();
        serde_json::from_str(&replies.next().unwrap().unwrap()).unwrap()
    };
    let paid = ask("3000000");
    assert_eq!(paid["outcome"]["status"], "settled", "{paid}");
    assert!(paid["receipt"].is_string(), "{paid}");
    let over = ask("3000000");
    assert_eq!(over["outcome"]["code"], "over-cap", "{over}");
    assert!(over["receipt"].is_string(), "refusals are receipted: {over}");

    let show = ["agent", "mandate", "show", "--chain", &url];
    let left = &json_of(data, &show)["left"];
    assert_eq!((&left["caps"][0]["left"], &left["callsLeft"]), (&json!("2000000"), &json!(9)));
    let text = vouch(data, &show).output().unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("in force") && text.contains("2000000 of 5000000"), "{text}");

    json_of(data, &["agent", "mandate", "revoke", "--chain", &url]);
    let revoked = ask("1");
    assert_eq!(revoked["outcome"]["code"], "revoked", "{revoked}");
    drop(requests);
    assert!(process.wait().unwrap().success());
    let balance = Erc20::new(TOKEN, &rich).balanceOf(PAYEE).call().await.unwrap();
    assert_eq!(balance, U256::from(3 * DOLLAR));
    the_log_says_and_proves(data, [&paid, &over, &revoked]);
}

/// Also of what was refused, and also once the mandate has ended.
fn the_log_says_and_proves(data: &Path, replies: [&Value; 3]) {
    let acts = json_of(data, &["agent", "log"]);
    let acts = acts.as_array().unwrap();
    assert_eq!(acts.len(), 3, "{acts:?}");
    for ((act, reply), status) in acts.iter().zip(replies).zip(["complete", "failed", "failed"]) {
        assert_eq!((&act["receipt"], &act["outcome"]), (&reply["receipt"], &reply["outcome"]));
        assert_eq!((&act["kind"], &act["status"]), (&json!("transfer"), &json!(status)));
        assert_eq!(act["reliedOn"], json!([RELIED_ON]));
    }
    assert_eq!((&acts[0]["charge"], &acts[0]["asset"]), (&json!("3000000"), &json!(TOKEN)));
    let text = vouch(data, &["agent", "log"]).output().unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("over-cap: ") && text.contains("relied on 0x0a0a"), "{text}");

    let out = data.join("act.json");
    let file = out.to_str().unwrap();
    let proven = |receipt: &Value| {
        let receipt = receipt["receipt"].as_str().unwrap();
        let said = json_of(data, &["agent", "log", "--bundle", receipt, "--out", file]);
        assert_eq!((&said["nodes"], &said["absent"]), (&json!(1), &json!([RELIED_ON])));
        vouch(data, &["verify", file]).output().unwrap()
    };
    for act in acts {
        let verified = proven(act);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
    let forged = std::fs::read_to_string(&out).unwrap().replace("\"revoked\"", "\"over-cap\"");
    std::fs::write(&out, forged).unwrap();
    assert!(refused(data, &["verify", file]).is_empty(), "the verdict says it");
    let unknown = RELIED_ON.to_string();
    let unknown = refused(data, &["agent", "log", "--bundle", &unknown, "--out", file]);
    assert!(unknown.contains("is no act of this agent"), "{unknown}");
    assert!(refused(data, &["agent", "log", "--name", "other"]).contains("has no log yet"));
}
