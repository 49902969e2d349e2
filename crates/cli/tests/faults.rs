//! `vouch faults` by the real binary, on a real chain: every fault of the golden vectors.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod world;

use std::{path::Path, sync::Arc};

use alloy_primitives::{Address, B256, Bytes, U256, address};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use vouch_chain::ManualClock;
use vouch_contracts::{
    addresses,
    bindings::{BondVault::BondVaultInstance, TestDollar::TestDollarInstance},
};
use vouch_core::{
    promise::{Promise, SignedPromise},
    receipt::Receipt,
};
use vouch_evidence::fault::{Fault, Promised};
use vouch_wallet::Wallet;
use world::{chain, vouch};

/// The provider of the vectors, and when it signed them.
const FAULTY: Address = address!("0x77952ce83ca3cad9f7adcfabeda85bd2f1f52008");
const SIGNED_AT: u64 = 1_800_000_000;
const STAKE: u128 = 1_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_checked_reported_and_paid_for() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(SIGNED_AT + 100));
    let (url, economy, signing) = chain(home.path(), clock).await;
    let reporter = Wallet::open_or_create(&home.path().join("provider"), "").unwrap().address();
    let dollar = TestDollarInstance::new(addresses::TOKEN, &signing);
    dollar.mint(reporter, U256::from(STAKE)).send().await.unwrap().get_receipt().await.unwrap();
    let approval = dollar.approve(economy.bonds, U256::from(STAKE));
    approval.send().await.unwrap().get_receipt().await.unwrap();
    let vault = BondVaultInstance::new(economy.bonds, &signing);
    let deposit = vault.deposit(FAULTY, STAKE);
    assert!(deposit.send().await.unwrap().get_receipt().await.unwrap().status());

    let at = ["--chain", url.as_str()];
    let faults = |arguments: &[&str]| vouch(home.path(), "faults", arguments);
    let on_chain =
        |arguments: &[&str]| vouch(home.path(), "faults", &[arguments, &at[..]].concat());
    let (mut left, mut earned) = (STAKE, 0);
    for (group, name) in [
        ("splitLogs", "split-log"),
        ("doubleSequences", "double-sequence"),
        ("doubleIndexes", "double-index"),
        ("brokenPromises", "broken-promise"),
        ("wrongCharges", "wrong-charge"),
    ] {
        let row = rows(group).into_iter().find(|row| row["fault"] != "").unwrap();
        let path = home.path().join(format!("{name}.json"));
        std::fs::write(&path, serde_json::to_vec_pretty(&proof(group, &row)).unwrap()).unwrap();
        let path = path.to_str().unwrap();
        let checked = faults(&["check", path]).unwrap();
        assert_eq!(checked, json!({ "fault": name, "provider": checksummed(FAULTY) }));
        let reported = on_chain(&["report", path]).unwrap();
        assert_eq!(reported["id"], row["fault"], "{name}");
        let lost = left.div_ceil(10);
        (left, earned) = (left - lost, earned + lost / 2);
        assert_eq!(reported["stake"], left.to_string(), "{name}");
        let again = on_chain(&["report", path]).unwrap_err();
        assert!(again.contains(name) && again.contains("known one"), "{again}");
    }
    let shown = on_chain(&["show", &FAULTY.to_string()]).unwrap();
    assert_eq!((&shown["stake"], &shown["bonded"]), (&json!(left.to_string()), &json!(true)));
    assert_eq!(shown["keys"]["receipts"], checksummed(FAULTY));
    assert_eq!(on_chain(&["withdraw"]).unwrap()["earned"], earned.to_string());

    assert_eq!(shown["demands"], json!([]));
    let undemanded = on_chain(&["answer", &B256::repeat_byte(7).to_string()]).unwrap_err();
    assert!(undemanded.contains("nobody demands a receipt"), "{undemanded}");

    // What it earned it may stake itself.
    let staked = on_chain(&["bond", "1.5"]).unwrap();
    assert_eq!(staked["stake"], "1500000");
    assert_eq!(on_chain(&["unbond", "0.5"]).unwrap()["leaving"], "500000");
    let early = on_chain(&["withdraw"]).unwrap_err();
    assert!(early.contains("the withdrawal was refused"), "{early}");
    let none = on_chain(&["bond", "1000000"]).unwrap_err();
    assert!(none.contains("too little"), "{none}");
}

#[test]
fn what_proves_nothing_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("proof.json");
    let check = |value: &[u8]| {
        std::fs::write(&path, value).unwrap();
        vouch(home.path(), "faults", &["check", path.to_str().unwrap()]).unwrap_err()
    };
    assert!(check(b"{}").contains("is no proof of a fault"));
    assert!(check(&vec![b' '; (1 << 20) + 1]).contains("at most"));
    for row in rows("splitLogs").into_iter().filter(|row| row["fault"] == "") {
        let proof = serde_json::to_vec(&proof("splitLogs", &row)).unwrap();
        assert!(check(&proof).contains("proves nothing"), "{}", row["case"]);
    }
    let missing = vouch(home.path(), "faults", &["check", "nowhere.json"]).unwrap_err();
    assert!(missing.contains("cannot be read"), "{missing}");
}

fn rows(group: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/faults.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    file[group].as_array().unwrap().clone()
}

fn get<T: DeserializeOwned>(row: &Value, name: &str) -> T {
    serde_json::from_value(row[name].clone()).unwrap()
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap().to_owned()
}

fn number(row: &Value, name: &str) -> u64 {
    text(row, name).parse().unwrap()
}

fn proof(group: &str, row: &Value) -> Fault {
    let promised = |prefix| Box::new(promised(row, prefix));
    match group {
        "splitLogs" => Fault::SplitLog {
            provider: get(row, "provider"),
            key: text(row, "logKey"),
            first: text(row, "firstNote"),
            second: text(row, "secondNote"),
        },
        "doubleSequences" => {
            Fault::DoubleSequence { first: promised("first"), second: promised("second") }
        }
        "doubleIndexes" => {
            Fault::DoubleIndex { first: promised("first"), second: promised("second") }
        }
        "brokenPromises" => Fault::BrokenPromise {
            receipt: promised("first"),
            checkpoint: text(row, "logNote"),
            leaf: get(row, "leaf"),
            path: get(row, "logPath"),
        },
        _ => Fault::WrongCharge { receipt: promised("first") },
    }
}

fn promised(row: &Value, prefix: &str) -> Promised {
    let field = |name: &str| format!("{prefix}{name}");
    let promise = Promise {
        root: get(row, &field("Root")),
        first: number(row, &field("First")),
        count: u32::try_from(number(row, &field("Count"))).unwrap(),
        not_before: get(row, &field("NotBefore")),
        merge_by: number(row, &field("MergeBy")),
    };
    Promised {
        receipt: Receipt::decode(&get::<Bytes>(row, &field("Receipt"))).unwrap(),
        promise: SignedPromise {
            promise,
            signature: get(row, &field("Signature")),
            index: number(row, &field("Index")),
            path: get(row, &field("Path")),
        },
        terms: serde_json::from_str(&text(row, &field("Terms"))).unwrap(),
    }
}

/// As JSON has an address.
fn checksummed(account: Address) -> Value {
    serde_json::to_value(account).unwrap()
}
