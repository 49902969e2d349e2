//! An agent asks from sources, within its mandate, and proves what it read and who was paid.

use serde_json::Value;
use vouch_tests::{Running, json, vouch};

use crate::house::House;

#[test]
fn an_agents_question_pays_who_is_quoted() {
    let house = House::new(&["--sources"]);
    let rain =
        "In Bergen it rains on two days of three, and the letters complain of it every week.";
    let ada = house.owner("ada", &[("rain.txt", rain)], "0.0005");
    let home = house.home("carol");
    let (chain, gateway) = (house.up.field("chain"), house.up.field("gateway"));
    let vouch = |words: &[&str]| json(vouch(&home, words).arg("--json"));
    let wallet = vouch(&["wallet", "--provider", &gateway]);
    house.faucet(wallet["address"].as_str().expect("an address"));
    let file = house.home("mandate.toml");
    let mandate = "calls = 1\ncaps = []\n[[permissions]]\nkind = \"ask\"\nmaxPerCall = \"20000\"\n\
        total = \"20000\"\n";
    std::fs::write(&file, mandate).expect("it can be written");
    let file = file.to_str().expect("UTF-8");
    drop(vouch(&["agent", "mandate", "new", file, "--chain", &chain]));
    let _signer = Running::start(&home, &["agent", "signer", "--chain", &chain]);
    let listen = ["connect", "--listen", "127.0.0.1:0", "--budget", "1", "--provider", &gateway];
    let connect = Running::start(&home, &listen);

    let words = ["agent", "ask", "What do the letters say of rain?", "--sources"];
    let asked = vouch(&[&words[..], &["--max-tokens", "16"]].concat());
    assert_eq!(asked["sources"].as_array().map(Vec::len), Some(1), "{asked}");
    let out = house.home("act.json");
    let out = out.to_str().expect("UTF-8");
    let act = asked["ask"].as_str().expect("a receipt");
    drop(vouch(&["agent", "log", "--bundle", act, "--out", out]));
    let report = json(&mut vouch_tests::vouch(&house.home("stranger"), &["verify", out, "--json"]));
    let nodes = report["nodes"].as_array().expect("nodes");
    let what: Vec<_> = nodes.iter().map(|node| node["what"].as_str().expect("words")).collect();
    assert!(what[0].contains("ask for 0") && what.len() == 4, "{what:?}");
    let quoted = what.iter().find(|what| what.contains("quoted")).expect("a use of data");
    assert!(quoted.to_lowercase().contains(&ada.account.to_lowercase()), "{what:?}");
    let used: Vec<&Value> =
        nodes.iter().filter(|node| node["parent"] == asked["receipt"]).collect();
    assert_eq!(used.len(), 1, "{report}");
    assert!(connect.stop());
}
