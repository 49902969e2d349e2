//! `vouch chain --fork-url`: a second `vouch chain` is the node of the chain that is forked. (For
//! anvil as that node see `differential`.)

use std::process::Command;

use super::vectors;
use serde_json::{Value, json};
use vouch_tests::{Running, json as printed, rpc, text, vouch};

#[test]
fn a_fork_goes_on_is_found_again_and_checked() {
    let (there, here) = (tempfile::tempdir(), tempfile::tempdir());
    let (there, here) = (there.expect("a directory"), here.expect("a directory"));
    let origin = Running::spawn(vouch(there.path(), &["chain", "--port", "0", "--json"]));
    let url = origin.field("chain");
    let accounts = origin.ready["accounts"].clone();
    let pay = |from: &Value, wei: &str| json!([{ "from": from, "to": accounts[1], "value": wei }]);
    let _sent = rpc(&url, "eth_sendTransaction", &pay(&accounts[0], "0x5"));
    let _mined = rpc(&url, "evm_mine", &json!([]));
    let head = rpc(&url, "eth_getBlockByNumber", &json!(["latest", false]));
    let number = u64::from_str_radix(&head["number"].as_str().expect("text")[2..], 16);
    let number = number.expect("a number");
    let owned = rpc(&url, "eth_getBalance", &json!([accounts[1], "latest"]));

    let at = format!("{url}@{number}");
    let chain = |more: &[&str]| -> Command {
        vouch(here.path(), &[&["chain", "--json", "--port", "0"], more].concat())
    };
    let fork = Running::spawn(chain(&["--fork-url", &at, "--accounts", "2"]));
    let ours = fork.field("chain");
    assert_eq!(fork.ready["chainId"], origin.ready["chainId"]);
    assert_eq!(fork.ready["fork"]["block"], json!(number));
    assert_eq!(fork.ready["fork"]["hash"], head["hash"]);
    let balance = |url: &str| rpc(url, "eth_getBalance", &json!([accounts[1], "latest"]));
    assert_eq!(balance(&ours), owned);
    // Whoever has money there has it here, and only here it is spent.
    let _impersonated = rpc(&ours, "anvil_impersonateAccount", &json!([accounts[0]]));
    let hash = rpc(&ours, "eth_sendTransaction", &pay(&accounts[0], "0x7"));
    let _mined = rpc(&ours, "evm_mine", &json!([]));
    let receipt = rpc(&ours, "eth_getTransactionReceipt", &json!([hash]));
    assert_eq!(receipt["status"], "0x1");
    let spent = balance(&ours);
    let snapshot = rpc(&ours, "evm_snapshot", &json!([]));
    let _mined = rpc(&ours, "evm_mine", &json!([]));
    assert_eq!(rpc(&ours, "evm_revert", &json!([snapshot])), json!(true));
    assert!(spent != owned && balance(&url) == owned);
    assert!(fork.stop(), "it ends cleanly");

    // Its node is known, and needed for nothing that was read.
    assert!(origin.stop(), "it ends cleanly");
    let smaller = printed(&mut vouch(here.path(), &["chain", "compact", "--json"]));
    assert!(smaller["leftOut"].as_u64() > Some(0), "{smaller}");
    let again = Running::spawn(chain(&[]));
    assert_eq!(again.ready["fork"]["block"], json!(number));
    assert_eq!(balance(&again.field("chain")), spent);
    assert!(again.stop(), "it ends cleanly");
    let status = printed(&mut vouch(here.path(), &["chain", "status", "--json"]));
    assert!(status["block"].as_u64() > Some(number), "{status}");
    let checked = vouch(here.path(), &["chain", "fsck"]).output().expect("it runs");
    let said = text(&checked);
    assert!(checked.status.success() && said.contains("executed again to its roots"), "{said}");
    assert!(said.contains("what was read of a chain that is forked"), "{said}");

    let node = Running::spawn(vouch(there.path(), &["chain", "--port", "0", "--json"]));
    let url = node.field("chain");
    let earlier = format!("{url}@{}", number - 1);
    let new = tempfile::tempdir().expect("a directory");
    for (directory, named, why) in [
        (&here, earlier.as_str(), "goes on from block"),
        (&there, url.as_str(), "in use"),
        (&new, "http://127.0.0.1:1", "cannot be reached"),
        (&new, "127.0.0.1", "relative URL without a base"),
    ] {
        let mut command = vouch(directory.path(), &["chain", "--port", "0", "--fork-url", named]);
        let refused = command.output().expect("it runs");
        assert!(!refused.status.success() && text(&refused).contains(why), "{}", text(&refused));
    }
    assert!(node.stop(), "it ends cleanly");
}

/// Blocks of every time have what the rules of the blocks after them need, or it is made up for.
#[test]
fn blocks_of_any_time_can_be_gone_on_from() {
    let data = tempfile::tempdir().expect("a directory");
    let vector = |name: &str| vectors(name).display().to_string();
    let (genesis, blocks) = (vector("genesis.json"), vector("chain.rlp"));
    let other = data.path().join("other");
    let import = ["chain", "--genesis", &genesis, "import", &blocks, "--json"];
    assert_eq!(printed(&mut vouch(&other, &import))["head"], 54);
    let serve = ["chain", "--genesis", &genesis, "--port", "0", "--json"];
    let origin = Running::spawn(vouch(&other, &serve));
    let url = origin.field("chain");
    for number in [0, 3, 20, 30, 36, 40, 45, 50, 54] {
        let at = format!("{url}@{number}");
        let here = data.path().join(number.to_string());
        let arguments = ["chain", "--fork-url", &at, "--accounts", "1", "--port", "0", "--json"];
        let fork = Running::spawn(vouch(&here, &arguments));
        let (ours, owner) = (fork.field("chain"), fork.ready["accounts"][0].clone());
        // push0, blobbasefee, return(0): of Shanghai and of Cancun.
        let code = json!({ owner.as_str().expect("text"): { "code": "0x4a5f5260205ff3" } });
        let call = json!([{ "to": owner }, "latest", code]);
        let answer = rpc(&ours, "eth_call", &call);
        assert_eq!(answer.as_str().map(str::len), Some(66), "{number}: {answer}");
        let simulated = json!([{ "blockStateCalls": [{ "calls": [{ "to": owner }] }] }, "latest"]);
        let simulated = rpc(&ours, "eth_simulateV1", &simulated);
        let there = rpc(&url, "eth_getBlockByNumber", &json!([format!("{number:#x}"), false]));
        assert_eq!(simulated[0]["parentHash"], there["hash"], "{number}");
        let sent = json!([{ "from": owner, "to": owner, "value": "0x1" }]);
        let hash = rpc(&ours, "eth_sendTransaction", &sent);
        let _mined = rpc(&ours, "evm_mine", &json!([]));
        let receipt = rpc(&ours, "eth_getTransactionReceipt", &json!([hash]));
        assert_eq!(receipt["status"], "0x1", "{number}: {receipt}");
        let head = rpc(&ours, "eth_getBlockByNumber", &json!(["latest", false]));
        assert!(fork.stop(), "it ends cleanly");
        let again = Running::spawn(vouch(&here, &["chain", "--port", "0", "--json"]));
        let found = rpc(&again.field("chain"), "eth_getBlockByNumber", &json!(["latest", false]));
        assert_eq!(found, head, "{number}");
        assert!(again.stop(), "it ends cleanly");
    }
    assert!(origin.stop(), "it ends cleanly");
}
