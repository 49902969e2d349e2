//! What the block explorer Otterscan asks for.

use std::sync::Arc;

use alloy::network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder};
use alloy::primitives::{Address, B256, Bytes, U256, hex};
use alloy::providers::Provider;
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};
use tempfile::TempDir;
use vouch_chain::Mining;

use crate::support::{ETHER, Fixture, LOG, REVERT, STORE, TIMESTAMP, init_code, words};

/// `call(to: calldata[0], value: callvalue)`
const FORWARD: [u8; 9] = hex!("5f5f5f5f345f355af1");
/// `create(callvalue, init code: calldata)`
const CREATE: [u8; 8] = hex!("365f5f37365f34f0");
/// `create2(callvalue, init code: calldata, salt: 0)`
const CREATE2: [u8; 9] = hex!("365f5f375f365f34f5");
/// As [`CREATE`], and then `revert`.
const CREATE_IN_VAIN: [u8; 11] = hex!("365f5f37365f34f05f5ffd");
/// `selfdestruct(calldata[0])`
const END: [u8; 3] = hex!("5f35ff");
/// `return(staticcall(calldata[0]))`
const ASK: [u8; 13] = hex!("60205f5f5f5f355afa60205ff3");
/// `delegatecall(calldata[0], calldata)`
const BORROW: [u8; 12] = hex!("365f5f375f5f365f5f355af4");
/// `call(calldata[0], calldata[32..96])`
const PASS: [u8; 17] = hex!("604060205f375f5f60405f5f5f355af100");

fn call(to: Address, input: impl Into<Bytes>) -> TransactionRequest {
    TransactionRequest::default().with_to(to).with_input(input.into())
}

fn word(address: Address) -> Vec<u8> {
    address.into_word().to_vec()
}

fn hex(number: u64) -> Value {
    json!(format!("{number:#x}"))
}

fn same(told: &Value, address: Address) -> bool {
    told.as_str().and_then(|text| text.parse().ok()) == Some(address)
}

impl Fixture {
    async fn error(&self, method: &str, params: Value) -> (i64, String) {
        let answer = self.rpc(method, params).await;
        let error = &answer["error"];
        let message = error["message"].as_str().unwrap_or_else(|| panic!("{method}: {answer}"));
        (error["code"].as_i64().unwrap(), message.to_owned())
    }

    /// Hashes on a page, and whether it is the first and the last.
    async fn search(
        &self,
        way: &str,
        of: Address,
        base: u64,
        size: u64,
    ) -> (Vec<B256>, bool, bool) {
        let method = format!("ots_searchTransactions{way}");
        let page = self.result(&method, json!([of, base, size])).await;
        let hashes = |list: &Value, key: &str| -> Vec<B256> {
            let list = list.as_array().unwrap().iter();
            list.map(|told| told[key].as_str().unwrap().parse().unwrap()).collect()
        };
        let found = hashes(&page["txs"], "hash");
        assert_eq!(found, hashes(&page["receipts"], "transactionHash"), "{page}");
        (found, page["firstPage"].as_bool().unwrap(), page["lastPage"].as_bool().unwrap())
    }
}

fn hashes(receipts: &[&TransactionReceipt]) -> Vec<B256> {
    receipts.iter().map(|receipt| receipt.transaction_hash).collect()
}

