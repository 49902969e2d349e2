//! A sub-agent with part of a mandate, and a signer of its own.

use serde_json::json;

use crate::house::{House, Line, code};

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

    // The owner ends the whole: the part ends with it.
    drop(house.on_chain(&["agent", "mandate", "revoke"]));
    assert_eq!(code(&below.pay(1)), "revoked");
    assert_eq!(code(&below.say(&ask("1"))), "revoked");
    assert!(connect.stop());

    // What was signed is what holds: a sub-agent cannot write itself more.
    drop((below, signer));
    let file = house.home.join("agent/sub/mandate.json");
    let written = std::fs::read_to_string(&file).expect("a mandate");
    for (from, to) in [("\"5000\"", "\"30000\""), ("\"1000000\"", "\"2000000\"")] {
        assert!(written.contains(from), "{written}");
        let forged = house.file("forged.json", &written.replace(from, to));
        let chain = house.up.field("chain");
        let signer = ["agent", "signer", "--name", "sub", "--mandate", &forged, "--chain", &chain];
        let said = house.refused(&signer);
        assert!(said.contains("sign"), "{said}");
    }
}
