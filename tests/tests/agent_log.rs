//! An agent asks, acts on the answer, and proves both to a stranger, by the real processes.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
};

use serde_json::{Value, json};
use vouch_tests::{Running, json, text, vouch};

const MANDATE: &str = "calls = 5
[[caps]]
token = \"TOKEN\"
amount = \"5000000\"
periodS = 86400
[[permissions]]
kind = \"ask\"
maxPerCall = \"1000000\"
total = \"1000000\"
";

/// One request to the agent's signer, and its reply.
fn act(data: &Path, chain: &str, request: &Value) -> Value {
    let mut signer = vouch(data, &["agent", "signer", "--stdio", "--chain", chain])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the signer starts");
    let mut requests = signer.stdin.take().expect("stdin is piped");
    writeln!(requests, "{request}").expect("the signer listens");
    drop(requests);
    let mut reply = String::new();
    let mut replies = BufReader::new(signer.stdout.take().expect("stdout is piped"));
    replies.read_line(&mut reply).expect("UTF-8");
    assert!(signer.wait().expect("it can be waited for").success());
    serde_json::from_str(&reply).expect("a reply")
}

#[test]
fn an_act_is_proven_with_the_answer_that_it_relied_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let (provider, data) = (directory.path().join("provider"), directory.path().join("buyer"));
    let up = Running::up(&provider, &[]);
    let (gateway, chain) = (up.field("gateway"), up.field("chain"));
    let mut ask = vouch(&data, &["ask", "Buy?", "--provider", &gateway, "--max-tokens", "8"]);
    let answer = json(ask.arg("--json"));
    let relied_on = &answer["receipt"];
    assert!(relied_on.is_string(), "{answer}");

    // The provider's account has ether: it is the owner here.
    let owner = provider.join("provider").join("wallet.json");
    let file = directory.path().join("mandate.toml");
    let token = up.field("asset");
    std::fs::write(&file, MANDATE.replace("TOKEN", &token)).expect("it can be written");
    let (file, owner) = (file.to_str().expect("UTF-8"), owner.to_str().expect("UTF-8"));
    let new = ["agent", "mandate", "new", file, "--chain", &chain, "--owner", owner, "--json"];
    drop(json(&mut vouch(&data, &new)));

    let request = format!("0x{}", "11".repeat(32));
    let intent = json!({ "act": "ask", "permission": 0, "maxCharge": "1000", "request": request });
    let reply = act(&data, &chain, &json!({ "intent": intent, "reliedOn": [relied_on] }));
    assert_eq!(reply["outcome"]["status"], "settled", "{reply}");

    let receipt = reply["receipt"].as_str().expect("a receipt");
    let out = directory.path().join("act.json");
    let out = out.to_str().expect("UTF-8");
    let export = ["agent", "log", "--bundle", receipt, "--out", out, "--json"];
    let said = json(&mut vouch(&data, &export));
    assert_eq!((&said["nodes"], &said["absent"]), (&json!(2), &json!([])), "{said}");

    // A stranger has nothing but the file.
    let stranger = directory.path().join("stranger");
    let report = json(&mut vouch(&stranger, &["verify", out, "--json"]));
    let nodes = report["nodes"].as_array().expect("nodes");
    let receipts: Vec<_> = nodes.iter().map(|node| &node["receipt"]).collect();
    assert_eq!(receipts, [&json!(receipt), relied_on], "{report}");
    let mut tree: Value =
        serde_json::from_slice(&std::fs::read(out).expect("it was written")).expect("JSON");
    tree["nodes"].as_array_mut().expect("nodes").pop();
    std::fs::write(out, tree.to_string()).expect("it can be written");
    let cut = vouch(&stranger, &["verify", out]).output().expect("it starts");
    assert!(!cut.status.success() && text(&cut).contains("neither here nor absent"), "{cut:?}");
    assert!(up.stop());
}
