//! Arguments, ports, directories, and calls that nobody pays for.

use serde_json::{Value, json};
use vouch_tests::{Running, http, text, vouch};

/// Runs a command that must fail, and gives the one sentence that it says.
fn refused(data: &std::path::Path, arguments: &[&str], code: i32) -> String {
    let output = vouch(data, arguments).output().expect("it starts");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output));
    text(&output)
}

#[test]
fn one_process_a_directory_and_one_a_port() {
    let data = tempfile::tempdir().expect("a directory");
    let up = Running::up(data.path(), &[]);
    let free = ["--listen", "127.0.0.1:0"];
    for arguments in [
        [&["chain"], &free[..]].concat(),
        [&["up", "--chain-listen", "127.0.0.1:0"], &free[..]].concat(),
    ] {
        let said = refused(data.path(), &arguments, 1);
        let pid = format!("pid {}", up.pid());
        assert!(said.contains(&pid) && said.contains("stop it, or choose another"), "{said}");
    }
    let other = tempfile::tempdir().expect("a directory");
    let chain = up.field("chain").replace("http://", "");
    let gateway = up.field("gateway").replace("http://", "");
    for (arguments, option) in [
        (vec!["chain", "--listen", &chain], "--listen"),
        (vec!["up", "--chain-listen", "127.0.0.1:0", "--listen", &gateway], "--listen"),
        (vec!["up", "--listen", "127.0.0.1:0", "--chain-listen", &chain], "--chain-listen"),
    ] {
        let said = refused(other.path(), &arguments, 1);
        let way = format!("choose another with {option}");
        assert!(said.contains("cannot listen on") && said.contains(&way), "{said}");
    }
}

#[test]
fn bad_input_gets_one_sentence() {
    let data = tempfile::tempdir().expect("a directory");
    for (arguments, code, says) in [
        (&["verify", "nothing-here.json"][..], 1, "neither a file nor a receipt's id"),
        (
            &[
                "up",
                "--model",
                "/no/such.gguf",
                "--listen",
                "127.0.0.1:0",
                "--chain-listen",
                "127.0.0.1:0",
            ],
            1,
            "no such file",
        ),
        (&["serve", "--chain", "not a url"], 1, "is no URL"),
        (&["up", "--price-input", "five"], 2, "no amount of dollars"),
        (&["fly"], 2, "unrecognized subcommand"),
    ] {
        let said = refused(data.path(), arguments, code);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

#[test]
fn unpaid_and_malformed_calls_get_an_offer_or_a_reason() {
    let data = tempfile::tempdir().expect("a directory");
    let up = Running::up(data.path(), &[]);
    let url = format!("{}/v1/chat/completions", up.field("gateway"));
    let call =
        json!({ "model": up.field("model"), "messages": [{ "role": "user", "content": "Hi" }] });
    let unknown = json!({ "model": "no-such-model", "messages": call["messages"] });
    let long = json!({ "model": up.field("model"), "messages": [{ "role": "user", "content": "word ".repeat(20_000) }] });
    for (body, status, code) in [
        (call.to_string(), 402, "payment_required"),
        (unknown.to_string(), 404, "model_not_found"),
        (long.to_string(), 400, "context_length_exceeded"),
        ("{".to_owned(), 400, "invalid_request"),
    ] {
        let (found, answer) = http("POST", &url, &body);
        let answer: Value = serde_json::from_slice(&answer).expect("an error is JSON");
        assert_eq!((found, answer["error"]["code"].as_str()), (status, Some(code)), "{answer}");
        assert!(
            answer["error"]["message"].as_str().is_some_and(|said| !said.is_empty()),
            "{answer}"
        );
    }
}
