//! The chain of ethereum/execution-apis' tests, through all of Ethereum's forks.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod cases;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vouch_chain::{Chain, Genesis, ManualClock, Mining, Options};

/// What is not as expected, by name and reason.
const EXCEPTIONS: &str = include_str!("exceptions.txt");

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/execution-apis")
}

fn open(dir: &Path) -> Chain {
    let genesis = Genesis::from_json(&fs::read(directory().join("genesis.json")).unwrap()).unwrap();
    let options = Options::new(genesis, ManualClock::new(540));
    Chain::open(dir, Options { mining: Mining::Manual, ..options }).unwrap()
}

#[test]
fn every_fork_gives_the_roots_that_ethereum_has() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    let blocks = fs::read(directory().join("chain.rlp")).unwrap();
    assert_eq!(chain.import(blocks.as_slice(), |_| {}).unwrap(), 54);
    assert_eq!(chain.import(blocks.as_slice(), |_| {}).unwrap(), 0, "they are there already");
    let mut exported = Vec::new();
    assert_eq!(chain.export(1..=u64::MAX, &mut exported).unwrap(), 54);
    assert!(exported == blocks, "what was taken in comes out again");
    chain.close().unwrap();
    // And so does what was stored.
    let chain = open(dir.path());
    let mut again = Vec::new();
    chain.export(1..=60, &mut again).unwrap();
    assert!(again == blocks);
}

/// Prints what passed, what did not, and what is listed; an exception that passes is to be struck
/// off the list.
#[tokio::test]
async fn every_case_is_answered_as_expected_or_listed() {
    let listed: BTreeMap<&str, &str> = EXCEPTIONS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(": ").expect("name: reason"))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    chain.import(fs::read(directory().join("chain.rlp")).unwrap().as_slice(), |_| {}).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, chain.router()).into_future());
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let (mut passed, mut failed, mut mended) = (0, Vec::new(), Vec::new());
    let cases = cases::read(&directory());
    for case in &cases {
        let mut wrong = None;
        for (request, expected) in &case.exchanges {
            let sent = client.post(&url).json(request).send().await.unwrap();
            let found: Value = sent.json().await.unwrap();
            wrong = wrong.or_else(|| cases::differs(expected, &found, case.form_only));
        }
        match (wrong, listed.contains_key(case.name.as_str())) {
            (None, false) => passed += 1,
            (None, true) => mended.push(&case.name),
            (Some(why), false) => failed.push(format!("{}: {why:.300}", case.name)),
            (Some(_), true) => {}
        }
    }
    println!("{passed} of {} cases pass, {} are listed", cases.len(), listed.len());
    assert!(failed.is_empty(), "{} are not as expected:\n{}", failed.len(), failed.join("\n"));
    assert!(mended.is_empty(), "strike these off the list, they pass: {mended:?}");
}
