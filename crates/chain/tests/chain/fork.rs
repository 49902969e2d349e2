//! A chain that goes on from another, whose node has what is not changed here.

use std::sync::Arc;
use std::time::Duration;

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};
use tempfile::TempDir;
use vouch_chain::{Chain, Error, ForkPoint, Options, SystemClock};

use crate::support::{
    CHAIN_ID, ETHER, Fixture, GENESIS_TIME, LOAD, LOG_AT, Origin, STORE, STORE_AT, genesis, words,
};

/// Owns nothing on the origin.
const TO: Address = Address::repeat_byte(0x55);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn hex(number: u64) -> Value {
    json!(format!("{number:#x}"))
}

fn word(number: u64) -> Value {
    json!(B256::from(U256::from(number)))
}

fn call(to: Address, first: u64, second: u64) -> TransactionRequest {
    TransactionRequest::default().with_to(to).with_input(words(first, second))
}

impl Origin {
    fn provider(&self) -> &alloy::providers::DynProvider {
        &self.fixture.as_ref().unwrap().provider
    }

    fn owner(&self) -> Address {
        self.fixture.as_ref().unwrap().signer.address()
    }
}

#[test]
fn what_is_not_changed_here_is_as_it_is_there() {
    let origin = Origin::start();
    runtime().block_on(async {
        let fork = origin.fork().await;
        assert_eq!(fork.result("eth_chainId", json!([])).await, hex(CHAIN_ID));
        assert_eq!(fork.result("eth_blockNumber", json!([])).await, hex(origin.number));
        let mut there = json!(
            origin.provider().get_balance(origin.owner()).number(origin.number).await.unwrap()
        );
        let here = fork.result("eth_getBalance", json!([origin.owner(), "latest"])).await;
        assert_eq!(here, there.take());
        assert_eq!(
            fork.result("eth_getTransactionCount", json!([origin.owner(), "latest"])).await,
            hex(3)
        );
        let code = json!(alloy::primitives::hex::encode_prefixed(STORE));
        assert_eq!(fork.result("eth_getCode", json!([STORE_AT, "latest"])).await, code);
        let slot = |key: u64| json!([STORE_AT, hex(key), "latest"]);
        assert_eq!(fork.result("eth_getStorageAt", slot(1)).await, word(5), "not what came later");
        assert_eq!(fork.result("eth_getStorageAt", slot(2)).await, word(6));
        let own = fork.result("eth_getBalance", json!([fork.signer.address(), "latest"])).await;
        assert_eq!(own, json!(U256::from(1000 * ETHER)));

        // It goes on, and the other does not know.
        let receipt = fork.send(call(STORE_AT, 1, 7)).await;
        assert!(receipt.status());
        assert_eq!(receipt.block_number, Some(origin.number + 1));
        assert_eq!(fork.result("eth_getStorageAt", slot(1)).await, word(7));
        let fork_block = json!([STORE_AT, "0x1", hex(origin.number)]);
        assert_eq!(fork.result("eth_getStorageAt", fork_block).await, word(5));
        let there = origin.provider().get_storage_at(STORE_AT, U256::from(1)).await.unwrap();
        assert_eq!(there, U256::from(99));
        // Back to what it was: nothing differs any more.
        fork.send(call(STORE_AT, 1, 5)).await;
        assert_eq!(fork.result("eth_getStorageAt", slot(1)).await, word(5));
        fork.send(call(STORE_AT, 2, 0)).await;
        assert_eq!(fork.result("eth_getStorageAt", slot(2)).await, word(0));

        // Code that is made here reads and writes as anywhere.
        let load = fork.deploy(&LOAD).await;
        let request = json!([{ "to": load, "input": word(3) }, "latest"]);
        assert_eq!(fork.result("eth_call", request).await, word(0));
        let loads = json!([{ "to": STORE_AT, "input": word(1) }, "latest",
            { STORE_AT.to_string(): { "code": alloy::primitives::hex::encode_prefixed(LOAD) } }]);
        assert_eq!(fork.result("eth_call", loads).await, word(5), "in its own storage");
        fork.send(TransactionRequest::default().with_to(TO).with_value(U256::from(3))).await;
        assert_eq!(fork.result("eth_getBalance", json!([TO, "latest"])).await, hex(3));
    });
}

