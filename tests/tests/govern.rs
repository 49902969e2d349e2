//! Governing the protocol's parameters, and a market of real Uniswap contracts, by the real binary.

use std::path::Path;

use serde_json::json;
use vouch_tests::{Running, json, later, text, vouch};

#[test]
fn what_a_vote_passes_is_carried_out_and_an_owner_overrules_its_delegate() {
    let directory = tempfile::tempdir().expect("a directory");
    let up = Running::up(directory.path(), &[]);
    let chain = up.field("chain");
    let govern = |words: &[&str]| {
        let mut command = vouch(directory.path(), &[&["govern"], words].concat());
        command.args(["--chain", &chain, "--json"]);
        command
    };
    let refused = |words: &[&str]| {
        let output = govern(words).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        text(&output)
    };
    assert_eq!(json(&mut govern(&["show"]))["feeShareBps"], 0);
    // Votes that nobody was named for are nobody's.
    let early = refused(&["propose", "fee-share-bps", "50"]);
    assert!(early.contains("the proposal was refused"), "{early}");

    let own = up.field("provider");
    let _done = json(&mut govern(&["delegate", &own]));
    later(&chain, 2);
    let propose = ["propose", "fee-share-bps", "50", "--why", "half a percent"];
    let proposed = json(&mut govern(&propose));
    let id = proposed["proposal"].as_str().expect("an id").to_owned();
    // The votes are lent to an agent's key, which does not vote: their owner does.
    let _done = json(&mut govern(&["delegate", "0x00000000000000000000000000000000000000a1"]));
    later(&chain, 2);
    let open = refused(&["enact", &id]);
    assert!(open.contains("only one that passed"), "{open}");
    let _done = json(&mut govern(&["overrule", &id, "for"]));
    later(&chain, 21);
    assert_eq!(json(&mut govern(&["enact", &id]))["done"], "queued");
    later(&chain, 3);
    assert_eq!(json(&mut govern(&["enact", &id]))["done"], "executed");
    let shown = json(&mut govern(&["show"]));
    assert_eq!(
        (&shown["feeShareBps"], &shown["proposals"][0]["state"]),
        (&json!(50), &json!("Executed"))
    );
}

#[test]
fn a_market_is_made_of_uniswaps_own_code() {
    let directory = tempfile::tempdir().expect("a directory");
    let up = Running::up(directory.path(), &[]);
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/node_modules");
    let market = |home: &Path, artefacts: &str| {
        let chain = up.field("chain");
        let words = ["contracts", "market", "--artefacts", artefacts, "--chain", &chain, "--json"];
        vouch(home, &words)
    };
    let made = json(&mut market(directory.path(), modules.to_str().expect("UTF-8")));
    assert_eq!(made["tokens"][0], up.ready["asset"]);
    assert!(made["pair"].as_str().is_some_and(|pair| pair.len() == 42), "{made}");

    let nowhere = market(directory.path(), "/nowhere").output().expect("it starts");
    assert!(text(&nowhere).contains("/nowhere/@uniswap"), "{}", text(&nowhere));
    let stranger = directory.path().join("stranger");
    let output = market(&stranger, "/nowhere").output().expect("it starts");
    assert!(text(&output).contains("who alone may mint"), "{}", text(&output));
}
