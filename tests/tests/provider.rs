//! `vouch up` as strangers use it: stock x402, viem and cast clients, the real model, real restarts.

use std::process::Command;

use alloy_primitives::hex;
use serde_json::{Value, json};
use vouch_core::signature::address_of;
use vouch_tests::{Running, client, http, installed, text};

/// A payer's key, of no value anywhere: chains of `vouch up` have random ids.
const PAYER: [u8; 32] = [0x11; 32];

fn payer() -> String {
    let key = secp256k1::SecretKey::from_byte_array(PAYER).expect("a valid key");
    address_of(&key).to_string()
}

/// A payer with test money pays for `calls` answers in stock mode and takes the rest back.
fn pay(up: &Running, calls: u32) -> Value {
    let gateway = up.field("gateway");
    let body = json!({ "address": payer() }).to_string();
    assert_eq!(http("POST", &format!("{gateway}/vouch/faucet"), &body).0, 200);
    let network = format!("eip155:{}", up.ready["chainId"]);
    let key = hex::encode_prefixed(PAYER);
    let (chain, asset, model) = (up.field("chain"), up.field("asset"), up.field("model"));
    client("x402.mjs", &[&gateway, &chain, &key, &asset, &network, &model, &calls.to_string()])
}

/// Entries of the newest checkpoint.
fn logged(up: &Running) -> u64 {
    let (status, note) = http("GET", &format!("{}/log/checkpoint", up.field("gateway")), "");
    assert_eq!(status, 200);
    let note = String::from_utf8(note).expect("a note is text");
    note.lines().nth(1).and_then(|size| size.parse().ok()).expect("a size")
}

#[test]
fn a_stock_x402_client_pays_and_is_refunded() {
    let data = tempfile::tempdir().expect("a directory");
    let up = Running::up(data.path(), &[]);
    let paid = pay(&up, 3);
    let answers = paid["answers"].as_array().expect("answers");
    let mut total = 0;
    for answer in answers {
        assert_eq!((&answer["status"], &answer["success"]), (&json!(200), &json!(true)), "{paid}");
        assert!(answer["text"].as_str().is_some_and(|text| !text.is_empty()), "{paid}");
        assert_eq!(answer["receipt"], true, "{paid}");
        total += answer["charged"]
            .as_str()
            .and_then(|units| units.parse::<u64>().ok())
            .expect("a charge");
        assert_eq!(answer["total"], total.to_string(), "{paid}");
    }
    assert_eq!(answers.len(), 3);
    assert!(total > 0);
    assert_eq!(paid["refund"]["success"], true, "{paid}");
    assert!(up.stop(), "Ctrl-C ends it cleanly");
}

#[test]
fn viem_uses_the_chain() {
    let data = tempfile::tempdir().expect("a directory");
    let up = Running::up(data.path(), &[]);
    let body = json!({ "address": payer() }).to_string();
    assert_eq!(http("POST", &format!("{}/vouch/faucet", up.field("gateway")), &body).0, 200);
    let seen = client("viem.mjs", &[&up.field("chain"), &hex::encode_prefixed(PAYER)]);
    assert_eq!(seen["status"], "success", "{seen}");
    assert_eq!(seen["included"], true, "{seen}");
    assert_eq!(seen["balance"], "1000000000000000", "{seen}");
    assert_eq!(seen["code"], "0x00", "{seen}");
    assert!(seen["heads"].as_u64() >= Some(2), "{seen}");
    assert_eq!(seen["pending"], true, "{seen}");
    assert_eq!(seen["logged"], json!([true]), "{seen}");
}

#[test]
fn cast_uses_the_chain() {
    let data = tempfile::tempdir().expect("a directory");
    let up = Running::up(data.path(), &[]);
    let body = json!({ "address": payer() }).to_string();
    assert_eq!(http("POST", &format!("{}/vouch/faucet", up.field("gateway")), &body).0, 200);
    let (chain, asset, key) = (up.field("chain"), up.field("asset"), hex::encode_prefixed(PAYER));
    let program = installed("node_modules/.bin/cast");
    let cast = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        let output = command.args(arguments).args(["--rpc-url", &chain]).output();
        let output = output.expect("cast starts");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(cast(&["chain-id"]).trim(), up.ready["chainId"].to_string());
    let to = "0x000000000000000000000000000000000000dEaD";
    let transfer = ["send", &asset, "transfer(address,uint256)", to, "5"];
    let sent: Value =
        serde_json::from_str(&cast(&[&transfer[..], &["--private-key", &key, "--json"]].concat()))
            .expect("JSON");
    assert_eq!(sent["status"], "0x1", "{sent}");
    let balance = cast(&["call", &asset, "balanceOf(address)(uint256)", to]);
    assert_eq!(balance.trim(), "5");
    let hash = sent["transactionHash"].as_str().expect("a hash");
    assert!(cast(&["logs", "--address", &asset]).contains(hash), "the transfer is logged");
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let data = tempfile::tempdir().expect("a directory");
    let up = Running::up(data.path(), &[]);
    let (chain, provider) = (up.ready["chainId"].clone(), up.field("provider"));
    let paid = pay(&up, 2);
    assert_eq!(paid["refund"]["success"], true, "{paid}");
    up.kill();
    let up = Running::up(data.path(), &[]);
    assert_eq!((&up.ready["chainId"], up.field("provider")), (&chain, provider));
    // Two answers were acknowledged; their receipts are in the log once it publishes again.
    let mut size = 0;
    for _ in 0..50 {
        size = logged(&up);
        if size == 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(size, 2);
}
