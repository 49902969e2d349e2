//! Every transaction type, receipts, logs, reverts, fees and the block roots.

use std::time::Duration;

use alloy::consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy::consensus::{Transaction as _, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy::eips::eip7702::Authorization;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::{NetworkTransactionBuilder, TransactionBuilder};
use alloy::primitives::{Address, B256, Bloom, Bytes, U256, hex};
use alloy::providers::{Provider, ProviderBuilder};
use alloy::rpc::types::{AccessList, AccessListItem, Filter, TransactionRequest};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use serde_json::json;

use crate::support::{CHAIN_ID, ETHER, Fixture, LOG, REVERT, STORE, init_code, words};

#[tokio::test(flavor = "multi_thread")]
async fn transfers_move_money_and_fees() {
    let fixture = Fixture::start().await;
    let (to, from) = (Address::repeat_byte(0x42), fixture.signer.address());
    let before = fixture.provider.get_balance(from).await.unwrap();
    let request = TransactionRequest::default().with_to(to).with_value(U256::from(ETHER));
    let receipt = fixture.send(request).await;
    assert!(receipt.status());
    assert_eq!((receipt.gas_used, receipt.block_number), (21_000, Some(1)));
    assert_eq!(fixture.provider.get_balance(to).await.unwrap(), U256::from(ETHER));
    let fee = U256::from(receipt.effective_gas_price) * U256::from(21_000);
    let after = fixture.provider.get_balance(from).await.unwrap();
    assert_eq!(before - after, U256::from(ETHER) + fee);
    assert_eq!(fixture.provider.get_transaction_count(from).await.unwrap(), 1);
    assert_eq!(fixture.provider.get_chain_id().await.unwrap(), CHAIN_ID);

    let old = fixture.provider.get_balance(to).block_id(BlockId::number(0)).await.unwrap();
    assert_eq!(old, U256::ZERO, "old state answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_deploy_store_and_log() {
    let fixture = Fixture::start().await;
    let store = fixture.deploy(&STORE).await;
    let log = fixture.deploy(&LOG).await;
    assert_eq!(fixture.provider.get_code_at(store).await.unwrap(), Bytes::from(STORE));
    let call = |to, data| TransactionRequest::default().with_to(to).with_input(data);
    fixture.send(call(store, words(7, 99))).await;
    assert_eq!(
        fixture.provider.get_storage_at(store, U256::from(7)).await.unwrap(),
        U256::from(99)
    );

    let first = fixture.send(call(log, words(0xaa, 1))).await;
    fixture.send(call(log, words(0xbb, 2))).await;
    assert_eq!(first.logs().len(), 1);
    assert_eq!(first.logs()[0].log_index, Some(0));
    let topic = B256::from(U256::from(0xbb));
    let filter = Filter::new().address(log).event_signature(topic).from_block(0);
    let logs = fixture.provider.get_logs(&filter).await.unwrap();
    assert_eq!(logs.len(), 1);
    assert_eq!(U256::from_be_slice(&logs[0].data().data), U256::from(2));
    assert!(logs[0].block_timestamp.is_some());
    let all = Filter::new().address(log).from_block(0);
    assert_eq!(fixture.provider.get_logs(&all).await.unwrap().len(), 2);
    let other = Filter::new().address(store).from_block(0);
    assert!(fixture.provider.get_logs(&other).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_tell_what_is_new() {
    let fixture = Fixture::start().await;
    let log = fixture.deploy(&LOG).await;
    let logs = fixture.provider.new_filter(&Filter::new().address(log)).await.unwrap();
    let blocks = fixture.provider.new_block_filter().await.unwrap();
    let sent = fixture.provider.new_pending_transactions_filter(false).await.unwrap();
    let request = TransactionRequest::default().with_to(log).with_input(words(5, 6));
    let receipt = fixture.send(request).await;
    let changes =
        fixture.provider.get_filter_changes::<alloy::rpc::types::Log>(logs).await.unwrap();
    assert_eq!(changes.len(), 1);
    let changes = fixture.provider.get_filter_changes::<B256>(blocks).await.unwrap();
    assert_eq!(changes, [receipt.block_hash.unwrap()]);
    let changes = fixture.provider.get_filter_changes::<B256>(sent).await.unwrap();
    assert_eq!(changes, [receipt.transaction_hash]);
    for empty in [blocks, sent] {
        assert!(fixture.provider.get_filter_changes::<B256>(empty).await.unwrap().is_empty());
    }
    assert!(fixture.provider.uninstall_filter(logs).await.unwrap());
    assert!(!fixture.provider.uninstall_filter(logs).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn reverts_carry_their_data() {
    let fixture = Fixture::start().await;
    let revert = fixture.deploy(&REVERT).await;
    // Error("no")
    let reason = hex!(
        "08c379a0"
        "0000000000000000000000000000000000000000000000000000000000000020"
        "0000000000000000000000000000000000000000000000000000000000000002"
        "6e6f000000000000000000000000000000000000000000000000000000000000"
    );
    let request = TransactionRequest::default().with_to(revert).with_input(reason);
    for estimate in [false, true] {
        let error = match estimate {
            false => fixture.provider.call(request.clone()).await.unwrap_err(),
            true => fixture.provider.estimate_gas(request.clone()).await.unwrap_err(),
        };
        let payload = error.as_error_resp().unwrap();
        assert_eq!((payload.code, payload.message.as_ref()), (3, "execution reverted: no"));
        assert_eq!(payload.as_revert_data().unwrap(), Bytes::from(reason));
    }
    // Sent all the same, it is mined as failed and pays for its gas.
    let receipt = fixture.send(request.with_gas_limit(100_000)).await;
    assert!(!receipt.status());
    assert!(receipt.gas_used > 21_000 && receipt.gas_used < 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn access_list_transactions_are_type_one() {
    let fixture = Fixture::start().await;
    let store = fixture.deploy(&STORE).await;
    let keys = vec![B256::from(U256::from(3))];
    let list = AccessList(vec![AccessListItem { address: store, storage_keys: keys }]);
    let request = TransactionRequest::default()
        .with_to(store)
        .with_input(words(3, 4))
        .with_gas_price(5_000_000_000)
        .with_access_list(list.clone());
    let receipt = fixture.send(request).await;
    assert!(receipt.status());
    assert_eq!(receipt.transaction_type() as u8, 1);
    let mined =
        fixture.provider.get_transaction_by_hash(receipt.transaction_hash).await.unwrap().unwrap();
    assert_eq!(mined.access_list(), Some(&list));
}

#[tokio::test(flavor = "multi_thread")]
async fn delegations_run_code_on_the_signer() {
    let fixture = Fixture::start().await;
    let store = fixture.deploy(&STORE).await;
    let authority = PrivateKeySigner::random();
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: store, nonce: 0 };
    let signature = authority.sign_hash_sync(&authorization.signature_hash()).unwrap();
    let mut request = TransactionRequest::default()
        .with_to(authority.address())
        .with_input(words(8, 88))
        .with_gas_limit(200_000);
    request.authorization_list = Some(vec![authorization.into_signed(signature)]);
    let receipt = fixture.send(request).await;
    assert!(receipt.status());
    assert_eq!(receipt.transaction_type() as u8, 4);
    let code = fixture.provider.get_code_at(authority.address()).await.unwrap();
    assert_eq!(code, Bytes::from([&hex!("ef0100")[..], store.as_slice()].concat()));
    let stored = fixture.provider.get_storage_at(authority.address(), U256::from(8)).await.unwrap();
    assert_eq!(stored, U256::from(88));
    assert_eq!(fixture.provider.get_transaction_count(authority.address()).await.unwrap(), 1);

    // A delegated account still sends.
    let fund = TransactionRequest::default()
        .with_to(authority.address())
        .with_input(words(1, 1))
        .with_value(U256::from(ETHER));
    assert!(fixture.send(fund).await.status());
    let own = ProviderBuilder::new().wallet(authority).connect_provider(fixture.chain().provider());
    let request = TransactionRequest::default().with_to(Address::ZERO).with_value(U256::from(5));
    let receipt = own.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_hold_the_real_roots() {
    let fixture = Fixture::start().await;
    let log = fixture.deploy(&LOG).await;
    for word in 0..5 {
        let request = TransactionRequest::default().with_to(log).with_input(words(word, word));
        fixture.send(request).await;
    }
    let head = fixture.provider.get_block_number().await.unwrap();
    let mut parent = None;
    for number in 0..=head {
        let tag = BlockNumberOrTag::Number(number);
        let block = fixture.provider.get_block_by_number(tag).full().await.unwrap().unwrap();
        assert_eq!(block.header.hash, block.header.inner.hash_slow());
        assert_eq!(parent.unwrap_or_default(), block.header.parent_hash);
        parent = Some(block.header.hash);
        let receipts = fixture.provider.get_block_receipts(tag.into()).await.unwrap().unwrap();
        let receipts: Vec<_> =
            receipts.into_iter().map(|r| r.inner.map_logs(|log| log.inner)).collect();
        assert_eq!(calculate_receipt_root(&receipts), block.header.receipts_root);
        let bloom = receipts.iter().fold(Bloom::ZERO, |all, r| all | *r.logs_bloom());
        assert_eq!(bloom, block.header.logs_bloom);
        let transactions: Vec<TxEnvelope> =
            block.transactions.txns().map(|tx| tx.inner.inner().clone()).collect();
        assert_eq!(calculate_transaction_root(&transactions), block.header.transactions_root);
        assert_eq!(receipts.last().map_or(0, |r| r.cumulative_gas_used()), block.header.gas_used);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn block_hashes_are_kept_in_state() {
    let fixture = Fixture::start().await;
    fixture.rpc("evm_mine", json!([{ "blocks": 2 }])).await;
    let parent = fixture.provider.get_block_by_number(1.into()).await.unwrap().unwrap();
    let slot = fixture.provider.get_storage_at(HISTORY_STORAGE_ADDRESS, U256::from(1));
    assert_eq!(B256::from(slot.await.unwrap()), parent.header.hash, "EIP-2935");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_process_and_http_are_one_chain() {
    let fixture = Fixture::start().await;
    let local = ProviderBuilder::new()
        .wallet(fixture.signer.clone())
        .connect_provider(fixture.chain().provider());
    let request = TransactionRequest::default().with_to(Address::ZERO).with_value(U256::from(1));
    let receipt = local.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    let same = fixture.provider.get_transaction_receipt(receipt.transaction_hash).await.unwrap();
    assert_eq!(same, Some(receipt));
    let error = local.call(TransactionRequest::default().with_deploy_code(hex!("fe"))).await;
    assert_eq!(error.unwrap_err().as_error_resp().unwrap().code, -32000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_send_answers_with_the_receipt() {
    let fixture = Fixture::start().await;
    let raw = signed(&fixture, 0).await;
    let answer = fixture.rpc("eth_sendRawTransactionSync", json!([raw])).await;
    assert_eq!(answer["result"]["status"], "0x1");
    assert_eq!(answer["result"]["blockNumber"], "0x1");
    let again = fixture.rpc("eth_sendRawTransactionSync", json!([raw])).await;
    assert_eq!(again["error"]["message"], "nonce too low: next nonce 1, tx nonce 0");
    // One with a gap before it waits until its time is over.
    let gap = signed(&fixture, 5).await;
    let answer = fixture.rpc("eth_sendRawTransactionSync", json!([gap, 50])).await;
    assert_eq!(answer["error"]["code"], 4);
    assert!(answer["error"]["data"].as_str().unwrap().starts_with("0x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_wait_and_the_pending_nonce_counts_what_follows() {
    let fixture = Fixture::start().await;
    let from = fixture.signer.address();
    for nonce in [2, 1] {
        let raw = signed(&fixture, nonce).await;
        assert!(fixture.rpc("eth_sendRawTransaction", json!([raw])).await["error"].is_null());
    }
    assert_eq!(fixture.provider.get_block_number().await.unwrap(), 0);
    assert_eq!(fixture.provider.get_transaction_count(from).pending().await.unwrap(), 0);
    let raw = signed(&fixture, 0).await;
    let hash: B256 = serde_json::from_value(
        fixture.rpc("eth_sendRawTransaction", json!([raw])).await["result"].clone(),
    )
    .unwrap();
    assert_eq!(fixture.provider.get_transaction_count(from).pending().await.unwrap(), 3);
    let mut head = fixture.chain().subscribe_head();
    let wait = head.wait_for(|number| *number > 0);
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap().unwrap();
    assert_eq!(fixture.provider.get_transaction_count(from).await.unwrap(), 3);
    let receipt = fixture.provider.get_transaction_receipt(hash).await.unwrap().unwrap();
    assert_eq!(receipt.transaction_index, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_is_estimated_and_priced() {
    let fixture = Fixture::start().await;
    let store = fixture.deploy(&STORE).await;
    let transfer = TransactionRequest::default().with_to(Address::ZERO).with_value(U256::from(1));
    assert_eq!(fixture.provider.estimate_gas(transfer).await.unwrap(), 21_000);
    let request = TransactionRequest::default().with_to(store).with_input(words(1, 1));
    let gas = fixture.provider.estimate_gas(request.clone()).await.unwrap();
    assert!(fixture.send(request.clone().with_gas_limit(gas)).await.status());
    let poor = request.with_from(Address::repeat_byte(9)).with_gas_price(1_000_000_000);
    let error = fixture.provider.estimate_gas(poor).await.unwrap_err();
    assert!(error.to_string().contains("gas required exceeds allowance (0)"), "{error}");

    let history = fixture
        .provider
        .get_fee_history(10, BlockNumberOrTag::Latest, &[10.0, 50.0])
        .await
        .unwrap();
    assert_eq!(history.base_fee_per_gas.len(), history.gas_used_ratio.len() + 1);
    assert_eq!(history.base_fee_per_gas[0], 1_000_000_000);
    assert!(history.base_fee_per_gas[1] < history.base_fee_per_gas[0], "EIP-1559 lowers it");
    assert_eq!(history.reward.unwrap().len(), history.gas_used_ratio.len());
    let price = fixture.provider.get_gas_price().await.unwrap();
    let tip = fixture.provider.get_max_priority_fee_per_gas().await.unwrap();
    assert_eq!(price, history.base_fee_per_gas.last().unwrap() + tip);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_senders_at_once_all_get_in() {
    let fixture = Fixture::start().await;
    let mut expected = U256::ZERO;
    let mut raws = Vec::new();
    for nonce in 0..300 {
        raws.push(json!({
            "jsonrpc": "2.0", "id": nonce, "method": "eth_sendRawTransaction",
            "params": [signed(&fixture, nonce).await],
        }));
        expected += U256::from(1);
    }
    raws.reverse();
    let (_, body) = fixture.post(serde_json::to_string(&raws).unwrap()).await;
    assert!(!body.contains("error"), "{body}");
    let mut head = fixture.chain().subscribe_head();
    let from = fixture.signer.address();
    let done = async {
        while fixture.provider.get_transaction_count(from).await.unwrap() < 300 {
            head.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done).await.unwrap();
    assert_eq!(fixture.provider.get_balance(Address::repeat_byte(1)).await.unwrap(), expected);
}

/// A signed transfer of 1 wei, raw.
async fn signed(fixture: &Fixture, nonce: u64) -> String {
    let request = TransactionRequest::default()
        .with_to(Address::repeat_byte(1))
        .with_value(U256::from(1))
        .with_nonce(nonce)
        .with_chain_id(CHAIN_ID)
        .with_gas_limit(21_000)
        .with_max_fee_per_gas(3_000_000_000)
        .with_max_priority_fee_per_gas(1);
    let wallet = alloy::network::EthereumWallet::from(fixture.signer.clone());
    let envelope = request.build(&wallet).await.unwrap();
    hex::encode_prefixed(envelope.encoded_2718())
}

#[tokio::test(flavor = "multi_thread")]
async fn creation_failures_are_mined_as_failures() {
    let fixture = Fixture::start().await;
    // Code that begins with 0xef is refused (EIP-3541).
    let request = TransactionRequest::default()
        .with_deploy_code(init_code(&hex!("ef00")))
        .with_gas_limit(200_000);
    let receipt = fixture.send(request).await;
    assert!(!receipt.status());
    assert_eq!(receipt.gas_used, 200_000);
}