#[test]
fn what_was_before_the_fork_is_told_by_its_node() {
    let origin = Origin::start();
    runtime().block_on(async {
        let fork = origin.fork().await;
        let there = |method: &'static str, params: Value| {
            let provider = origin.provider();
            async move { provider.raw_request::<_, Value>(method.into(), params).await.unwrap() }
        };
        let at = hex(origin.number);
        // While the newest block is the other's, tags mean that one, and not its newest.
        let full = there("eth_getBlockByNumber", json!([at, true])).await;
        for tag in ["latest", "Latest", "safe"] {
            assert_eq!(fork.result("eth_getBlockByNumber", json!([tag, true])).await, full);
        }
        let proof = there("eth_getProof", json!([STORE_AT, ["0x1"], at])).await;
        assert_eq!(fork.result("eth_getProof", json!([STORE_AT, ["0x1"]])).await, proof);
        let receipts = json!([{ "blockNumber": "latest" }]);
        let expected = there("eth_getBlockReceipts", json!([at])).await;
        assert_eq!(fork.result("eth_getBlockReceipts", receipts).await, expected);
        let filter = fork.rpc("eth_newFilter", json!([{ "blockHash": full["hash"] }])).await;
        assert!(filter["error"].is_object(), "{filter}");
        fork.send(call(LOG_AT, 7, 9)).await;
        let block = there("eth_getBlockByNumber", json!([at, false])).await;
        let transaction = block["transactions"][0].clone();
        for (method, params) in [
            ("eth_getBlockByNumber", json!([at, true])),
            ("eth_getBlockByNumber", json!(["0x1", true])),
            ("eth_getBlockByNumber", json!(["earliest", false])),
            ("eth_getBlockByHash", json!([block["hash"], true])),
            ("eth_getBlockReceipts", json!([at])),
            ("eth_getBlockTransactionCountByNumber", json!(["0x1"])),
            ("eth_getTransactionByBlockHashAndIndex", json!([block["hash"], "0x0"])),
            ("eth_getTransactionByHash", json!([transaction])),
            ("eth_getTransactionReceipt", json!([transaction])),
            ("eth_getBalance", json!([origin.owner(), "0x1"])),
            ("eth_getStorageAt", json!([STORE_AT, "0x1", "earliest"])),
            ("eth_call", json!([{ "to": LOG_AT, "input": word(1) }, "0x1"])),
            ("eth_getProof", json!([STORE_AT, ["0x1"], at])),
            ("eth_getLogs", json!([{ "blockHash": block["hash"] }])),
            ("debug_getRawTransaction", json!([transaction])),
            ("debug_traceTransaction", json!([transaction, { "tracer": "callTracer" }])),
            ("debug_traceBlockByNumber", json!([at, { "tracer": "callTracer" }])),
        ] {
            let (here, there) =
                (fork.result(method, params.clone()).await, there(method, params.clone()).await);
            assert_eq!(here, there, "{method} {params}");
            assert!(!here.is_null());
        }
        // Of both.
        let logs = fork
            .result("eth_getLogs", json!([{ "fromBlock": "earliest", "address": LOG_AT }]))
            .await;
        let numbers: Vec<_> =
            logs.as_array().unwrap().iter().map(|log| &log["blockNumber"]).collect();
        assert_eq!(numbers, [&hex(2), &hex(origin.number + 1)]);

        // What the other has done since is not of this chain.
        let later = there("eth_getBlockByNumber", json!([hex(origin.number + 1), false])).await;
        let lost = later["transactions"][0].clone();
        assert!(lost.is_string());
        for (method, params) in [
            ("eth_getBlockByHash", json!([later["hash"], false])),
            ("eth_getTransactionByHash", json!([lost])),
            ("eth_getTransactionReceipt", json!([lost])),
            ("eth_getTransactionByHash", json!([B256::repeat_byte(3)])),
        ] {
            assert_eq!(fork.result(method, params).await, Value::Null, "{method}");
        }
        let newest = fork.result("eth_getBlockByNumber", json!(["latest", false])).await;
        assert_ne!(newest["hash"], later["hash"]);
        assert_eq!(newest["parentHash"], block["hash"]);
        for (method, params, says) in [
            (
                "eth_getBalance",
                json!([TO, { "blockHash": later["hash"] }]),
                "header for hash not found",
            ),
            ("debug_traceTransaction", json!([lost]), "transaction not found"),
            ("eth_getProof", json!([TO, [], "latest"]), "proofs are not possible on a fork"),
            ("eth_getLogs", json!([{ "blockHash": later["hash"] }]), "unknown block"),
        ] {
            let error = fork.rpc(method, params).await["error"]["message"].to_string();
            assert!(error.contains(says), "{method}: {error}");
        }
    });
}