/// A contract that a contract made: its creation and its address.
async fn made_by(fixture: &Fixture, factory: Address, runtime: &[u8]) -> (B256, Address) {
    let nonce = fixture.provider.get_transaction_count(factory).await.unwrap();
    let made = factory.create(nonce);
    let receipt = fixture.send(call(factory, init_code(runtime)).with_gas_limit(500_000)).await;
    assert!(receipt.status());
    assert_eq!(fixture.provider.get_code_at(made).await.unwrap().as_ref(), runtime);
    (receipt.transaction_hash, made)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_and_code_are_told() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.result("ots_getApiLevel", json!([])).await, 8);
    let contract = fixture.deploy(&STORE).await;
    for (place, expected) in
        [(json!("latest"), true), (json!(1), true), (json!("0x1"), true), (json!(0), false)]
    {
        assert_eq!(fixture.result("ots_hasCode", json!([contract, place])).await, expected);
    }
    assert_eq!(fixture.result("ots_hasCode", json!([contract])).await, true);
    let owner = fixture.signer.address();
    assert_eq!(fixture.result("ots_hasCode", json!([owner, "latest"])).await, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_operations_are_told_in_order() {
    let fixture = Fixture::start().await;
    let operations = async |receipt: &TransactionReceipt| {
        fixture.result("ots_getInternalOperations", json!([receipt.transaction_hash])).await
    };
    let heir = Address::repeat_byte(0x77);
    let (forward, end) = (fixture.deploy(&FORWARD).await, fixture.deploy(&END).await);
    let value = U256::from(5 * ETHER);
    let request = call(forward, word(heir)).with_value(value).with_gas_limit(200_000);
    let sent = fixture.send(request).await;
    let expected = json!([{ "type": 0, "from": forward, "to": heir, "value": value }]);
    assert_eq!(operations(&sent).await, expected);

    for (code, kind) in [(&CREATE[..], 2), (&CREATE2[..], 3)] {
        let factory = fixture.deploy(code).await;
        let init = init_code(&STORE);
        let made = match kind {
            2 => factory.create(1),
            _ => factory.create2_from_code(B256::ZERO, &init),
        };
        let created = fixture.send(call(factory, init).with_gas_limit(300_000)).await;
        let expected = json!([{ "type": kind, "from": factory, "to": made, "value": "0x0" }]);
        assert_eq!(operations(&created).await, expected);
        assert_eq!(fixture.provider.get_code_at(made).await.unwrap().as_ref(), STORE);
    }

    let ended = fixture.send(call(end, word(heir)).with_value(value).with_gas_limit(200_000)).await;
    let expected = json!([{ "type": 1, "from": end, "to": heir, "value": value }]);
    assert_eq!(operations(&ended).await, expected);
    let plain = fixture.send(TransactionRequest::default().with_to(heir).with_value(value)).await;
    assert_eq!(operations(&plain).await, json!([]), "the transaction itself is not internal");
    let balance = fixture.provider.get_balance(heir).await.unwrap();
    assert_eq!(balance, value * U256::from(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_told_as_a_tree_of_calls() {
    let fixture = Fixture::start().await;
    let owner = fixture.signer.address();
    let tree = async |request: TransactionRequest| {
        let receipt = fixture.send(request.with_gas_limit(500_000)).await;
        fixture.result("ots_traceTransaction", json!([receipt.transaction_hash])).await
    };
    let time = fixture.deploy(&TIMESTAMP).await;
    let ask = fixture.deploy(&ASK).await;
    let told = tree(call(ask, word(time))).await;
    let now = fixture.provider.call(call(time, Bytes::new())).await.unwrap();
    let entry = |kind: &str, depth: u64, from: Address, to: Address| {
        json!({
            "type": kind, "depth": depth, "from": from, "to": to,
            "value": null, "input": "0x", "output": "0x",
        })
    };
    let with = |mut entry: Value, changes: Value| {
        let changes = changes.as_object().unwrap().clone();
        entry.as_object_mut().unwrap().extend(changes);
        entry
    };
    let input = Bytes::from(word(time));
    let outer = json!({ "value": "0x0", "input": input, "output": now });
    assert_eq!(
        told,
        json!([
            with(entry("CALL", 0, owner, ask), outer),
            with(entry("STATICCALL", 1, ask, time), json!({ "output": now })),
        ])
    );

    let (borrow, store) = (fixture.deploy(&BORROW).await, fixture.deploy(&STORE).await);
    let input = Bytes::from([word(store), word(owner)].concat());
    let told = tree(call(borrow, input.clone())).await;
    assert_eq!(
        told,
        json!([
            with(entry("CALL", 0, owner, borrow), json!({ "value": "0x0", "input": input })),
            with(entry("DELEGATECALL", 1, borrow, store), json!({ "input": input })),
        ])
    );

    let forward = fixture.deploy(&FORWARD).await;
    let end = fixture.deploy(&END).await;
    let told = tree(call(forward, word(end)).with_value(U256::from(9))).await;
    let (input, value) = (Bytes::from(word(end)), json!("0x9"));
    assert_eq!(
        told,
        json!([
            with(entry("CALL", 0, owner, forward), json!({ "value": value, "input": input })),
            with(entry("CALL", 1, forward, end), json!({ "value": value })),
            with(entry("SELFDESTRUCT", 2, end, Address::ZERO), json!({ "value": value })),
        ])
    );

    let deployment = TransactionRequest::default().with_deploy_code(init_code(&STORE));
    let nonce = fixture.provider.get_transaction_count(owner).await.unwrap();
    let told = tree(deployment).await;
    let code = json!({ "value": "0x0", "input": init_code(&STORE), "output": Bytes::from(STORE) });
    assert_eq!(told, json!([with(entry("CREATE", 0, owner, owner.create(nonce)), code)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_was_reverted_with_is_told() {
    let fixture = Fixture::start().await;
    let revert = fixture.deploy(&REVERT).await;
    let error = async |request: TransactionRequest, status: bool| {
        let receipt = fixture.send(request.with_gas_limit(100_000)).await;
        assert_eq!(receipt.status(), status);
        fixture.result("ots_getTransactionError", json!([receipt.transaction_hash])).await
    };
    assert_eq!(error(call(revert, hex!("08c379a0012345")), false).await, "0x08c379a0012345");
    assert_eq!(error(call(revert, Bytes::new()), false).await, "0x");
    // The invalid opcode uses all gas and says nothing.
    let invalid = fixture.deploy(&[0xfe]).await;
    assert_eq!(error(call(invalid, Bytes::new()), false).await, "0x");
    let time = fixture.deploy(&TIMESTAMP).await;
    assert_eq!(error(call(time, Bytes::new()), true).await, "0x", "an output is no error");

    let unknown = json!([B256::repeat_byte(9)]);
    for method in ["ots_getTransactionError", "ots_traceTransaction", "ots_getInternalOperations"] {
        let (code, message) = fixture.error(method, unknown.clone()).await;
        assert_eq!((code, message.as_str()), (-32000, "transaction not found"));
    }
}

/// Puts transactions together into the next block; with manual mining.
async fn mine(fixture: &Fixture, requests: Vec<TransactionRequest>) -> Vec<B256> {
    let from = fixture.signer.address();
    let nonce = fixture.provider.get_transaction_count(from).await.unwrap();
    let chain_id = fixture.provider.get_chain_id().await.unwrap();
    let wallet = EthereumWallet::from(fixture.signer.clone());
    let mut sent = Vec::new();
    for (nonce, request) in (nonce..).zip(requests) {
        let request = request
            .with_nonce(nonce)
            .with_chain_id(chain_id)
            .with_gas_limit(200_000)
            .with_max_fee_per_gas(5_000_000_000)
            .with_max_priority_fee_per_gas(1_000_000_000);
        let transaction = request.build(&wallet).await.unwrap();
        let pending = fixture.provider.send_tx_envelope(transaction).await.unwrap();
        sent.push(*pending.tx_hash());
    }
    fixture.result("evm_mine", json!([])).await;
    sent
}

async fn mine_transfers(fixture: &Fixture, to: Address, count: usize) -> Vec<B256> {
    let transfer = call(to, hex!("a9059cbb00112233")).with_value(U256::from(1));
    mine(fixture, vec![transfer; count]).await
}

async fn start_manual() -> Fixture {
    let dir = Arc::new(TempDir::new().unwrap());
    let manual = |options: &mut vouch_chain::Options| options.mining = Mining::Manual;
    Fixture::start_in(dir, PrivateKeySigner::random(), manual).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_in_the_block_counts() {
    let fixture = start_manual().await;
    let owner = fixture.signer.address();
    let (forward, heir) = (owner.create(0), Address::repeat_byte(0x66));
    let requests = vec![
        TransactionRequest::default().with_deploy_code(init_code(&FORWARD)),
        call(forward, word(heir)).with_value(U256::from(3)),
        call(forward, word(heir)).with_value(U256::from(4)),
        TransactionRequest::default().with_deploy_code(init_code(&CREATE)),
        call(owner.create(3), init_code(&STORE)),
    ];
    let sent = mine(&fixture, requests).await;
    for (hash, value) in [(sent[1], "0x3"), (sent[2], "0x4")] {
        let told = fixture.result("ots_getInternalOperations", json!([hash])).await;
        assert_eq!(told, json!([{ "type": 0, "from": forward, "to": heir, "value": value }]));
    }
    let page = fixture.search("Before", heir, 0, 25).await;
    assert_eq!(page, (vec![sent[2], sent[1]], true, true));
    let factory = owner.create(3);
    let creator = fixture.result("ots_getContractCreator", json!([factory.create(1)])).await;
    assert_eq!(creator, json!({ "hash": sent[4], "creator": factory }));
    let creator = fixture.result("ots_getContractCreator", json!([forward])).await;
    assert_eq!(creator, json!({ "hash": sent[0], "creator": owner }));
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_told_without_what_takes_much_room() {
    let fixture = start_manual().await;
    let to = Address::repeat_byte(0x33);
    let sent = mine_transfers(&fixture, to, 5).await;
    let whole = fixture.result("eth_getBlockByNumber", json!(["0x1", false])).await;
    let receipts = fixture.result("eth_getBlockReceipts", json!(["0x1"])).await;
    let number = |value: &Value| value.as_str().unwrap().parse::<U256>().unwrap();

    let details = fixture.result("ots_getBlockDetails", json!([1])).await;
    let block = &details["block"];
    assert_eq!(block["transactionCount"], 5);
    assert!(block["logsBloom"].is_null() && block.get("transactions").is_none(), "{block}");
    for key in ["hash", "number", "miner", "size", "sha3Uncles", "stateRoot", "baseFeePerGas"] {
        assert!(!block[key].is_null() && block[key] == whole[key], "{key}: {block}");
    }
    let fees = receipts.as_array().unwrap().iter().fold(U256::ZERO, |sum, receipt| {
        sum + number(&receipt["gasUsed"]) * number(&receipt["effectiveGasPrice"])
    });
    assert!(!fees.is_zero());
    assert_eq!(number(&details["totalFees"]), fees);
    let nothing = json!({ "blockReward": "0x0", "uncleReward": "0x0", "issuance": "0x0" });
    assert_eq!(details["issuance"], nothing);
    for same in [json!(["0x1"]), json!(["latest"])] {
        assert_eq!(fixture.result("ots_getBlockDetails", same).await, details);
    }
    let by_hash = fixture.result("ots_getBlockDetailsByHash", json!([whole["hash"]])).await;
    assert_eq!(by_hash, details);

    let header = fixture.result("erigon_getHeaderByNumber", json!([1])).await;
    assert_eq!(header["hash"], whole["hash"]);
    assert_eq!(header["transactionsRoot"], whole["transactionsRoot"]);
    assert!(header.get("transactions").is_none(), "{header}");
    let by_hash = fixture.result("erigon_getHeaderByHash", json!([whole["hash"]])).await;
    assert_eq!(by_hash, header);
    let missing = json!([B256::repeat_byte(9)]);
    for (method, params) in [
        ("ots_getBlockDetails", json!([2])),
        ("ots_getBlockDetailsByHash", missing.clone()),
        ("ots_getBlockTransactions", json!([2, 0, 25])),
        ("erigon_getHeaderByNumber", json!([2])),
        ("erigon_getHeaderByHash", missing),
    ] {
        assert!(fixture.result(method, params).await.is_null(), "{method}");
    }

    // The first page has the newest, in the block's order.
    let pages: [(u64, u64, &[B256]); 5] =
        [(0, 2, &sent[3..]), (1, 2, &sent[1..3]), (2, 2, &sent[..1]), (3, 2, &[]), (0, 25, &sent)];
    for (page, size, expected) in pages {
        let told = fixture.result("ots_getBlockTransactions", json!([1, page, size])).await;
        let transactions = told["fullblock"]["transactions"].as_array().unwrap();
        let found: Vec<_> = transactions.iter().map(|told| told["hash"].clone()).collect();
        assert_eq!(json!(found), json!(expected), "{page} {size}");
        assert_eq!(told["fullblock"]["transactionCount"], 5);
        assert!(transactions.iter().all(|told| told["input"] == "0xa9059cbb"), "{told}");
        let receipts = told["receipts"].as_array().unwrap();
        let found: Vec<_> = receipts.iter().map(|told| told["transactionHash"].clone()).collect();
        assert_eq!(json!(found), json!(expected));
        for receipt in receipts {
            assert!(receipt["logs"].is_null() && receipt["logsBloom"].is_null(), "{receipt}");
            assert_eq!(receipt["timestamp"], whole["timestamp"]);
            assert_eq!(receipt["status"], "0x1");
        }
    }
    let far = fixture.result("ots_getBlockTransactions", json!([1, u64::MAX, 100])).await;
    assert_eq!(far["receipts"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_search_meet_and_know_their_ends() {
    let fixture = Fixture::start().await;
    let to = Address::repeat_byte(0x44);
    let mut sent = Vec::new();
    for value in 1..=5u64 {
        let request = TransactionRequest::default().with_to(to).with_value(U256::from(value));
        sent.push(fixture.send(request).await);
        let other = TransactionRequest::default().with_to(Address::repeat_byte(0x45));
        fixture.send(other).await;
    }
    // To `to` in blocks 1, 3, 5, 7 and 9; the head is 10.
    let numbers: Vec<_> = sent.iter().filter_map(|receipt| receipt.block_number).collect();
    assert_eq!(numbers, [1, 3, 5, 7, 9]);
    let newest: Vec<B256> = sent.iter().rev().map(|receipt| receipt.transaction_hash).collect();
    let before: [(u64, u64, &[B256], bool, bool); 8] = [
        (0, 2, &newest[..2], true, false),
        (7, 2, &newest[2..4], false, false),
        (3, 2, &newest[4..], false, true),
        (1, 2, &[], false, true),
        (0, 5, &newest, true, true),
        (0, 4, &newest[..4], true, false),
        (11, 1, &newest[..1], true, false),
        (u64::MAX, 25, &newest, true, true),
    ];
    for (base, size, expected, first, last) in before {
        let page = fixture.search("Before", to, base, size).await;
        assert_eq!(page, (expected.to_vec(), first, last), "before {base}, {size}");
    }
    let after: [(u64, u64, &[B256], bool, bool); 7] = [
        (0, 2, &newest[3..], false, true),
        (3, 2, &newest[1..3], false, false),
        (7, 2, &newest[..1], true, false),
        (9, 2, &[], true, false),
        (0, 5, &newest, true, true),
        (0, 4, &newest[1..], false, true),
        (u64::MAX, 25, &[], true, false),
    ];
    for (base, size, expected, first, last) in after {
        let page = fixture.search("After", to, base, size).await;
        assert_eq!(page, (expected.to_vec(), first, last), "after {base}, {size}");
    }
    let stranger = fixture.search("Before", Address::repeat_byte(0x99), 0, 25).await;
    assert_eq!(stranger, (Vec::new(), true, true));
    let page = fixture.result("ots_searchTransactionsBefore", json!([to, 0, 1])).await;
    assert_eq!(page["txs"][0]["blockNumber"], hex(9));
    assert!(same(&page["txs"][0]["to"], to));
    let time = fixture.result("eth_getBlockByNumber", json!(["0x9", false])).await;
    assert_eq!(page["receipts"][0]["timestamp"], time["timestamp"]);
    assert_eq!(page["receipts"][0]["logs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_all_of_its_last_block() {
    let fixture = start_manual().await;
    let to = Address::repeat_byte(0x44);
    let older = mine_transfers(&fixture, to, 3).await;
    let newer = mine_transfers(&fixture, to, 3).await;
    let descending = |sent: &[B256]| sent.iter().rev().copied().collect::<Vec<_>>();
    let page = fixture.search("Before", to, 0, 1).await;
    assert_eq!(page, (descending(&newer), true, false));
    let page = fixture.search("After", to, 0, 2).await;
    assert_eq!(page, (descending(&older), false, true));
    let page = fixture.search("Before", fixture.signer.address(), 2, 3).await;
    assert_eq!(page, (descending(&older), false, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_between_contracts_are_found_while_their_state_is_kept() {
    let (dir, owner) = (Arc::new(TempDir::new().unwrap()), PrivateKeySigner::random());
    let short = |options: &mut vouch_chain::Options| options.history_blocks = Some(6);
    let fixture = Fixture::start_in(dir, owner, short).await;
    let (heir, other) = (Address::repeat_byte(0x55), Address::repeat_byte(0x56));
    let (forward, pass) = (fixture.deploy(&FORWARD).await, fixture.deploy(&PASS).await);
    let (store, log) = (fixture.deploy(&STORE).await, fixture.deploy(&LOG).await);
    let creation = fixture.provider.get_block(3.into()).await.unwrap().unwrap();
    let creation: Vec<B256> = creation.transactions.hashes().collect();
    let value = U256::from(7);
    let request = call(forward, word(heir)).with_value(value).with_gas_limit(200_000);
    let inherited = fixture.send(request).await;
    let passed = |to| call(pass, [word(to), words(1, 2).to_vec()].concat()).with_gas_limit(200_000);
    let stored = fixture.send(passed(store)).await;
    let logged = fixture.send(passed(log)).await;
    assert!(stored.status() && logged.logs().len() == 1);
    let word = fixture.provider.get_storage_at(store, U256::from(1)).await.unwrap();
    assert_eq!(word, U256::from(2), "the call between contracts took place");

    let found = async |of| fixture.search("Before", of, 0, 25).await.0;
    assert_eq!(found(heir).await, hashes(&[&inherited]));
    assert_eq!(found(store).await, [hashes(&[&stored]), creation.clone()].concat());
    assert_eq!(found(other).await, Vec::<B256>::new());
    let operations = json!([inherited.transaction_hash]);
    fixture.result("ots_getInternalOperations", operations.clone()).await;
    let error = json!([logged.transaction_hash]);

    fixture.result("anvil_mine", json!([20])).await;
    assert_eq!(found(heir).await, Vec::<B256>::new(), "its state is no longer kept");
    assert_eq!(found(store).await, creation);
    assert_eq!(found(log).await.first(), Some(&logged.transaction_hash), "it wrote a log");
    for method in ["ots_getInternalOperations", "ots_traceTransaction"] {
        let (code, message) = fixture.error(method, operations.clone()).await;
        assert_eq!(code, -32000);
        assert!(message.contains("no longer kept"), "{message}");
    }
    let nothing = fixture.result("ots_getTransactionError", error).await;
    assert_eq!(nothing, "0x", "that it succeeded is known of any");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_found_by_sender_and_nonce() {
    let (dir, owner) = (Arc::new(TempDir::new().unwrap()), PrivateKeySigner::random());
    let short = |options: &mut vouch_chain::Options| options.history_blocks = Some(4);
    let fixture = Fixture::start_in(dir, owner, short).await;
    let from = fixture.signer.address();
    let mut sent = Vec::new();
    for _ in 0..12 {
        let request = TransactionRequest::default().with_to(Address::repeat_byte(1));
        sent.push(fixture.send(request).await.transaction_hash);
    }
    let find = async |of: Address, nonce: Value| {
        fixture.result("ots_getTransactionBySenderAndNonce", json!([of, nonce])).await
    };
    for (nonce, hash) in sent.iter().enumerate() {
        assert_eq!(find(from, json!(nonce)).await, json!(hash), "{nonce}");
    }
    assert_eq!(find(from, json!("0xb")).await, json!(sent[11]));
    assert!(find(from, json!(12)).await.is_null(), "not sent yet");
    assert!(find(Address::repeat_byte(1), json!(0)).await.is_null());
    assert!(find(from, json!(u64::MAX)).await.is_null());
    // Contracts have nonces, too, and use them up without a transaction of theirs.
    let factory = fixture.deploy(&CREATE).await;
    made_by(&fixture, factory, &STORE).await;
    assert!(find(factory, json!(1)).await.is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_created_a_contract_is_told() {
    let (dir, owner) = (Arc::new(TempDir::new().unwrap()), PrivateKeySigner::random());
    let short = |options: &mut vouch_chain::Options| options.history_blocks = Some(8);
    let fixture = Fixture::start_in(dir, owner, short).await;
    let owner = fixture.signer.address();
    let creator = async |of: Address| fixture.result("ots_getContractCreator", json!([of])).await;
    let deployment = TransactionRequest::default().with_deploy_code(init_code(&CREATE));
    let deployed = fixture.send(deployment).await;
    let factory = deployed.contract_address.unwrap();
    let (hash, made) = made_by(&fixture, factory, &STORE).await;
    let by_owner = json!({ "hash": deployed.transaction_hash, "creator": owner });
    assert_eq!(creator(factory).await, by_owner);
    assert_eq!(creator(made).await, json!({ "hash": hash, "creator": factory }));
    assert!(creator(owner).await.is_null(), "no contract");
    let of_genesis = alloy::eips::eip2935::HISTORY_STORAGE_ADDRESS;
    assert!(creator(of_genesis).await.is_null(), "nobody created it");

    let in_vain = fixture.deploy(&CREATE_IN_VAIN).await;
    let vain = in_vain.create(1);
    let request = call(in_vain, init_code(&STORE)).with_gas_limit(300_000);
    assert!(!fixture.send(request).await.status());
    assert!(creator(vain).await.is_null(), "it was taken back");

    fixture.result("anvil_mine", json!([20])).await;
    assert_eq!(creator(factory).await, by_owner, "transactions of any age are found");
    assert!(creator(of_genesis).await.is_null());
    let (code, message) = fixture.error("ots_getContractCreator", json!([made])).await;
    assert_eq!(code, -32000);
    assert!(message.contains("no longer kept"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_get_wrong_is_refused() {
    let fixture = Fixture::start().await;
    let (address, hash) = (Address::repeat_byte(1), B256::repeat_byte(2));
    let cases = [
        ("ots_getApiLevel", json!([1])),
        ("ots_hasCode", json!([])),
        ("ots_hasCode", json!([address, -1])),
        ("ots_hasCode", json!([address, "0x0", 2])),
        ("ots_getInternalOperations", json!(["0x12"])),
        ("ots_traceTransaction", json!([hash, hash])),
        ("ots_getTransactionError", json!([5])),
        ("ots_getBlockDetails", json!([])),
        ("ots_getBlockDetails", json!([1.5])),
        ("ots_getBlockDetailsByHash", json!([1])),
        ("ots_getBlockTransactions", json!([0, 0])),
        ("ots_getBlockTransactions", json!([0, 0, 0])),
        ("ots_getBlockTransactions", json!([0, 0, 101])),
        ("ots_getBlockTransactions", json!([0, -1, 25])),
        ("ots_searchTransactionsBefore", json!([address, 0])),
        ("ots_searchTransactionsBefore", json!([address, 0, 0])),
        ("ots_searchTransactionsAfter", json!([address, 0, 101])),
        ("ots_searchTransactionsAfter", json!([address, "latest", 25])),
        ("ots_searchTransactionsAfter", json!(["0x12", 0, 25])),
        ("ots_getTransactionBySenderAndNonce", json!([address])),
        ("ots_getTransactionBySenderAndNonce", json!([address, "0x10000000000000000"])),
        ("ots_getContractCreator", json!([hash])),
        ("erigon_getHeaderByNumber", json!([{}])),
        ("erigon_getHeaderByHash", json!(["latest"])),
    ];
    for (method, params) in cases {
        let (code, message) = fixture.error(method, params.clone()).await;
        assert_eq!(code, -32602, "{method} {params}: {message}");
    }
    for method in ["ots_nonsense", "erigon_forks"] {
        assert_eq!(fixture.error(method, json!([])).await.0, -32601);
    }
    let future = fixture.error("ots_hasCode", json!([address, 7])).await;
    assert_eq!(future.0, -32000);
}
