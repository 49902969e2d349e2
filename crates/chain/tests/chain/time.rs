//! The chain's clock, and mining by hand.

use std::sync::Arc;

use alloy::eips::BlockNumberOrTag;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, U256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use serde_json::json;
use tempfile::TempDir;
use vouch_chain::{ByHand, Mining};

use crate::support::{Fixture, GENESIS_TIME, TIMESTAMP};

async fn latest_timestamp(fixture: &Fixture) -> u64 {
    let latest = BlockNumberOrTag::Latest;
    fixture.provider.get_block_by_number(latest).await.unwrap().unwrap().header.timestamp
}

#[tokio::test(flavor = "multi_thread")]
async fn time_moves_forward_on_demand_and_survives_a_restart() {
    let fixture = Fixture::start().await;
    let contract = fixture.deploy(&TIMESTAMP).await;
    assert_eq!(latest_timestamp(&fixture).await, GENESIS_TIME + 100);
    assert_eq!(fixture.rpc("evm_increaseTime", json!([1000])).await["result"], 1000);
    assert_eq!(fixture.rpc("evm_increaseTime", json!(["0x10"])).await["result"], 1016);
    let request = TransactionRequest::default().with_to(contract);
    let call = fixture.provider.call(request.clone()).block(BlockNumberOrTag::Pending.into());
    let pending = U256::from_be_slice(&call.await.unwrap());
    assert_eq!(pending, U256::from(GENESIS_TIME + 1116), "pending state sees the moved time");
    fixture.rpc("evm_mine", json!([])).await;
    assert_eq!(latest_timestamp(&fixture).await, GENESIS_TIME + 1116);

    let far = GENESIS_TIME + 1_000_000;
    fixture.rpc("evm_setNextBlockTimestamp", json!([far])).await;
    fixture.rpc("evm_mine", json!([])).await;
    assert_eq!(latest_timestamp(&fixture).await, far);
    let back = fixture.rpc("evm_setNextBlockTimestamp", json!([far - 1])).await;
    assert_eq!(back["error"]["code"], -32602);
    let (dir, signer) = fixture.stop();

    let fixture = Fixture::start_in(dir, signer, |_| {}).await;
    fixture.rpc("evm_mine", json!([])).await;
    assert_eq!(latest_timestamp(&fixture).await, far, "time does not go back");
    fixture.clock.set(GENESIS_TIME + 103);
    fixture.rpc("evm_mine", json!([{ "blocks": 2 }])).await;
    assert_eq!(latest_timestamp(&fixture).await, far + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn manual_chains_mine_when_told() {
    let dir = Arc::new(TempDir::new().unwrap());
    let fixture =
        Fixture::start_in(dir, PrivateKeySigner::random(), |o| o.mining = Mining::Manual).await;
    let request = TransactionRequest::default().with_to(Address::ZERO).with_value(U256::from(1));
    let pending = fixture.provider.send_transaction(request).await.unwrap();
    let hash = *pending.tx_hash();
    assert_eq!(fixture.provider.get_transaction_receipt(hash).await.unwrap(), None);
    let waiting = fixture.provider.get_transaction_by_hash(hash).await.unwrap().unwrap();
    assert_eq!(waiting.block_hash, None);
    assert_eq!(fixture.rpc("evm_mine", json!([])).await["result"], "0x0");
    let receipt = fixture.provider.get_transaction_receipt(hash).await.unwrap().unwrap();
    assert_eq!(receipt.block_number, Some(1));
    assert!(fixture.rpc("hardhat_mine", json!(["0x3"])).await["error"].is_null());
    assert_eq!(fixture.provider.get_block_number().await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn development_methods_can_be_left_out() {
    let dir = Arc::new(TempDir::new().unwrap());
    let signer = PrivateKeySigner::random();
    let fixture =
        Fixture::start_in(dir.clone(), signer.clone(), |o| o.by_hand = ByHand::Nothing).await;
    assert_eq!(fixture.rpc("evm_mine", json!([])).await["error"]["code"], -32601);
    assert_eq!(fixture.rpc("evm_increaseTime", json!([1])).await["error"]["code"], -32601);
    fixture.stop();

    // Where money depends on the chain, its time alone can be moved.
    let fixture = Fixture::start_in(dir, signer, |o| o.by_hand = ByHand::Time).await;
    assert_eq!(fixture.rpc("evm_increaseTime", json!([1])).await["error"], json!(null));
    assert_eq!(fixture.rpc("evm_mine", json!([])).await["result"], "0x0");
    for method in ["anvil_setBalance", "hardhat_setCode", "evm_snapshot", "anvil_reset"] {
        let refused = fixture.rpc(method, json!([Address::ZERO, "0x1"])).await;
        assert_eq!(refused["error"]["code"], -32601, "{method}: {refused}");
    }
}
