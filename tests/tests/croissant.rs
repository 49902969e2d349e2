//! The card of a published dataset, read by Croissant's own library.

use serde_json::json;
use vouch_tests::{Running, client, http, json, vouch};

#[test]
fn the_card_that_an_owner_publishes_and_serves_is_croissant() {
    let directory = tempfile::tempdir().expect("a directory");
    let (provider, owner) = (directory.path().join("provider"), directory.path().join("owner"));
    let documents = directory.path().join("documents");
    std::fs::create_dir(&documents).expect("a directory");
    std::fs::write(documents.join("lamp.md"), "# Lamp\n\nIt burns whale oil.").expect("a document");
    let up =
        Running::up(&provider, &["--upstream", "http://127.0.0.1:9/v1", "--upstream-model", "m"]);
    let chain = up.field("chain");
    let listed = json(&mut vouch(&owner, &["data", "list", "--chain", &chain, "--json"]));
    let faucet = json!({ "address": listed["owner"] }).to_string();
    assert_eq!(http("POST", &format!("{}/vouch/faucet", up.field("gateway")), &faucet).0, 200);
    let directory = documents.to_str().expect("UTF-8");
    // What a name and a creator may hold is no reason for the card not to be read.
    let facts = ["--name", "Lamps \"of\" \u{e9}t\u{e9} {1871}", "--creator", "Ada Voss"];
    let publish =
        ["data", "publish", directory, "--licence", "CC-BY-4.0", "--chain", &chain, "--json"];
    let published = json(&mut vouch(&owner, &[&publish[..], &facts].concat()));
    let serve = ["data", "serve", "--listen", "127.0.0.1:0", "--chain", &chain];
    let serving = Running::start(&owner, &serve);
    let id = published["dataset"].as_str().expect("an id");
    let card = client("croissant.py", &[&format!("{}/datasets/{id}", serving.field("url"))]);
    assert_eq!((&card["errors"], &card["warnings"]), (&json!([]), &json!([])), "{card}");
    assert_eq!(card["name"], json!(facts[1]), "{card}");
    assert_eq!(card["licence"], json!(["https://spdx.org/licenses/CC-BY-4.0"]), "{card}");
    assert!(card["conforms"].as_str().is_some_and(|version| version.contains("1.1")), "{card}");
    let sealed = card["sha256"][0].as_str().expect("a checksum");
    assert_eq!((sealed.len(), card["sha256"].as_array().map(Vec::len)), (64, Some(1)), "{card}");
    assert_eq!(card["fields"], json!(["documents/path", "documents/content"]), "{card}");
    assert!(serving.stop() && up.stop(), "both end cleanly");
}
