//! Restarts, torn tails, damage and other people's directories.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy::eips::BlockId;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use tempfile::TempDir;
use vouch_chain::{Chain, Error, Genesis, ManualClock};

use crate::support::{CHAIN_ID, Fixture, GENESIS_TIME, LOG, STORE, options, words};

const TO: Address = Address::repeat_byte(0x55);

async fn busy_chain() -> Fixture {
    let fixture = Fixture::start().await;
    let store = fixture.deploy(&STORE).await;
    let log = fixture.deploy(&LOG).await;
    for n in 1..=5 {
        let pay = TransactionRequest::default().with_to(TO).with_value(U256::from(n));
        fixture.send(pay).await;
        fixture.send(TransactionRequest::default().with_to(store).with_input(words(n, n))).await;
        fixture.send(TransactionRequest::default().with_to(log).with_input(words(n, n))).await;
    }
    fixture
}

/// The only segment of a small journal.
fn segment(dir: &TempDir) -> PathBuf {
    let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "log")).min().unwrap()
}

fn reopen(dir: &TempDir, owner: Address) -> Result<Chain, Error> {
    Chain::open(dir.path(), options(owner, &Arc::new(ManualClock::new(GENESIS_TIME))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_with_the_same_chain() {
    let fixture = busy_chain().await;
    let head = fixture.provider.get_block(BlockId::latest()).await.unwrap().unwrap();
    let logs = alloy::rpc::types::Filter::new().from_block(0);
    let all_logs = fixture.provider.get_logs(&logs).await.unwrap();
    let receipts = fixture.provider.get_block_receipts(BlockId::number(4)).await.unwrap();
    let (dir, signer) = fixture.stop();

    let told = Arc::new(AtomicU64::new(0));
    let last = told.clone();
    let fixture = Fixture::start_in(dir, signer, |options| {
        options.genesis = Genesis::development(99, GENESIS_TIME); // the stored one counts
        options.progress = Box::new(move |progress| last.store(progress.done, Ordering::Relaxed));
    })
    .await;
    assert_eq!(told.load(Ordering::Relaxed), head.header.number);
    assert_eq!(fixture.chain().chain_id(), CHAIN_ID);
    assert_eq!(fixture.provider.get_block(BlockId::latest()).await.unwrap().unwrap(), head);
    assert_eq!(fixture.provider.get_logs(&logs).await.unwrap(), all_logs);
    let again = fixture.provider.get_block_receipts(BlockId::number(4)).await.unwrap();
    assert_eq!(again, receipts);
    assert_eq!(fixture.provider.get_balance(TO).await.unwrap(), U256::from(15));
    let old = fixture.provider.get_balance(TO).block_id(BlockId::number(6)).await.unwrap();
    assert_eq!(old, U256::from(1 + 2), "old state answers after a restart");
    let pay = TransactionRequest::default().with_to(TO).with_value(U256::from(1));
    let receipt = fixture.send(pay).await;
    assert_eq!(receipt.block_number, Some(head.header.number + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_and_said() {
    let (dir, signer) = busy_chain().await.stop();
    let path = segment(&dir);
    let whole = fs::read(&path).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let torn: Vec<u8> =
        whole.iter().enumerate().map(|(at, b)| if at < used - 40 { *b } else { 0 }).collect();
    fs::write(&path, torn).unwrap();

    let chain = reopen(&dir, signer.address()).unwrap();
    assert!(chain.recovery().truncated_bytes > 0);
    let provider = chain.provider();
    assert_eq!(provider.get_block_number().await.unwrap(), 16, "the last block was torn");
    assert_eq!(provider.get_balance(TO).await.unwrap(), U256::from(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_refused() {
    let (dir, signer) = busy_chain().await.stop();
    let path = segment(&dir);
    let mut bytes = fs::read(&path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = reopen(&dir, signer.address()).unwrap_err();
    assert!(matches!(error, Error::Journal(vouch_journal::Error::Damaged { .. })), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_of_others_are_refused() {
    let fixture = Fixture::start().await;
    let owner = fixture.signer.address();
    let clock = Arc::new(ManualClock::new(GENESIS_TIME));
    let error = Chain::open(fixture.path(), options(owner, &clock)).unwrap_err();
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    let (dir, _) = fixture.stop();

    let mut other = options(owner, &clock);
    other.expected_chain_id = Some(5);
    let error = Chain::open(dir.path(), other).unwrap_err();
    assert!(matches!(error, Error::OtherChain { expected: 5, found: CHAIN_ID }), "{error}");
    assert!(reopen(&dir, owner).is_ok(), "a refusal leaves the directory free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_something_else_is_refused() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) =
        vouch_journal::Journal::open(dir.path(), vouch_journal::Options::default()).unwrap();
    journal.append(b"not a genesis").unwrap();
    journal.sync().unwrap();
    drop(journal);
    let owner = PrivateKeySigner::random().address();
    assert!(matches!(reopen(&dir, owner), Err(Error::Record { record: 0, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_state_beyond_the_window_says_so() {
    let dir = Arc::new(TempDir::new().unwrap());
    let signer = PrivateKeySigner::random();
    let fixture = Fixture::start_in(dir, signer, |options| options.history_blocks = Some(3)).await;
    for _ in 0..6 {
        fixture.send(TransactionRequest::default().with_to(TO).with_value(U256::from(1))).await;
    }
    let old = fixture.provider.get_balance(TO).block_id(BlockId::number(3)).await.unwrap();
    assert_eq!(old, U256::from(3));
    let error = fixture.provider.get_balance(TO).block_id(BlockId::number(2)).await.unwrap_err();
    assert!(error.to_string().contains("no longer kept (the oldest kept is 3)"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_chain_reads_but_takes_nothing() {
    let mut fixture = busy_chain().await;
    fixture.chain.take().unwrap().close().unwrap();
    assert_eq!(fixture.provider.get_balance(TO).await.unwrap(), U256::from(15));
    let pay = TransactionRequest::default().with_to(TO).with_value(U256::from(1));
    let error = fixture.provider.send_transaction(pay).await.unwrap_err();
    assert!(error.to_string().contains("takes no transactions: it was closed"), "{error}");
    let mined = fixture.rpc("evm_mine", serde_json::json!([])).await;
    assert_eq!(mined["error"]["code"], -32603);
}
