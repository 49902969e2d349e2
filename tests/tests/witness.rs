//! `vouch witness --listen`: a provider comes to it for cosignatures, and is held to what it has
//! seen. The C2SP protocol is spoken by hand, too.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

use std::{fs, path::Path};

use serde_json::{Value, json};
use vouch_tests::{Running, copy, free_address, http, json, text, until, vouch};

/// A provider's log key, which depends on its keys and chain.
fn log_key(provider: &Path) -> String {
    let up = Running::up(provider, &[]);
    let (status, document) = up.get("/.well-known/vouch.json");
    assert_eq!(status, 200);
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert!(up.stop());
    document["log"]["key"].as_str().unwrap().to_owned()
}

/// Asks a short question; more arguments may follow.
fn ask(home: &Path, up: &Running, question: &str, more: &[&str]) {
    let gateway = up.field("gateway");
    let words = ["ask", question, "--provider", &gateway, "--max-tokens", "8", "--json"];
    let answer = json(&mut vouch(&home.join("buyer"), &[&words, more].concat()));
    assert!(answer["receipt"].is_string(), "{answer}");
}

/// The size of the newest checkpoint, with how many lines sign it.
fn checkpoint(up: &Running) -> (u64, usize) {
    let (_, note) = up.get("/log/checkpoint");
    let note = String::from_utf8(note).unwrap();
    let size = note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or(0);
    (size, note.lines().filter(|line| line.starts_with('\u{2014}')).count())
}

#[test]
fn a_provider_comes_to_its_witness_and_cannot_go_back_behind_it() {
    let home = tempfile::tempdir().unwrap();
    let (provider, witness) = (home.path().join("provider"), home.path().join("witness"));
    let log = log_key(&provider);
    let address = free_address();
    let listen = ["witness", "--listen", &address, "--log", &log, "--name", "w.example"];
    let watching = Running::start(&witness, &listen);
    let key = watching.field("witness");
    let named = format!("{key}@{}", watching.field("url"));

    let up = Running::up(&provider, &["--witness", &named]);
    ask(home.path(), &up, "Who was there?", &[]);
    until("the checkpoint is cosigned", || checkpoint(&up) == (1, 3));

    // One of two, or both: the other is a witness of nothing.
    let stranger = home.path().join("stranger");
    let other = json(&mut vouch(&stranger, &["witness", "--show-key", "--json"]));
    let policy = |quorum: &str| {
        let path = home.path().join(format!("{quorum}.policy"));
        let other = other.as_str().unwrap();
        let group = format!("group g {quorum} a b\nquorum g\n");
        fs::write(&path, format!("log {log}\nwitness a {key}\nwitness b {other}\n{group}"))
            .unwrap();
        path
    };
    let bundle = home.path().join("answer.json");
    ask(home.path(), &up, "And then?", &["--bundle", bundle.to_str().unwrap()]);
    until("the checkpoint is cosigned", || checkpoint(&up) == (2, 3));
    let verify = |quorum: &str| {
        let (bundle, policy) = (bundle.to_str().unwrap(), policy(quorum));
        let words = ["verify", bundle, "--policy", policy.to_str().unwrap(), "--json"];
        vouch(&stranger, &words).output().unwrap()
    };
    let (any, all) = (verify("any"), verify("all"));
    assert_eq!(any.status.code(), Some(0), "{}", text(&any));
    let report: Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(report["verdict"], json!({ "result": "broken", "link": "witnesses" }), "{report}");
    assert_eq!(all.status.code(), Some(1));

    // Everything of the provider is put back to an older copy, its chain too: no anchor can tell.
    assert!(up.stop());
    let older = home.path().join("older");
    copy(&provider, &older);
    let up = Running::up(&provider, &["--witness", &named]);
    ask(home.path(), &up, "What was new?", &[]);
    until("the checkpoint is cosigned", || checkpoint(&up) == (3, 3));
    assert!(up.stop());
    let ports = ["up", "--listen", "127.0.0.1:0", "--chain-listen", "127.0.0.1:0"];
    let words = [&ports[..], &["--witness", &named]].concat();
    let refused = vouch(&older, &words).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    let said = text(&refused);
    assert!(said.contains("has cosigned this log with 3 entries"), "{said}");
    assert!(said.contains("Restore the newest copy"), "{said}");

    // A witness that is away holds nobody up, and remembers when it comes back.
    assert!(watching.stop());
    let up = Running::up(&provider, &["--witness", &named]);
    ask(home.path(), &up, "Is anyone there?", &[]);
    let watching = Running::start(&witness, &listen);
    until("the checkpoint is cosigned", || checkpoint(&up) == (4, 3));
    assert!(up.stop() && watching.stop());
}

