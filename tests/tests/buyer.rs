//! The buyer's commands against a real provider: stock OpenAI clients, evidence, closing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vouch_tests::{Running, client, http, json, text, vouch};

/// A provider and a buyer's directory beside it.
struct House {
    directory: tempfile::TempDir,
    up: Running,
}

impl House {
    fn new(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let up = Running::up(&directory.path().join("provider"), more);
        Self { directory, up }
    }

    fn buyer(&self) -> PathBuf {
        self.directory.path().join("buyer")
    }

    fn connect(&self) -> Running {
        let gateway = self.up.field("gateway");
        let arguments =
            ["connect", "--listen", "127.0.0.1:0", "--provider", &gateway, "--budget", "5"];
        Running::start(&self.buyer(), &arguments)
    }

    /// Asks, and keeps the evidence in a file.
    fn ask(&self, question: &str, bundle: &Path) -> Value {
        let gateway = self.up.field("gateway");
        let bundle = bundle.to_str().expect("UTF-8");
        let mut command = vouch(
            &self.buyer(),
            &["ask", question, "--provider", &gateway, "--max-tokens", "24", "--bundle", bundle],
        );
        json(command.arg("--json"))
    }
}

/// A link of a report, which must have been reached.
fn link<'a>(report: &'a Value, name: &str) -> &'a Value {
    let links = report["links"].as_array().expect("links");
    links.iter().find(|link| link["link"] == name).unwrap_or_else(|| panic!("{report}"))
}

/// What any stock OpenAI client must get from `vouch connect`.
fn check(seen: &Value, model: &str) {
    assert_eq!(seen["models"], json!([model]), "{seen}");
    assert!(seen["whole"].as_str().is_some_and(|text| text.contains("Paris")), "{seen}");
    assert_eq!(seen["streamed"], seen["whole"], "{seen}");
    assert!(matches!(seen["finish"].as_str(), Some("stop" | "length")), "{seen}");
    for usage in ["usage", "streamedUsage"] {
        assert!(seen[usage]["prompt_tokens"].as_u64() > Some(0), "{seen}");
        assert_eq!(seen[usage]["completion_tokens"], seen["usage"]["completion_tokens"], "{seen}");
    }
    assert!(seen["completion"].as_str().is_some_and(|text| !text.is_empty()), "{seen}");
    assert_eq!(seen["refused"]["name"], "NotFoundError", "{seen}");
    assert_eq!(seen["refused"]["status"], 404, "{seen}");
}

