//! Questions within a mandate, by the model that comes with Vouch.

use serde_json::{Value, json};

use crate::house::{House, Line, code, proven};

const ASK: &str = "[[permissions]]\nkind = \"ask\"\nmaxPerCall = \"20000\"\ntotal = \"50000\"\n";

fn units(value: &Value) -> u128 {
    value.as_str().expect("an amount").parse().expect("digits")
}

#[test]
fn what_an_answer_did_not_cost_comes_back() {
    let house = House::new(&[]);
    house.mandate(ASK);
    let signer = house.signer("agent");
    let mut line = Line::to(&signer);
    let used = json!({ "query": "used", "id": 7 });

    // Without a `vouch connect` nothing is set aside.
    let words = ["agent", "ask", "Buy?", "--max-tokens", "8", "--temperature", "0"];
    let alone = house.refused(&[&words[..], &["--connect", "http://127.0.0.1:9"]].concat());
    assert!(alone.contains("127.0.0.1:9"), "{alone}");
    assert_eq!(line.say(&used)["used"]["dollars"], "0");

    let connect = house.connect();
    let mut spent = 0;
    let mut last = Value::Null;
    // Each may cost 20000, of 50000 in all: more than two only if the rest comes back.
    for _ in 0..5 {
        let asked = house.vouch(&words);
        assert_eq!(asked["aside"], "20000", "{asked}");
        spent += units(&asked["charge"]);
        assert!(spent > 0 && spent < 20_000, "{asked}");
        let told = line.say(&used);
        assert_eq!(told["id"], 7, "{told}");
        assert_eq!(units(&told["used"]["dollars"]), spent, "{told}");
        assert_eq!(units(&told["used"]["dollarsLeft"]), 50_000 - spent, "{told}");
        last = asked;
    }
    // The tree of the question: set aside, answered, the answer itself.
    let (report, tree) = house.verified(&last["ask"]);
    let nodes: Vec<_> =
        report["nodes"].as_array().expect("nodes").iter().map(|node| &node["receipt"]).collect();
    assert_eq!(nodes, [&last["ask"], &last["act"], &last["receipt"]], "{report}");
    for act in ["ask", "act"] {
        for link in ["inclusion", "checkpoint"] {
            assert!(proven(&report, &last[act], link), "{act} {link}: {report}");
        }
    }
    assert!(proven(&report, &last["act"], "price"), "{report}");
    assert!(tree["nodes"].to_string().contains("Buy?"));

    // Dearer than one may be, and what no receipt accounts for.
    let dear = house.refused(&[&words[..], &["--max-charge", "0.03"]].concat());
    assert!(dear.contains("an answer may cost 20000 and 30000 is asked for"), "{dear}");
    let acts = house.acts();
    let answer = acts.iter().rfind(|act| act["kind"] == "answer").expect("an answer");
    let mut again = json!({ "intent": answer["intent"], "reliedOn": answer["reliedOn"] });
    again["intent"].as_object_mut().expect("an object").remove("reliedOn");
    assert_eq!(code(&line.say(&again)), "no-question");
    let request = format!("0x{}", "11".repeat(32));
    let set = json!({ "act": "ask", "permission": 0, "maxCharge": "20000", "request": request });
    assert_eq!(line.say(&json!({ "intent": set }))["outcome"]["status"], "settled");
    again["intent"]["request"] = json!(request);
    again["intent"]["charge"] = json!("0");
    assert_eq!(code(&line.say(&again)), "not-proven");
    let bundle = house
        .home
        .join("buyer/bundles")
        .join(format!("{}.json", last["receipt"].as_str().expect("a receipt")));
    let bundle: Value =
        serde_json::from_slice(&std::fs::read(bundle).expect("a bundle")).expect("JSON");
    again["evidence"] = json!({ "receipt": bundle["receipt"], "promise": bundle["promise"] });
    // A charge that the receipt does not say, a receipt that has settled another, a forged one.
    assert_eq!(code(&line.say(&again)), "not-proven");
    again["intent"]["charge"] = bundle["receipt"]["charge"].clone();
    let twice = line.say(&again);
    assert!(twice["outcome"]["reason"].to_string().contains("another question"), "{twice}");
    again["evidence"]["receipt"]["charge"] = json!("0");
    again["intent"]["charge"] = json!("0");
    let forged = line.say(&again);
    assert!(forged["outcome"]["reason"].to_string().contains("not signed"), "{forged}");
    assert_eq!(units(&line.say(&used)["used"]["dollars"]), spent + 20_000);

    // By a provider that nobody named: whoever has the socket could have made it.
    let house_two = House::new(&[]);
    let elsewhere = format!("providers = [\"0x{}\"]\n", "22".repeat(20));
    house_two.mandate(&format!("{ASK}{elsewhere}"));
    let strict = house_two.signer("agent");
    let mut strict_line = Line::to(&strict);
    let set = json!({ "act": "ask", "permission": 0, "maxCharge": "20000", "request": request });
    assert_eq!(strict_line.say(&json!({ "intent": set }))["outcome"]["status"], "settled");
    again["evidence"]["receipt"]["charge"] = bundle["receipt"]["charge"].clone();
    again["intent"]["charge"] = bundle["receipt"]["charge"].clone();
    let stranger = strict_line.say(&again);
    let named = stranger["outcome"]["reason"].to_string().contains("does not name");
    assert!(named, "{stranger}");
    drop((strict_line, strict));

    // The counts are in the signer's journal.
    drop((line, signer));
    let signer = house.signer("agent");
    let told = Line::to(&signer).say(&used);
    assert_eq!(units(&told["used"]["dollars"]), spent + 20_000, "{told}");
    assert!(connect.stop());

    // Ended by the owner: no question more.
    drop(house.on_chain(&["agent", "mandate", "revoke"]));
    let mut line = Line::to(&signer);
    let ended = line.say(&json!({
        "intent": { "act": "ask", "permission": 0, "maxCharge": "1", "request": request },
    }));
    assert_eq!(code(&ended), "revoked");
}

#[test]
fn an_advised_run_asks_within_its_mandate_and_says_what_followed() {
    let house = House::new(&[]);
    house.mandate(&format!("{}{ASK}", house.swap()));
    let _signer = house.signer("agent");
    let connect = house.connect();
    let model = house.up.field("model");
    let strategy = format!(
        "kind = \"advised\"\nmodel = \"{model}\"\nevery_s = 3600\nstep_bps = 1000\ndrift_bps = 6000"
    );
    let portfolio = house.portfolio(&strategy);
    let before = house.balance(&house.token(1), &house.owner);
    let said = house.said(&["agent", "run", &portfolio, "--blocks", "1"]);

    let acts = house.acts();
    let kinds: Vec<_> = acts.iter().map(|act| act["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["ask", "answer"], "{said}");
    let note = acts[1]["intent"]["note"].as_str().expect("a note");
    assert!(said.contains(note), "{said}");
    // Whatever so small a model says: a letter, or the rule's default.
    let chosen = ["it chooses A", "it chooses B"].contains(&note);
    assert!(chosen || note == "it names no option: A, the default, applies", "{note}");
    assert_eq!(acts[1]["parent"], acts[0]["receipt"]);
    let (report, _) = house.verified(&acts[1]["receipt"]);
    let answer = &acts[1]["reliedOn"][0];
    assert!(proven(&report, answer, "response"), "{report}");
    assert_eq!(house.balance(&house.token(1), &house.owner), before, "nothing was ordered yet");
    assert!(connect.stop());
}
