//! `vouch data`: its help, and an owner's way through it.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod world;

use std::process::Command;

use serde_json::{Value, json};
use vouch_chain::SystemClock;
use world::{chain, vouch};

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
    let (url, _, _) = chain(home.path(), SystemClock).await;
    let letters = home.path().join("letters");
    std::fs::create_dir(&letters).unwrap();
    std::fs::write(letters.join("a.md"), "# Oil\n\nThe lamp burns whale oil.").unwrap();
    std::fs::write(letters.join("b.bin"), "x").unwrap();
    let directory = letters.to_str().unwrap();
    let at = ["--chain", url.as_str()];
    let data = |arguments: &[&str]| vouch(home.path(), "data", &[arguments, &at[..]].concat());

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
