//! A dataset, a base model, a fine-tune and a service of four owners: what the service is paid is split
//! by the contract, and each collects.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vouch_tests::{json, text, vouch};

use crate::house::House;

/// Someone with a node.
struct Maker {
    home: PathBuf,
    account: String,
    node: String,
    receiver: String,
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// `--json`'s amounts of a vault: hexadecimal.
fn amount(value: &Value) -> u128 {
    let digits = value.as_str().expect("an amount").trim_start_matches("0x");
    u128::from_str_radix(digits, 16).expect("a number")
}

fn make(house: &House, home: &Path, what: &[&str]) -> Maker {
    let gateway = house.up.field("gateway");
    let made = house.data(home, &[&["register", "--provider", &gateway], what].concat());
    Maker {
        home: home.to_owned(),
        account: word(&made, "owner").to_owned(),
        node: word(&made, "node").to_owned(),
        receiver: word(&made, "receiver").to_owned(),
    }
}

/// An owner with ether for its transactions.
fn home(house: &House, who: &str) -> PathBuf {
    let home = house.home(who);
    let listed = house.data(&home, &["list"]);
    house.faucet(word(&listed, "owner"));
    home
}

#[test]
fn what_a_service_is_paid_is_split_up_its_lineage_and_collected() {
    let house = House::new(&[]);
    let gateway = house.up.field("gateway");
    let letters = house.home("letters");
    std::fs::create_dir_all(&letters).expect("a directory");
    std::fs::write(letters.join("a.md"), "The lamp burns whale oil.").expect("a document");
    let letters = letters.to_str().expect("UTF-8");

    let ada = home(&house, "ada");
    let unnamed = house.refused(&ada, &["register", "model", "m"]);
    assert!(unnamed.contains("which vault splits the income is not known here"), "{unnamed}");
    house.data(&ada, &["publish", letters, "--licence", "CC-BY-4.0"]);
    let data = make(&house, &ada, &["dataset", "letters"]);
    let part = |maker: &Maker, share: u32| format!("{}:{share}", maker.node);
    let base = home(&house, "ben");
    let base = make(&house, &base, &["model", "base", "--parent", &part(&data, 1_234)]);
    let tune = home(&house, "cleo");
    let parents = ["--parent", &part(&base, 3_333), "--parent", &part(&data, 777)];
    let tune = make(&house, &tune, &[&["fine-tune", "letters-chat"], &parents[..]].concat());
    let parents = ["--parent", &part(&tune, 2_500), "--as", "provider"];
    let provider = house.home("provider");
    let service = make(&house, &provider, &[&["service", "chat"], &parents[..]].concat());
    assert!(service.account.eq_ignore_ascii_case(&house.up.field("provider")));
    refusals(&house, &ada, [&data, &base, &tune]);

    // The service's channels pay its receiver, and nothing else pays the provider.
    let house = house.restart(&["--receiver", &service.receiver, "--price-output", "400"]);
    let gateway_now = house.up.field("gateway");
    let ask = ["ask", "Say hello.", "--provider", &gateway_now, "--max-tokens", "24", "--json"];
    let mut command = vouch(&house.home("buyer"), &ask);
    let _answer = json(&mut command);
    let _closed = json(vouch(&house.home("buyer"), &["channel", "close"]).arg("--json"));
    let paid = house.dollars(&service.receiver);
    assert!(paid > 0, "the channel's claim went to the receiver");
    assert_eq!(house.dollars(&service.account), 0);

    // Each collects, the farthest first: it moves what is on the way to it, and no more.
    let makers = [&data, &base, &tune, &service];
    let mut got = Vec::new();
    for maker in makers {
        let before = house.dollars(&maker.account);
        let collect = ["royalties", "--collect", "--provider", &gateway_now];
        let collected = house.data(&maker.home, &collect);
        let came = house.dollars(&maker.account) - before;
        assert_eq!(collected["collected"].as_array().map(Vec::len), Some(1), "{collected}");
        assert_eq!(amount(&collected["collected"][0]["amount"]), came);
        assert!(came > 0, "{collected}");
        got.push(came);
        let again = house.data(&maker.home, &collect);
        assert_eq!(amount(&again["collected"][0]["amount"]), 0, "once: {again}");
    }
    assert_eq!(house.dollars(&service.receiver), 0);

    // The books say the same, to the last unit.
    let explain = ["royalties", "--explain", "--provider", &gateway_now];
    let books = house.data(&ada, &explain);
    let books = books["nodes"].as_array().expect("books");
    for (maker, got) in makers.iter().zip(&got) {
        let own = books.iter().find(|own| own["node"] == json!(maker.node)).expect("its books");
        assert_eq!((amount(&own["withdrawn"]), amount(&own["withdrawable"])), (*got, 0));
        assert_eq!(amount(&own["entitled"]), *got);
    }
    let fees: u128 = books.iter().map(|own| amount(&own["fee"])).sum();
    let left = paid - fees - got.iter().sum::<u128>();
    assert!(left <= 4, "{left} units are not anybody's: more than rounding");
    let (code, agreed) = house.recompute_for(&house.up.field("provider"), Map::new());
    assert_eq!((code, &agreed["differs"]), (Some(0), &json!([])), "{agreed}");
    let recomputed = agreed["royalties"].as_array().expect("lines");
    for (maker, got) in makers.iter().zip(&got) {
        let line = recomputed.iter().find(|line| line["node"] == json!(maker.node));
        let line = line.expect("its line");
        assert_eq!(line["withdrawn"], json!(got.to_string()), "{line}");
    }
    assert_ne!(gateway, "", "it had one before");
    assert!(house.up.stop(), "it ends cleanly");
}

/// What cannot be registered is refused in one sentence, and nothing is sent.
fn refusals(house: &House, ada: &Path, [data, base, tune]: [&Maker; 3]) {
    let gateway = house.up.field("gateway");
    let refused = |what: &[&str], why: &str| {
        let said = house.refused(ada, &[&["register", "--provider", &gateway], what].concat());
        assert!(said.contains(why) && !said.contains("panicked"), "{said}");
    };
    let part = |maker: &Maker, share: u32| format!("{}:{share}", maker.node);
    let (most, more) = (part(data, 6_000), part(base, 4_001));
    refused(&["model", "m", "--parent", &most, "--parent", &more], "above 10000 (100 %)");
    refused(&["model", "m", "--parent", &most, "--parent", &most], "named twice");
    let stranger = format!("0x{:064x}:5", 7);
    refused(&["model", "m", "--parent", &stranger], "parents come first");
    let many: Vec<String> = (0..17).map(|n| format!("0x{n:064x}:1")).collect();
    let many: Vec<&str> = many.iter().flat_map(|parent| ["--parent", parent]).collect();
    refused(&[&["model", "m"], &many[..]].concat(), "more than 16 parents");
    refused(&["dataset", "letters"], "registered already");
    refused(&["dataset", "poems"], "no dataset here is called");
    refused(&["dataset", &format!("0x{:064x}", 1)], "is not on the chain");
    let elsewhere = ["register", "model", "m", "--vault", &tune.account];
    let said = house.refused(ada, &elsewhere);
    assert!(said.contains("there is no royalty vault at"), "{said}");
    let unreadable = ["register", "model", "m", "--parent", "0x12:5"];
    let output = house.command(ada, &unreadable).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("write it as NODE:BPS"), "{}", text(&output));
    let stranger = house.home("stranger");
    let said = house.refused(&stranger, &["royalties", "--collect", "--provider", &gateway]);
    assert!(said.contains("no node is of a key of this machine"), "{said}");
}
