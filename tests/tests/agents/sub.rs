//! A sub-agent with part of a mandate, and a signer of its own.

use serde_json::{Value, json};

use crate::house::{House, Line, code, proven};

const PAYEE: &str = "0x00000000000000000000000000000000000000aa";

#[test]
fn a_sub_agent_is_held_to_its_part_while_the_whole_has_more() {
    let house = House::new(&[]);
    let key = house.vouch(&["agent", "key", "--name", "sub"]);
    let sub = key["address"].as_str().expect("an address");
    let dollar = house.token(0);
    house.mandate(&format!(
        "[[permissions]]\nkind = \"transfer\"\ntoken = \"{dollar}\"\npayees = [\"{PAYEE}\"]\n\
         [[permissions]]\nkind = \"ask\"\nmaxPerCall = \"20000\"\ntotal = \"50000\"\n\
         [[permissions]]\nkind = \"delegate\"\nto = \"{sub}\"\ntoken = \"{dollar}\"\n\
         limit = \"2000000\"\npermissions = [0]\ndollars = \"30000\"\n"
    ));
    let parent = house.signer("agent");
    let hand = ["agent", "mandate", "delegate", "sub", "--limit"];
    let more = house.refused(&[&hand[..], &["2000001"]].concat());
    assert!(more.contains("2000000 is left of the 2000000"), "{more}");
    let more = house.refused(&[&hand[..], &["1", "--dollars", "0.04"]].concat());
    assert!(more.contains("30000 is left of the 30000"), "{more}");
    let handed = house.vouch(&[&hand[..], &["1000000", "--dollars", "0.005"]].concat());
    assert_eq!(handed["agent"], key["address"]);

    let signer = house.signer("sub");
    let (mut above, mut below) = (Line::to(&parent), Line::to(&signer));
    assert_eq!(below.pay(600_000)["outcome"]["status"], "settled");
    assert_eq!(code(&below.pay(600_000)), "over-cap");
    assert_eq!(above.pay(600_000)["outcome"]["status"], "settled", "the agent has more");
    assert_eq!(house.balance(&dollar, PAYEE), 1_200_000);

    // Dollars for answers: what was handed on is the agent's no more.
    let used = json!({ "query": "used" });
    assert_eq!(above.say(&used)["used"]["dollarsLeft"], "45000");
    assert_eq!(below.say(&used)["used"]["dollarsLeft"], "5000");
    let connect = house.connect();
    let words = ["agent", "ask", "Buy?", "--max-tokens", "4"];
    let asked = house.vouch(&[&words[..], &["--name", "sub"]].concat());
    assert_eq!(asked["aside"], "5000", "{asked}");
    let ask = |most: &str| {
        let request = format!("0x{}", "11".repeat(32));
        json!({ "intent": { "act": "ask", "permission": 1, "maxCharge": most, "request": request } })
    };
    assert_eq!(code(&below.say(&ask("5000"))), "over-budget");
    assert_eq!(above.say(&ask("20000"))["outcome"]["status"], "settled");

    in_the_tree(&house, &handed["receipt"]);

    // The owner ends the whole: the part ends with it.
    drop(house.on_chain(&["agent", "mandate", "revoke"]));
    assert_eq!(code(&below.pay(1)), "revoked");
    assert_eq!(code(&below.say(&ask("1"))), "revoked");
    assert!(connect.stop());

    // What was signed is what holds: a sub-agent cannot write itself more.
    drop((below, signer));
    let file = house.home.join("agent/sub/mandate.json");
    let written = std::fs::read_to_string(&file).expect("a mandate");
    let start = |mandate: &str| {
        let chain = house.up.field("chain");
        house.refused(&[
            "agent",
            "signer",
            "--name",
            "sub",
            "--mandate",
            mandate,
            "--chain",
            &chain,
        ])
    };
    let act = handed["receipt"].as_str().expect("a receipt");
    let other = format!("0x{}", "22".repeat(32));
    let forgeries =
        [("\"5000\"", "\"30000\""), ("\"1000000\"", "\"2000000\""), (act, other.as_str())];
    for (from, to) in forgeries {
        assert!(written.contains(from), "{written}");
        let forged = house.file("forged.json", &written.replace(from, to));
        let said = start(&forged);
        assert!(said.contains("sign"), "{said}");
    }
    let mut nameless: Value = serde_json::from_str(&written).expect("JSON");
    let hand = nameless["hand"].as_object_mut().expect("a part");
    assert!(hand.remove("madeIn").is_some(), "{hand:?}");
    let said = start(&house.file("nameless.json", &nameless.to_string()));
    assert!(said.contains("does not name the act"), "{said}");
}

/// What the sub-agent did, and was refused, is under the act that delegated to it, from both sides.
fn in_the_tree(house: &House, delegation: &Value) {
    let acts = house.vouch(&["agent", "log", "--name", "sub"]);
    let acts = acts.as_array().expect("acts");
    let kinds: Vec<_> = acts.iter().map(|act| act["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["transfer", "transfer", "ask", "answer", "ask"], "{acts:?}");
    for act in acts {
        let under = if act["kind"] == "answer" { &acts[2]["receipt"] } else { delegation };
        assert_eq!(act["parent"], *under, "{act}");
    }

    // From below: the act, and what it was made under.
    let (report, tree) = house.verified_of("sub", &acts[0]["receipt"]);
    let places = |report: &Value| -> Vec<(Value, Value)> {
        let nodes = report["nodes"].as_array().expect("nodes").iter();
        nodes.map(|node| (node["depth"].clone(), node["receipt"].clone())).collect()
    };
    let path = [(json!(0), delegation.clone()), (json!(1), acts[0]["receipt"].clone())];
    assert_eq!(places(&report), path, "{report}");
    assert_eq!((&report["root"], &tree["absent"]), (&acts[0]["receipt"], &Value::Null));
    assert!(proven(&report, delegation, "budget"), "{report}");
    let (report, _) = house.verified_of("sub", &acts[3]["receipt"]);
    let depths: Vec<_> = places(&report).into_iter().map(|(depth, _)| depth).collect();
    assert_eq!(depths, [0, 1, 2, 3], "delegation, ask, answer and the answer itself: {report}");

    // From above: the delegation, with all that was done under it.
    let (report, _) = house.verified(delegation);
    let found = places(&report);
    for act in acts {
        assert!(found.iter().any(|(_, receipt)| *receipt == act["receipt"]), "{act}: {report}");
    }
    assert_eq!(found.len(), 7, "and the answer's own receipt: {report}");
    assert!(proven(&report, delegation, "budget"), "{report}");
    assert!(report.to_string().contains("600000 of 1000000 spent by all under it"), "{report}");
}