/// A log's words, by hand, as any log of the witness network would say them.
#[test]
fn the_protocol_answers_as_it_is_specified() {
    let home = tempfile::tempdir().unwrap();
    let provider = home.path().join("provider");
    let log = log_key(&provider);
    let listen = ["witness", "--listen", "127.0.0.1:0", "--log", &log];
    let watching = Running::start(&home.path().join("witness"), &listen);
    let url = format!("{}/add-checkpoint", watching.field("url"));
    let post = |body: &str| {
        let (status, answer) = http("POST", &url, body);
        (status, String::from_utf8(answer).unwrap())
    };
    let up = Running::up(&provider, &[]);
    let note = || String::from_utf8(up.get("/log/checkpoint").1).unwrap();
    let first = note();
    let (status, cosignature) = post(&format!("old 0\n\n{first}"));
    assert_eq!(status, 200, "{cosignature}");
    assert!(cosignature.starts_with("\u{2014} witness.localhost "), "{cosignature}");
    assert!(cosignature.ends_with('\n') && cosignature.lines().count() == 1);

    for question in ["One?", "Two?", "Three?"] {
        ask(home.path(), &up, question, &[]);
    }
    until("the log has three entries", || checkpoint(&up).0 == 3);
    let third = note();
    assert_eq!(post(&format!("old 0\n\n{third}")).0, 200);
    assert_eq!(post(&format!("old 0\n\n{third}")), (409, "3\n".into()));
    assert_eq!(post(&format!("old 1\n\n{first}")).0, 400, "above the checkpoint's");
    assert_eq!(post(&format!("old 0\n\n{first}")), (409, "3\n".into()));
    ask(home.path(), &up, "Four?", &[]);
    until("the log has four entries", || checkpoint(&up).0 == 4);
    let fourth = note();
    assert_eq!(post(&format!("old 3\n\n{fourth}")).0, 422, "no proof");
    let (_, path) = up.get("/vouch/consistency?from=3&to=4");
    let path: Value = serde_json::from_slice(&path).unwrap();
    let lines: String = path["path"].as_array().unwrap().iter().map(base64_line).collect();
    assert_eq!(post(&format!("old 3\n{lines}\n{fourth}")).0, 200);

    assert_eq!(post(&fourth.replacen("vouch.localhost", "other.localhost", 1)).0, 400);
    let unknown = fourth.replace("vouch.localhost", "other.localhost");
    assert_eq!(post(&format!("old 0\n\n{unknown}")).0, 404);
    let unsigned: String = fourth.lines().filter(|line| !line.starts_with('\u{2014}')).collect();
    assert_eq!(post(&format!("old 4\n\n{unsigned}\n")).0, 400, "no signature at all");
    // Another root, with the signatures of this one.
    let root = fourth.lines().nth(2).unwrap();
    let forged = fourth.replace(root, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    assert_eq!(post(&format!("old 4\n\n{forged}")).0, 403);
    assert_eq!(post(&"x".repeat(200_000)).0, 413);
    assert!(up.stop() && watching.stop());
}

/// A hash in hexadecimal as a line of a proof.
fn base64_line(hash: &Value) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let hash: alloy_primitives::B256 = hash.as_str().unwrap().parse().unwrap();
    format!("{}\n", STANDARD.encode(hash))
}
