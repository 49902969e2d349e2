//! State, time and history changed by hand, under the names that anvil and hardhat have for it.

use std::sync::Arc;
use std::time::Duration;

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, Bytes, Signature, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};
use tempfile::TempDir;
use vouch_chain::Mining;

use crate::support::{Fixture, LOG, STORE, words};

const SOMEONE: Address = Address::repeat_byte(0x77);

async fn head(fixture: &Fixture) -> (u64, B256) {
    let block = fixture.provider.get_block(BlockId::latest()).await.unwrap().unwrap();
    (block.header.number, block.header.hash)
}

async fn again(fixture: Fixture) -> Fixture {
    let (dir, signer) = fixture.stop();
    Fixture::start_in(dir, signer, |_| {}).await
}

/// As [`Fixture::send`], whose provider counts nonces itself and waits for blocks whose numbers
/// grow: neither is so where a chain went back.
async fn send(fixture: &Fixture, request: TransactionRequest) {
    let owner = fixture.signer.address();
    let nonce = fixture.provider.get_transaction_count(owner).await.unwrap();
    let request = request.with_nonce(nonce);
    let hash = *fixture.provider.send_transaction(request).await.unwrap().tx_hash();
    while fixture.provider.get_transaction_receipt(hash).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pay(wei: u64) -> TransactionRequest {
    TransactionRequest::default().with_to(SOMEONE).with_value(U256::from(wei))
}

#[tokio::test(flavor = "multi_thread")]
async fn state_changed_by_hand_is_there_at_once_and_after_a_restart() {
    let fixture = Fixture::start().await;
    let store = fixture.deploy(&STORE).await;
    fixture.send(TransactionRequest::default().with_to(store).with_input(words(1, 5))).await;
    let before = head(&fixture).await;

    fixture.result("anvil_setBalance", json!([SOMEONE, "0x64"])).await;
    fixture.result("hardhat_setNonce", json!([SOMEONE, "0x9"])).await;
    fixture.result("anvil_setCode", json!([SOMEONE, Bytes::from_static(&LOG)])).await;
    fixture.result("anvil_setStorageAt", json!([store, "0x1", format!("{:#066x}", 6)])).await;
    fixture.result("hardhat_setStorageAt", json!([store, "0x2", format!("{:#066x}", 7)])).await;
    let looks_changed = async |fixture: &Fixture| {
        let provider = &fixture.provider;
        assert_eq!(provider.get_balance(SOMEONE).await.unwrap(), U256::from(100));
        assert_eq!(provider.get_transaction_count(SOMEONE).await.unwrap(), 9);
        assert_eq!(provider.get_code_at(SOMEONE).await.unwrap(), Bytes::from_static(&LOG));
        for (slot, value) in [(1, 6), (2, 7)] {
            let found = provider.get_storage_at(store, U256::from(slot)).await.unwrap();
            assert_eq!(found, U256::from(value));
        }
        // No block was made, and the block before knows nothing of it.
        let earlier = BlockId::number(before.0 - 1);
        let balance = provider.get_balance(SOMEONE).block_id(earlier).await.unwrap();
        assert_eq!(balance, U256::ZERO);
        let slot = provider.get_storage_at(store, U256::from(2)).block_id(earlier).await.unwrap();
        assert_eq!(slot, U256::ZERO);
    };
    looks_changed(&fixture).await;
    assert_eq!(head(&fixture).await, before);
    let fixture = again(fixture).await;
    looks_changed(&fixture).await;

    // The next block stands on it: its root proves it.
    let log = TransactionRequest::default().with_to(SOMEONE).with_input(words(1, 2));
    assert_eq!(fixture.send(log).await.logs().len(), 1);
    let root = fixture.provider.get_block(BlockId::latest()).await.unwrap().unwrap();
    let proof = fixture.provider.get_proof(store, vec![B256::with_last_byte(2)]).await.unwrap();
    let path = alloy_trie_path(store);
    let account = alloy_rlp::encode(alloy_trie::TrieAccount::new(
        proof.nonce,
        proof.balance,
        proof.storage_hash,
        proof.code_hash,
    ));
    let proven = alloy_trie::proof::verify_proof(
        root.header.state_root,
        path,
        Some(account),
        &proof.account_proof,
    );
    assert_eq!(proven, Ok(()));
    assert_eq!(proof.storage_proof[0].value, U256::from(7));
    let last = head(&fixture).await;
    assert_eq!(head(&again(fixture).await).await, last, "the block executes to the same again");
}

fn alloy_trie_path(address: Address) -> alloy_trie::Nibbles {
    alloy_trie::Nibbles::unpack(alloy::primitives::keccak256(address))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_account_is_gone_and_wrong_code_is_refused() {
    let fixture = Fixture::start().await;
    let state = |fixture: &Fixture| fixture.chain().status().accounts;
    let accounts = state(&fixture);
    fixture.result("anvil_setBalance", json!([SOMEONE, "0x1"])).await;
    assert_eq!(state(&fixture), accounts + 1);
    fixture.result("anvil_setBalance", json!([SOMEONE, "0x0"])).await;
    assert_eq!(state(&fixture), accounts);
    // Each block calls it, and could be made no more.
    let hashes = alloy::eips::eip2935::HISTORY_STORAGE_ADDRESS;
    let refused = fixture.rpc("anvil_setCode", json!([hashes, "0xfe"])).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    fixture.result("evm_mine", json!([])).await;
    let delegation = "0xef0100aa";
    let refused = fixture.rpc("anvil_setCode", json!([SOMEONE, delegation])).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert_eq!(state(&fixture), accounts);
    assert_eq!(state(&again(fixture).await), accounts, "what was refused is not stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_takes_blocks_and_changes_with_it() {
    let fixture = Fixture::start().await;
    let log = fixture.deploy(&LOG).await;
    let filter = fixture.result("eth_newBlockFilter", json!([])).await;
    fixture.send(pay(1)).await;
    fixture.result("anvil_setBalance", json!([log, "0x5"])).await;
    let kept = head(&fixture).await;
    let first = fixture.result("evm_snapshot", json!([])).await;

    fixture.result("anvil_setBalance", json!([log, "0x6"])).await;
    let gone = fixture.send(pay(2)).await;
    let second = fixture.result("evm_snapshot", json!([])).await;
    fixture.result("anvil_setBalance", json!([SOMEONE, "0x99"])).await;
    fixture.send(TransactionRequest::default().with_to(log).with_input(words(1, 2))).await;
    assert_ne!(first, second);
    assert_eq!(fixture.result("evm_revert", json!([second])).await, true);
    assert_eq!(fixture.provider.get_balance(SOMEONE).await.unwrap(), U256::from(3));
    assert_eq!(fixture.result("evm_revert", json!([second])).await, false, "it is used up");

    assert_eq!(fixture.result("evm_revert", json!([first])).await, true);
    let is_back = async |fixture: &Fixture| {
        assert_eq!(head(fixture).await, kept);
        assert_eq!(fixture.provider.get_balance(SOMEONE).await.unwrap(), U256::from(1));
        assert_eq!(fixture.provider.get_balance(log).await.unwrap(), U256::from(5));
        let hash = gone.transaction_hash;
        assert_eq!(fixture.provider.get_transaction_receipt(hash).await.unwrap(), None);
        let earlier = BlockId::number(kept.0 - 1);
        let balance = fixture.provider.get_balance(SOMEONE).block_id(earlier).await.unwrap();
        assert_eq!(balance, U256::ZERO);
        let owner = fixture.signer.address();
        let nonce = fixture.provider.get_transaction_count(owner).pending().await.unwrap();
        assert_eq!(nonce, 2);
    };
    is_back(&fixture).await;

    // Another block takes the place of the one that is gone, and who follows is told of it.
    let polled = fixture.result("eth_getFilterChanges", json!([filter])).await;
    assert_eq!(polled.as_array().unwrap().len(), 1, "the one that stayed: {polled}");
    send(&fixture, pay(3)).await;
    let (number, hash) = head(&fixture).await;
    assert_eq!((number, hash == gone.block_hash.unwrap()), (kept.0 + 1, false));
    let polled = fixture.result("eth_getFilterChanges", json!([filter])).await;
    assert_eq!(polled, json!([hash]));
    assert_eq!(fixture.provider.get_balance(SOMEONE).await.unwrap(), U256::from(4));

    let fixture = again(fixture).await;
    assert_eq!(head(&fixture).await, (number, hash));
    assert_eq!(fixture.provider.get_balance(SOMEONE).await.unwrap(), U256::from(4));
    assert_eq!(
        fixture.result("evm_revert", json!(["0x1"])).await,
        false,
        "they end with a process"
    );
    assert_eq!(fixture.result("anvil_reset", json!([])).await, true);
    assert_eq!(head(&fixture).await.0, 0);
    assert_eq!(fixture.provider.get_code_at(log).await.unwrap(), Bytes::new());
    send(&fixture, pay(9)).await;
    let last = head(&fixture).await;
    assert_eq!(head(&again(fixture).await).await, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_way_back_finds_its_way_through_the_journal() {
    let fixture = Fixture::start().await;
    fixture.send(pay(1)).await;
    let kept = head(&fixture).await;
    let snapshot = fixture.result("evm_snapshot", json!([])).await;
    // More blocks than are kept whole in memory.
    fixture.result("anvil_mine", json!([700])).await;
    fixture.send(pay(1)).await;
    assert_eq!(fixture.result("evm_revert", json!([snapshot])).await, true);
    assert_eq!(head(&fixture).await, kept);
    send(&fixture, pay(1)).await;
    let last = head(&fixture).await;
    assert_eq!(last.0, kept.0 + 1);
    assert_eq!(head(&again(fixture).await).await, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_can_be_impersonated() {
    let fixture = Fixture::start().await;
    let store = fixture.deploy(&STORE).await;
    let request = json!([{ "from": store, "to": SOMEONE, "value": "0x7" }]);
    let refused = fixture.rpc("eth_sendTransaction", request.clone()).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("unknown account"), "{refused}");
    fixture.result("anvil_setBalance", json!([store, format!("{:#x}", 10u64.pow(18))])).await;
    fixture.result("hardhat_impersonateAccount", json!([store])).await;
    assert_eq!(fixture.result("eth_accounts", json!([])).await, json!([store]));
    let hash = fixture.result("eth_sendTransaction", request.clone()).await;
    let receipt = async |fixture: &Fixture| loop {
        let found = fixture.result("eth_getTransactionReceipt", json!([hash])).await;
        if !found.is_null() {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let found = receipt(&fixture).await;
    assert_eq!((&found["status"], &found["from"]), (&json!("0x1"), &json!(store)));
    let trace = fixture.result("debug_traceTransaction", json!([hash, { "tracer": "callTracer" }]));
    assert_eq!(trace.await["from"], json!(store));
    fixture.result("anvil_stopImpersonatingAccount", json!([store])).await;
    assert!(fixture.rpc("eth_sendTransaction", request).await["result"].is_null());
    let fixture = again(fixture).await;
    assert_eq!(receipt(&fixture).await, found);
    assert_eq!(fixture.provider.get_balance(SOMEONE).await.unwrap(), U256::from(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_signs_for_its_own_accounts() {
    let own = PrivateKeySigner::random();
    let (dir, keys) = (Arc::new(TempDir::new().unwrap()), vec![own.clone()]);
    let fixture = Fixture::start_in(dir, own.clone(), |o| o.accounts = keys).await;
    assert_eq!(fixture.result("eth_accounts", json!([])).await, json!([own.address()]));
    let sent = json!([{ "to": SOMEONE, "value": "0x1" }]);
    let mut hashes = Vec::new();
    for _ in 0..3 {
        hashes.push(fixture.result("eth_sendTransaction", sent.clone()).await);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 3, "each has its own nonce");
    let signed = json!([{ "to": SOMEONE, "value": "0x1", "gasPrice": "0x77359400" }]);
    let raw = fixture.result("eth_signTransaction", signed).await["raw"].clone();
    fixture.result("eth_sendRawTransactionSync", json!([raw])).await;
    assert_eq!(fixture.provider.get_balance(SOMEONE).await.unwrap(), U256::from(4));

    let recovered = |signature: &Value, hash: B256| {
        let signature: Signature = signature.as_str().unwrap().parse().unwrap();
        signature.recover_address_from_prehash(&hash).unwrap()
    };
    let message = json!("0x68656c6c6f");
    let hash = alloy::primitives::eip191_hash_message("hello");
    let signature = fixture.result("personal_sign", json!([message, own.address()])).await;
    assert_eq!(recovered(&signature, hash), own.address());
    assert_eq!(fixture.result("eth_sign", json!([own.address(), message])).await, signature);
    let typed = json!({
        "types": {
            "EIP712Domain": [{ "name": "name", "type": "string" }],
            "Mail": [{ "name": "text", "type": "string" }],
        },
        "primaryType": "Mail", "domain": { "name": "Post" }, "message": { "text": "hello" },
    });
    let parsed: alloy::dyn_abi::TypedData = serde_json::from_value(typed.clone()).unwrap();
    let hash = parsed.eip712_signing_hash().unwrap();
    let as_text = json!([own.address(), typed.to_string()]);
    for params in [json!([own.address(), typed]), as_text] {
        let signature = fixture.result("eth_signTypedData_v4", params).await;
        assert_eq!(recovered(&signature, hash), own.address());
    }
    let blob = json!([{
        "to": SOMEONE, "maxFeePerBlobGas": "0x5", "blobVersionedHashes": [format!("0x01{}", "00".repeat(31))],
    }]);
    let refused = fixture.rpc("eth_sendTransaction", blob).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("type"), "{refused}");
    let large = json!([{ "to": SOMEONE, "input": format!("0x{}", "00".repeat(200_000)), "gas": "0xf00000" }]);
    let refused = fixture.rpc("eth_sendTransaction", large).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("oversized"), "{refused}");
    let stranger = fixture.rpc("personal_sign", json!([message, SOMEONE])).await;
    assert_eq!(stranger["error"]["code"], -32000, "{stranger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_come_by_themselves_by_interval_or_when_told() {
    let dir = Arc::new(TempDir::new().unwrap());
    let every = Duration::from_millis(20);
    let fixture = Fixture::start_in(dir, PrivateKeySigner::random(), |options| {
        options.mining = Mining::Interval(every);
    })
    .await;
    let mut heads = fixture.chain().subscribe_head();
    while *heads.borrow_and_update() < 3 {
        heads.changed().await.unwrap();
    }
    assert_eq!(fixture.result("anvil_getAutomine", json!([])).await, false);
    fixture.result("evm_setAutomine", json!([false])).await;
    // A block that was due may still come.
    fixture.result("evm_mine", json!([])).await;
    let stopped = fixture.provider.get_block_number().await.unwrap();
    let waiting = fixture.provider.send_transaction(pay(1)).await.unwrap();
    tokio::time::sleep(5 * every).await;
    assert_eq!(fixture.provider.get_block_number().await.unwrap(), stopped);
    fixture.result("hardhat_setAutomine", json!([true])).await;
    assert!(waiting.get_receipt().await.unwrap().status());
    assert_eq!(fixture.provider.get_block_number().await.unwrap(), stopped + 1);

    fixture.result("evm_setAutomine", json!([false])).await;
    let waiting = fixture.provider.send_transaction(pay(1)).await.unwrap();
    let hash = *waiting.tx_hash();
    assert_eq!(fixture.result("anvil_dropTransaction", json!([hash])).await, json!(hash));
    assert_eq!(fixture.result("anvil_dropTransaction", json!([hash])).await, Value::Null);
    assert_eq!(fixture.result("hardhat_dropTransaction", json!([hash])).await, json!(false));
    assert_eq!(fixture.provider.get_transaction_by_hash(hash).await.unwrap(), None);
    fixture.result("evm_setIntervalMining", json!([10])).await;
    heads.borrow_and_update();
    heads.changed().await.unwrap();
    assert_eq!(fixture.rpc("evm_setIntervalMining", json!([[]])).await["error"]["code"], -32602);
    // Also where blocks take longer than that, other calls come through, and the end comes.
    fixture.result("evm_setIntervalMining", json!([1])).await;
    for _ in 0..20 {
        fixture.result("anvil_setBalance", json!([SOMEONE, "0x1"])).await;
    }
    fixture.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_header_is_as_it_was_chosen_also_when_read_again() {
    let fixture = Fixture::start().await;
    fixture.result("anvil_setNextBlockBaseFeePerGas", json!(["0x4a817c800"])).await;
    fixture.result("evm_setBlockGasLimit", json!(["0x5f5e100"])).await;
    fixture.result("hardhat_setCoinbase", json!([SOMEONE])).await;
    fixture.result("hardhat_setPrevRandao", json!([B256::with_last_byte(7)])).await;
    fixture.result("anvil_setBlockTimestampInterval", json!([12])).await;
    let before = fixture.provider.get_block(BlockId::latest()).await.unwrap().unwrap();
    let price = fixture.result("eth_gasPrice", json!([])).await;
    assert_eq!(price, json!(format!("{:#x}", 20_001_000_000_u64)));
    let history = fixture.result("eth_feeHistory", json!([1, "latest", []])).await;
    assert_eq!(history["baseFeePerGas"][1], "0x4a817c800");
    fixture.result("evm_mine", json!([])).await;
    let made = fixture.provider.get_block(BlockId::latest()).await.unwrap().unwrap().header;
    assert_eq!((made.base_fee_per_gas, made.gas_limit), (Some(20_000_000_000), 100_000_000));
    assert_eq!((made.beneficiary, made.mix_hash), (SOMEONE, B256::with_last_byte(7)));
    assert_eq!(made.timestamp, before.header.timestamp + 12);
    fixture.result("evm_mine", json!([])).await;
    let next = fixture.provider.get_block(BlockId::latest()).await.unwrap().unwrap().header;
    assert_eq!((next.base_fee_per_gas, next.gas_limit), (Some(17_500_000_000), 100_000_000));
    assert_ne!(next.mix_hash, made.mix_hash);
    assert_eq!(fixture.result("anvil_removeBlockTimestampInterval", json!([])).await, true);
    // A choice outlives a restart.
    fixture.result("anvil_setNextBlockBaseFeePerGas", json!(["0x7"])).await;
    let fixture = again(fixture).await;
    fixture.result("evm_mine", json!([])).await;
    let latest = fixture.provider.get_block_by_number(BlockNumberOrTag::Latest).await.unwrap();
    assert_eq!(latest.unwrap().header.base_fee_per_gas, Some(7));
    assert_eq!(fixture.rpc("evm_setBlockGasLimit", json!([1])).await["error"]["code"], -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dumped_state_is_loaded_elsewhere() {
    let fixture = Fixture::start().await;
    let store = fixture.deploy(&STORE).await;
    fixture.send(TransactionRequest::default().with_to(store).with_input(words(1, 5))).await;
    let dump = fixture.result("anvil_dumpState", json!([])).await;
    let other = Fixture::start().await;
    assert_eq!(other.result("anvil_loadState", json!([dump])).await, true);
    assert_eq!(other.provider.get_storage_at(store, U256::ONE).await.unwrap(), U256::from(5));
    let owner = fixture.signer.address();
    let [here, there] = [&fixture, &other].map(|fixture| &fixture.provider);
    assert_eq!(here.get_balance(owner).await.unwrap(), there.get_balance(owner).await.unwrap());
    let set = TransactionRequest::default().with_to(store).with_input(words(1, 6));
    assert!(other.send(set).await.status());
    for wrong in ["0x", "0x1f8b", "0x7b7d", "0x7b"] {
        let refused = other.rpc("anvil_loadState", json!([wrong])).await;
        assert_eq!(refused["error"]["code"], -32602, "{wrong}: {refused}");
    }
}