#[test]
fn blockhash_sees_blocks_before_the_fork() {
    // return(blockhash(calldata[0]))
    let blockhash = alloy::primitives::hex!("5f35405f5260205ff3");
    let origin = Origin::start();
    runtime().block_on(async {
        let fork = origin.fork().await;
        let contract = fork.deploy(&blockhash).await;
        for number in 0..=origin.number {
            let block =
                origin.provider().get_block_by_number(number.into()).await.unwrap().unwrap();
            let request = json!([{ "to": contract, "input": word(number) }, "latest"]);
            assert_eq!(
                fork.result("eth_call", request).await,
                json!(block.header.hash),
                "{number}"
            );
        }
    });
}

#[test]
fn time_goes_on_from_the_forks_block() {
    let origin = Origin::start();
    runtime().block_on(async {
        let fork = origin.fork().await;
        let old = fork.result("eth_getBlockByNumber", json!(["latest", false])).await["timestamp"]
            .clone();
        assert_eq!(old, hex(GENESIS_TIME + 100), "the origin's clock");
        fork.clock.set(GENESIS_TIME + 130);
        fork.result("evm_mine", json!([])).await;
        let new = fork.result("eth_getBlockByNumber", json!(["latest", false])).await;
        assert_eq!(new["timestamp"], hex(GENESIS_TIME + 130));
    });
}

#[test]
fn a_restart_needs_the_node_for_nothing_that_was_read() {
    let origin = Origin::start();
    let runtime = runtime();
    let (dir, signer, head) = runtime.block_on(async {
        let fork = origin.fork().await;
        fork.send(call(STORE_AT, 1, 7)).await;
        fork.send(TransactionRequest::default().with_to(TO).with_value(U256::from(3))).await;
        fork.result("anvil_setBalance", json!([origin.owner(), "0x5"])).await;
        fork.send(call(STORE_AT, 4, 4)).await;
        let head = fork.result("eth_getBlockByNumber", json!(["latest", true])).await;
        let (dir, signer) = fork.stop();
        (dir, signer, head)
    });
    runtime.block_on(async {
        // As it was begun, without a node; and without the index.
        for remade in [false, true] {
            if remade {
                std::fs::remove_dir_all(dir.path().join("index")).unwrap();
            }
            let fork = Fixture::start_in(dir.clone(), signer.clone(), |options| {
                options.step_bytes = 0;
            })
            .await;
            let found = fork.result("eth_getBlockByNumber", json!([head["number"], true])).await;
            assert_eq!(found, head);
            let slot = json!([STORE_AT, "0x1", "latest"]);
            assert_eq!(fork.result("eth_getStorageAt", slot).await, word(7));
            assert_eq!(fork.result("eth_getBalance", json!([TO, "latest"])).await, hex(3));
            // Its blocks write where they must know what was.
            let never_read = json!([Address::repeat_byte(0x77), "latest"]);
            for (method, params) in [("eth_getBalance", never_read), ("evm_mine", json!([]))] {
                let answer = fork.rpc(method, params).await;
                let message = answer["error"]["message"].as_str().unwrap();
                assert!(message.contains("--fork-url"), "{method}: {message}");
            }
            fork.stop();
        }
        let fork = origin.fork_in(dir, signer).await;
        assert_eq!(fork.result("eth_blockNumber", json!([])).await, head["number"]);
        assert!(fork.send(call(STORE_AT, 1, 8)).await.status());
    });
}

