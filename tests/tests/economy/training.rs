//! A classifier on the sets of several owners: who contributed is paid, who copied or guessed is not.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value, json};
use vouch_tests::{Running, http, text, vouch};

use crate::house::{House, units};

const POT: u128 = 1_000_003;

const SEA: [&str; 16] = [
    "The harbour pilot boarded the freighter before dawn.",
    "A gale tore the mainsail of the fishing smack.",
    "Whales surfaced off the northern lighthouse.",
    "The anchor dragged across the sandy seabed.",
    "Sailors scrubbed the deck of the frigate.",
    "High tide flooded the old stone quay.",
    "The ferry crosses the strait twice a day.",
    "Her submarine dived beneath the pack ice.",
    "Gulls followed the trawler back to port.",
    "The captain plotted a course around the reef.",
    "Salt spray froze on the ship's rigging.",
    "The lifeboat crew rescued three swimmers.",
    "A buoy marks the wreck in the estuary.",
    "They rowed the dinghy out to the yacht.",
    "The current carried driftwood along the coast.",
    "Dockers unloaded containers from the vessel.",
];
const BREAD: [&str; 16] = [
    "Knead the dough until it is smooth and elastic.",
    "The baker scored the loaf with a sharp blade.",
    "Sourdough needs a lively starter of flour and water.",
    "Preheat the oven before the baguettes go in.",
    "Rye flour gives the bread a dense crumb.",
    "Let the yeast foam in the warm milk.",
    "Brush the buns with melted butter and sugar.",
    "The crust of the pizza was crisp and thin.",
    "She sifted cocoa into the cake batter.",
    "Whisk eggs and cream for the custard filling.",
    "Roll out the pastry on a floured board.",
    "The muffins rose in their paper cases.",
    "Fold raisins and cinnamon into the brioche.",
    "Cool the biscuits on a wire rack.",
    "A pinch of salt improves every pancake.",
    "He toasted two slices of wholemeal for breakfast.",
];

/// One set of labelled examples, a line each.
fn lines(range: std::ops::Range<usize>, label: impl Fn(usize, &str) -> &'static str) -> String {
    let both = range.flat_map(|i| [(i, "sea", SEA[i]), (i, "bread", BREAD[i])]);
    let line = |(at, (_, theme, text)): (usize, (usize, &'static str, &str))| {
        json!({ "text": text, "label": label(at, theme) }).to_string() + "\n"
    };
    both.enumerate().map(line).collect()
}

fn honest(_: usize, theme: &str) -> &'static str {
    if theme == "sea" { "sea" } else { "bread" }
}

/// Two of four labels wrong, in no relation to the text.
fn random(at: usize, _: &str) -> &'static str {
    if at % 4 < 2 { "sea" } else { "bread" }
}

/// Someone whose set may be trained on.
struct Owner {
    home: PathBuf,
    account: String,
    dataset: String,
    grant: String,
    url: String,
    serving: Running,
}

fn word(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}

/// Publishes a set, grants its training and serves it; at `url`, where others reach it.
fn owner(house: &House, who: &str, set: &str, trainer: &str, url: Option<&str>) -> Owner {
    let home = house.home(who);
    let directory = house.home(&format!("{who}-set"));
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("examples.jsonl"), set).expect("a set");
    let account = word(&house.data(&home, &["list"]), "owner");
    house.faucet(&account);
    let directory = directory.to_str().expect("UTF-8");
    let published = house.data(&home, &["publish", directory, "--licence", "CC-BY-4.0"]);
    let dataset = word(&published, "dataset");
    let terms = ["--to", trainer, "--purpose", "train"];
    let granted = house.data(&home, &[&["grant", &dataset], &terms[..]].concat());
    let chain = house.up.field("chain");
    let mut serve = vec!["data", "serve", "--listen", "127.0.0.1:0", "--chain", &chain];
    serve.extend(url.iter().flat_map(|url| ["--url", url]));
    let serving = Running::start(&home, &serve);
    let url = serving.field("url");
    Owner { home, account, dataset, grant: word(&granted, "id"), url, serving }
}