#[test]
fn stock_openai_clients_need_no_key() {
    let house = House::new(&[]);
    let connect = house.connect();
    let (url, model) = (connect.field("url"), house.up.field("model"));
    check(&client("openai.mjs", &[&url, &model]), &model);
    check(&client("openai_client.py", &[&url, &model]), &model);

    // Both clients' three answers were paid by one channel, and each has a receipt.
    let (status, body) = http("GET", &url.replace("/v1", "/vouch/status"), "");
    let books: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((status, &books["receipts"], &books["inFlight"]), (200, &json!(6), &json!(0)));
    assert_eq!(books["channels"].as_array().map(Vec::len), Some(1), "{books}");
    assert_eq!(books["channels"][0]["charged"], books["budget"]["spent"], "{books}");

    // The wallet is the endpoint's, so a question goes through it.
    let bundle = house.directory.path().join("answer.json");
    let answer = house.ask("What is a wallet?", &bundle);
    assert!(answer["text"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    let file = bundle.to_str().expect("UTF-8");
    let report = json(&mut vouch(&house.buyer(), &["verify", file, "--json"]));
    assert_eq!(report["verdict"], answer["verdict"], "{report}");
    let tokens = link(&report, "tokens")["finding"].as_str().expect("a finding");
    assert!(tokens.contains("they are the text's"), "the tokenizer was kept: {tokens}");
    let refused =
        vouch(&house.buyer(), &["ask", "Hi", "--budget", "9"]).output().expect("it starts");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("leave out --budget"), "{}", text(&refused));
    assert!(connect.stop() && house.up.stop(), "Ctrl-C ends both cleanly");
}

#[test]
fn an_answer_is_proven_to_a_stranger_and_its_channel_closed() {
    let witness = tempfile::tempdir().expect("a directory");
    let key = json(&mut vouch(witness.path(), &["witness", "--show-key", "--json"]));
    let key = key.as_str().expect("a key").to_owned();
    let house = House::new(&["--witness", &key]);
    let gateway = house.up.field("gateway");
    let _watching = Running::start(witness.path(), &["witness", &gateway]);
    let bundle = house.directory.path().join("answer.json");
    let answer = house.ask("Why do people keep receipts?", &bundle);
    // The buyer knows no witness; all else is there.
    assert_eq!(answer["verdict"], json!({ "result": "partial", "absent": ["witnesses"] }));

    // A stranger has nothing but the file, and knows whom it is to be from.
    let file = bundle.to_str().expect("UTF-8");
    let stranger = house.directory.path().join("stranger");
    let provider = house.up.field("provider");
    let options = ["--witness", &key, "--provider", &provider];
    let report = json(vouch(&stranger, &["verify", file, "--json"]).args(options));
    assert_eq!(report["verdict"]["result"], "proven", "{report}");
    assert_eq!(report["subject"]["receipt"], answer["receipt"], "{report}");

    // The buyer finds it by the receipt's id, too.
    let id = answer["receipt"].as_str().expect("a digest");
    let report = json(&mut vouch(&house.buyer(), &["verify", id, "--json"]));
    assert_eq!(report["subject"]["receipt"], answer["receipt"], "{report}");

    let wallet = || json(&mut vouch(&house.buyer(), &["wallet", "--provider", &gateway, "--json"]));
    let before = wallet();
    let closed = json(&mut vouch(&house.buyer(), &["channel", "close", "--json"]));
    assert_eq!(closed[0]["channel"], answer["channel"], "{closed}");
    let after = wallet();
    let units = |of: &Value| -> u128 { of.as_str().expect("an amount").parse().expect("digits") };
    let balance = |of: &Value, who: &str| units(&of["balances"][who]);
    let charge = units(&answer["charge"]);
    assert!(charge > 0);
    assert_eq!(balance(&after, "provider") - balance(&before, "provider"), charge);
    // Nothing but the charge has left the buyer, whom the faucet gave ten dollars.
    assert_eq!(balance(&after, "buyer") + charge, 10_000_000);
}

#[test]
fn a_channel_is_left_without_its_providers_help() {
    let house = House::new(&[]);
    let gateway = house.up.field("gateway");
    let ask = ["ask", "What is a vault?", "--provider", &gateway, "--max-tokens", "8", "--json"];
    let answer = json(&mut vouch(&house.buyer(), &ask));
    let charge = answer["charge"].as_str().expect("a charge");
    let id = answer["channel"].as_str().expect("a channel");
    let balances = || {
        let wallet = ["wallet", "--provider", &gateway, "--json"];
        let wallet = json(&mut vouch(&house.buyer(), &wallet));
        ["buyer", "provider"]
            .map(|who| wallet["balances"][who].as_str().expect("a balance").to_owned())
    };
    let withdraw = ["channel", "withdraw", id];
    let early = vouch(&house.buyer(), &[&withdraw[..], &["--finalize"]].concat()).output();
    assert_eq!(early.expect("it starts").status.code(), Some(1), "nothing was given notice of");
    let _notice = json(vouch(&house.buyer(), &withdraw).arg("--json"));

    // The provider sees the notice, and claims what it earned in time.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while balances()[1] != charge {
        assert!(std::time::Instant::now() < deadline, "the provider did not claim");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let early = vouch(&house.buyer(), &[&withdraw[..], &["--finalize"]].concat()).output();
    assert_eq!(early.expect("it starts").status.code(), Some(1), "the delay has not passed");
    for (method, parameters) in [("evm_increaseTime", json!([86_401])), ("evm_mine", json!([]))] {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let (status, body) = http("POST", &house.up.field("chain"), &call.to_string());
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
    let _taken = json(vouch(&house.buyer(), &withdraw).args(["--finalize", "--json"]));
    let rest = 10_000_000 - charge.parse::<u128>().expect("digits");
    assert_eq!(balances(), [rest.to_string(), charge.to_owned()]);
}

/// Another value of the same kind in place of one.
fn altered(value: &Value) -> Value {
    match value {
        Value::Null => json!(0),
        Value::Bool(it) => json!(!it),
        Value::Number(number) => json!(number.as_u64().map_or(0, |number| number + 1)),
        Value::String(text) => {
            // The middle, where a hash, a signature or a text is altered, not its prefix.
            let mut characters: Vec<_> = text.chars().collect();
            let middle = characters.len() / 2;
            match characters.get_mut(middle) {
                Some(character) if *character == '0' => *character = '1',
                Some(character) => *character = '0',
                None => characters.push('0'),
            }
            Value::String(characters.into_iter().collect())
        }
        Value::Array(items) if items.is_empty() => json!([0]),
        Value::Array(_) => json!([]),
        Value::Object(_) => json!({}),
    }
}

/// Pointers to every value in the tree but the root.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<_> = match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(n, item)| (n.to_string(), item)).collect()
        }
        Value::Object(fields) => fields.iter().map(|(key, field)| (key.clone(), field)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let place = format!("{at}/{key}");
        pointers(child, &place, found);
        found.push(place);
    }
}

#[test]
fn every_field_of_a_real_bundle_altered_in_turn_is_refused() {
    let house = House::new(&[]);
    let file = house.directory.path().join("answer.json");
    house.ask("What is a ledger?", &file);
    let bundle: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("the bundle")).expect("JSON");
    assert!(bundle["log"].is_object() && bundle["anchor"].is_object(), "the bundle is complete");

    // The stranger knows whom it is from and has seen the anchor's block.
    let header = bundle["anchor"]["header"].as_str().expect("a header");
    let header = alloy_primitives::hex::decode(header).expect("hex");
    let block = alloy_primitives::keccak256(header);
    let block = format!("{}:{block}", house.up.ready["chainId"]);
    let provider = house.up.field("provider");
    let directory = house.directory.path().join("stranger");
    let verify = |bundle: &Value| {
        let file = directory.join("altered.json");
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(&file, bundle.to_string()).expect("a file");
        let file = file.to_str().expect("UTF-8");
        let options = ["verify", file, "--provider", &provider, "--block", &block];
        vouch(&directory, &options).output().expect("it starts")
    };
    assert_eq!(verify(&bundle).status.code(), Some(0), "{}", text(&verify(&bundle)));

    let mut places = Vec::new();
    pointers(&bundle, "", &mut places);
    assert!(places.len() > 150, "only {} fields", places.len());
    let mut accepted = Vec::new();
    for place in &places {
        let mut other = bundle.clone();
        let value = other.pointer_mut(place).expect("it is there");
        *value = altered(value);
        assert_ne!(other, bundle, "{place} was not altered");
        let output = verify(&other);
        let said = text(&output);
        // Exit code 1 and one of two reasons: it is no bundle, or a link is broken and named.
        let refused = said.contains("NOT verified") || said.contains("proves nothing");
        if output.status.code() != Some(1) || !refused {
            accepted.push(format!("{place}: {said}"));
        }
    }
    assert!(accepted.is_empty(), "of {} fields: {accepted:#?}", places.len());
}