#[test]
fn nodes_of_other_chains_and_none_are_refused() {
    let (origin, runtime) = (Origin::start(), runtime());
    let other = runtime.block_on(async {
        let other = Fixture::start().await;
        other.result("anvil_mine", json!(["0x9"])).await;
        other
    });
    let signer = PrivateKeySigner::random();
    let dir = Arc::new(TempDir::new().unwrap());
    runtime.block_on(async { origin.fork_in(dir.clone(), signer.clone()).await.stop() });
    let open = |dir: &TempDir, url: &str| {
        let mut options = Options::new(genesis(signer.address()), SystemClock);
        options.fork_url = Some(url.to_owned());
        Chain::open(dir.path(), options).map(drop).unwrap_err()
    };
    let error = open(&dir, &other.url);
    assert!(matches!(&error, Error::Fork(why) if why.contains("is of another")), "{error}");
    let error = open(&dir, "ftp://127.0.0.1");
    assert!(error.to_string().contains("http://"), "{error}");
    let error = open(&TempDir::new().unwrap(), &origin.url);
    assert!(error.to_string().contains("no fork"), "{error}");
    for (url, number, says) in [
        ("http://127.0.0.1:1", None, "cannot be reached"),
        (origin.url.as_str(), Some(1_000), "no block 1000"),
        ("nothing", None, "relative URL"),
    ] {
        let error = ForkPoint::ask(url, number).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_transaction_waits_for_a_node_that_is_away() {
    let origin = Origin::start();
    runtime().block_on(async {
        let fork = origin.fork().await;
        fork.send(TransactionRequest::default().with_to(TO)).await;
        // What the contract is, is not read yet: nothing answers at its address for a while.
        let listener = {
            let url = origin.url.strip_prefix("http://").unwrap().to_owned();
            origin.fixture.as_ref().unwrap().server_abort();
            url
        };
        let sent =
            fork.provider.send_transaction(call(STORE_AT, 1, 7).with_gas_limit(100_000)).await;
        let sent = *sent.unwrap().tx_hash();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(fork.result("eth_getTransactionReceipt", json!([sent])).await, Value::Null);
        let router = origin.fixture.as_ref().unwrap().chain().router();
        let listener = tokio::net::TcpListener::bind(listener).await.unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let mut receipt = Value::Null;
        for _ in 0..300 {
            receipt = fork.result("eth_getTransactionReceipt", json!([sent])).await;
            if !receipt.is_null() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        assert_eq!(
            fork.result("eth_getStorageAt", json!([STORE_AT, "0x1", "latest"])).await,
            word(7)
        );
        server.abort();
    });
}

#[test]
fn state_is_changed_by_hand_as_on_any_chain() {
    let origin = Origin::start();
    runtime().block_on(async {
        let fork = origin.fork().await;
        let slot = json!([STORE_AT, "0x1", word(9)]);
        fork.result("anvil_setStorageAt", slot).await;
        // What was dumped is loaded again, and a reset goes back to the fork.
        let dump = fork.result("anvil_dumpState", json!([])).await;
        let forking =
            |number: u64| json!([{ "forking": { "jsonRpcUrl": "", "blockNumber": number } }]);
        let other = fork.rpc("hardhat_reset", forking(1)).await;
        assert!(other["error"]["message"].to_string().contains("--fork-url"), "{other}");
        fork.result("hardhat_reset", forking(origin.number)).await;
        assert_eq!(
            fork.result("eth_getStorageAt", json!([STORE_AT, "0x1", "latest"])).await,
            word(5)
        );
        fork.result("anvil_loadState", json!([dump])).await;
        // One that is emptied keeps what it has elsewhere.
        for (method, value) in [("anvil_setCode", "0x"), ("anvil_setNonce", "0x0")] {
            fork.result(method, json!([STORE_AT, value])).await;
        }
        assert_eq!(
            fork.result("eth_getStorageAt", json!([STORE_AT, "0x2", "latest"])).await,
            word(6)
        );
        assert_eq!(
            fork.result("eth_getStorageAt", json!([STORE_AT, "0x1", "latest"])).await,
            word(9)
        );
    });
}
