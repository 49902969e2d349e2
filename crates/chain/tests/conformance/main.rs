//! The chain of ethereum/execution-apis' tests, through all of Ethereum's forks.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

mod cases;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use alloy::consensus::{Block, Header, SignableTransaction, TxEnvelope};
use alloy::primitives::{Signature, U256};
use alloy::providers::Provider;
use alloy_rlp::Decodable;
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

type Change = fn(&mut Block<TxEnvelope>);

/// Before Byzantium each transaction moves the tries, since receipts have the state's root.
#[test]
fn a_block_that_is_refused_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    let blocks = fs::read(directory().join("chain.rlp")).unwrap();
    let mut rest = blocks.as_slice();
    while !rest.is_empty() {
        let whole = rest;
        let block = Block::<TxEnvelope>::decode(&mut rest).unwrap();
        let changes: [(&str, Change); 9] = [
            ("names state root", |block| block.header.state_root.0[0] ^= 1),
            ("names gas used", |block| block.header.gas_used += 1),
            ("names transactions root", |block| drop(block.body.transactions.pop())),
            ("is not signed", |block| {
                let TxEnvelope::Legacy(signed) = block.body.transactions[0].clone() else { return };
                let nobody = Signature::new(U256::ZERO, U256::ZERO, false);
                block.body.transactions[0] = signed.strip_signature().into_signed(nobody).into();
            }),
            ("its gas limit cannot follow", |block| block.header.gas_limit *= 2),
            ("its ommers cannot follow", |block| {
                let number = block.header.number.saturating_sub(1);
                block.body.ommers.push(Header { number, ..Header::default() });
            }),
            ("its ommers cannot follow", |block| {
                let named = block.body.ommers.first().cloned();
                block.body.ommers.extend(named);
            }),
            ("its withdrawals cannot follow", |block| {
                let withdrawals = &mut block.body.withdrawals;
                *withdrawals = withdrawals.is_none().then(Default::default);
            }),
            ("does not follow", |block| block.header.parent_hash.0[0] ^= 1),
        ];
        for (said, change) in changes {
            let mut wrong = block.clone();
            change(&mut wrong);
            if wrong == block {
                continue;
            }
            let error = chain.import(alloy_rlp::encode(&wrong).as_slice(), |_| {}).unwrap_err();
            let error = error.to_string();
            // A transaction less also uses less gas.
            let said = [said, "names gas used", "names receipts root"];
            assert!(said.iter().any(|said| error.contains(said)), "{error}");
        }
        let bytes = &whole[..whole.len() - rest.len()];
        assert_eq!(chain.import(bytes, |_| {}).unwrap(), 1, "block {}", block.header.number);
    }
}

/// A block that is found by nobody would be no block there, and the next start would refuse it.
#[tokio::test(flavor = "multi_thread")]
async fn before_the_merge_no_block_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    let provider = chain.provider();
    let mined = provider.raw_request::<_, Value>("evm_mine".into(), ()).await.unwrap_err();
    assert!(mined.to_string().contains("until the merge"), "{mined}");
    assert_eq!(provider.get_block_number().await.unwrap(), 0);
    chain.close().unwrap();
    let chain = open(dir.path());
    chain.import(fs::read(directory().join("chain.rlp")).unwrap().as_slice(), |_| {}).unwrap();
    let _mined: Value = chain.provider().raw_request("evm_mine".into(), ()).await.unwrap();
    chain.close().unwrap();
    assert_eq!(open(dir.path()).provider().get_block_number().await.unwrap(), 55);
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