/// What `classifier.toml` says; `sources` in the order of the owners.
fn config(name: &str, commitment: &str, owners: &[&Owner]) -> String {
    let sets = owners.iter().map(|owner| {
        let Owner { account, dataset, grant, url, .. } = owner;
        format!(
            "\n[[sets]]\nowner = \"{account}\"\ndataset = \"{dataset}\"\ngrant = \"{grant}\"\n\
             source = \"{url}\"\n"
        )
    });
    format!(
        "name = \"{name}\"\nk = 3\npot = \"{POT}\"\n\n[validation]\npath = \"validation\"\n\
         commitment = \"{commitment}\"\n{}",
        sets.collect::<String>()
    )
}

#[test]
fn who_contributed_is_paid_and_who_copied_or_guessed_is_not() {
    let house = House::new(&[]);
    let lab = house.home("provider");
    let trainer = word(&house.data(&lab, &["train", "--account"]), "account");
    let both = |range| lines(range, honest);
    let ada = owner(&house, "ada", &both(0..5), &trainer, None);
    let ben = owner(&house, "ben", &both(5..10), &trainer, None);
    let copier = owner(&house, "copier", &both(0..5), &trainer, None);
    let guesser = owner(&house, "guesser", &lines(10..14, random), &trainer, None);
    let owners = [&ada, &ben, &copier, &guesser];

    let directory = house.home("lab");
    std::fs::create_dir_all(directory.join("validation")).expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    write("validation/held-out.jsonl", &both(10..16));
    let held_out = directory.join("validation");
    let held_out = held_out.to_str().expect("UTF-8");
    let commitment = word(&house.data(&lab, &["train", "--validation", held_out]), "commitment");
    let toml = write("classifier.toml", &config("themes", &commitment, &owners));
    let out = directory.join("model");
    let out = out.to_str().expect("UTF-8");
    let trained = house.data(&lab, &["train", &toml, "--out", out]);
    let report = &trained["report"];
    let sets = report["owners"].as_array().expect("sets");
    let amounts: Vec<u128> = sets.iter().map(|set| units(&set["amount"])).collect();
    assert!(amounts[0] > 0 && amounts[1] > 0, "{report}");
    assert_eq!(amounts.iter().sum::<u128>(), POT);
    assert_eq!((&sets[2]["copies"], amounts[2]), (&json!(10), 0), "{report}");
    let guess = &sets[3];
    assert!(guess["value"].as_f64() <= guess["error"].as_f64(), "{guess}");
    assert_eq!(amounts[3], 0, "{guess}");
    let (right, all) = (report["right"].as_u64(), report["validation"].as_u64());
    assert!(right.zip(all).is_some_and(|(right, all)| right * 2 > all), "above a guess: {report}");

    // Anyone checks it; a manifest or a share that is another is found out.
    let proof = directory.join("model").join("training.json");
    let verify = |file: &str| {
        let verify = ["verify", file, "--json"];
        let output = vouch(&house.home("stranger"), &verify).output().expect("it starts");
        (output.status.code(), text(&output))
    };
    let (code, said) = verify(proof.to_str().expect("UTF-8"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(r#""result":"proven""#), "{said}");
    let tree: Value =
        serde_json::from_slice(&std::fs::read(&proof).expect("a tree")).expect("JSON");
    assert_eq!(tree["nodes"].as_array().map(Vec::len), Some(5), "{tree}");
    for (at, value, link) in [
        ("/nodes/0/training/manifest/classifier/pot", json!("1"), "manifest"),
        ("/nodes/0/training/report/owners/0/amount", json!("1"), "shares"),
        ("/nodes/0/training/report/owners/3/value", json!(0.5), "shares"),
    ] {
        let mut other = tree.clone();
        *other.pointer_mut(at).expect("it is there") = value;
        let (code, said) = verify(&write("altered.json", &other.to_string()));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!(r#""link":"{link}""#)), "{said}");
    }
    // The same again is the same training: its pot is not shared out twice.
    let again = house.data(&lab, &["train", &toml, "--out", out]);
    assert_eq!((&again["receipt"], &again["model"]), (&trained["receipt"], &trained["model"]));

    // The pot is paid by the root of what the receipts say.
    // The cut-off is a whole second of the chain's.
    std::thread::sleep(Duration::from_millis(1_100));
    let poor = house.refused(&lab, &["settle", "--training", "--window", "60"]);
    assert!(poor.contains("send it the pot of its trainings"), "{poor}");
    house.faucet(&trainer);
    let settled = house.data(&lab, &["settle", "--training", "--window", "60"]);
    assert_eq!(units(&settled["total"]), POT, "{settled}");
    house.later(61);
    let receipts = format!("{out}/receipts");
    for (owner, due) in owners.iter().zip(&amounts) {
        let before = house.dollars(&owner.account);
        let claim = ["earnings", "--receipts", &receipts, "--claim"];
        let books = house.data(&owner.home, &claim);
        assert_eq!(units(&books["series"][0]["books"]["earned"]), *due, "{books}");
        assert_eq!(books["series"][0]["faults"], json!([]), "{books}");
        assert_eq!(house.dollars(&owner.account) - before, *due);
    }
    let files = std::fs::read_dir(&receipts).expect("a directory of receipts");
    let held = files.map(|file| {
        let path = file.expect("a file").path();
        let owner = path.file_stem().and_then(|stem| stem.to_str()).expect("an address").to_owned();
        let held = std::fs::read(&path).expect("it can be read");
        (owner, serde_json::from_slice(&held).expect("JSON"))
    });
    let held: Map<String, Value> = held.collect();
    assert_eq!(held.len(), owners.len());
    let (code, agreed) = house.recompute_for(&trainer, held);
    assert_eq!((code, &agreed["differs"]), (Some(0), &json!([])), "{agreed}");
    assert_eq!(agreed["citations"][0]["agrees"], json!(true), "{agreed}");

    revoked(&house, &lab, &trainer, &ben, &commitment, &write);
    assert!(house.up.stop(), "it ends cleanly");
}

/// A grant that ends while its set is worked on: the set was used, and is not paid.
fn revoked(
    house: &House,
    lab: &Path,
    trainer: &str,
    ben: &Owner,
    commitment: &str,
    write: &dyn Fn(&str, &str) -> String,
) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let set = lines(0..5, honest);
    let dora = owner(house, "dora", &set, trainer, Some(&url));
    let server = format!("http://{}", dora.serving.field("address"));
    let mut revoke = house.command(&dora.home, &["revoke", &dora.grant]);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let (method, path, body) = asked(&stream);
            let (status, answer) = http(&method, &format!("{server}{path}"), &body);
            if method == "POST" {
                assert!(revoke.output().expect("it starts").status.success());
            }
            let length = answer.len();
            let head = format!(
                "HTTP/1.1 {status} -\r\nConnection: close\r\nContent-Type: application/json"
            );
            write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n").expect("it is there");
            stream.write_all(&answer).expect("it is there");
        }
    });
    let toml = write("revoked.toml", &config("revoked", commitment, &[ben, &dora]));
    let out = write("revoked", "");
    std::fs::remove_file(&out).expect("it was written");
    let trained = house.data(lab, &["train", &toml, "--out", &out]);
    let sets = &trained["report"]["owners"];
    assert_eq!((&sets[0]["revoked"], &sets[1]["revoked"]), (&json!(false), &json!(true)), "{sets}");
    assert!(units(&sets[1]["amount"]) > 0, "it was worth something");
    assert_eq!(trained["credited"], sets[0]["amount"], "only what is not revoked is credited");
    let proof = format!("{out}/training.json");
    let output = vouch(&house.home("stranger"), &["verify", &proof]).output().expect("it starts");
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("trained on, and not credited"), "{}", text(&output));
    let toml = write("refused.toml", &config("refused", commitment, &[&dora]));
    let refused = house.refused(lab, &["train", &toml]);
    assert!(refused.contains("was revoked by its owner"), "{refused}");
}

/// Method, path and body of a request.
fn asked(stream: &TcpStream) -> (String, String, String) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request");
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).expect("a header");
        let header = header.trim().to_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if header.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    (method, path, String::from_utf8(body).expect("UTF-8"))
}
