//! `eth_getProof` against the header's state root, by alloy-trie's own verifier.

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy_trie::proof::verify_proof;
use alloy_trie::{Nibbles, TrieAccount};

use crate::support::{Fixture, STORE, words};

async fn verify(fixture: &Fixture, address: Address, key: u64, number: u64) -> (U256, U256) {
    let tag = BlockNumberOrTag::Number(number);
    let header = fixture.provider.get_block_by_number(tag).await.unwrap().unwrap().header;
    let keys = vec![B256::from(U256::from(key))];
    let proof =
        fixture.provider.get_proof(address, keys).block_id(BlockId::number(number)).await.unwrap();
    let account = TrieAccount::new(proof.nonce, proof.balance, proof.storage_hash, proof.code_hash);
    let exists = account != TrieAccount::default();
    verify_proof(
        header.state_root,
        Nibbles::unpack(keccak256(address)),
        exists.then(|| alloy_rlp::encode(account)),
        &proof.account_proof,
    )
    .unwrap();
    let slot = &proof.storage_proof[0];
    verify_proof(
        proof.storage_hash,
        Nibbles::unpack(keccak256(U256::from(key).to_be_bytes::<32>())),
        (!slot.value.is_zero()).then(|| alloy_rlp::encode(slot.value)),
        &slot.proof,
    )
    .unwrap();
    (proof.balance, slot.value)
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_slots_are_proved_now_and_then() {
    let fixture = Fixture::start().await;
    let store = fixture.deploy(&STORE).await;
    let deployed = fixture.provider.get_block_number().await.unwrap();
    for key in 0..20 {
        let request = TransactionRequest::default().with_to(store).with_input(words(key, key + 1));
        fixture.send(request).await;
    }
    let filled = fixture.provider.get_block_number().await.unwrap();
    let clear = TransactionRequest::default().with_to(store).with_input(words(5, 0));
    fixture.send(clear).await;
    let head = fixture.provider.get_block_number().await.unwrap();

    assert_eq!(verify(&fixture, store, 4, head).await.1, U256::from(5));
    assert_eq!(verify(&fixture, store, 5, head).await.1, U256::ZERO);
    assert_eq!(verify(&fixture, store, 5, filled).await.1, U256::from(6));
    assert_eq!(verify(&fixture, store, 5, deployed).await.1, U256::ZERO);
    let absent = Address::repeat_byte(0x99);
    assert_eq!(verify(&fixture, absent, 0, head).await.0, U256::ZERO);
    assert!(verify(&fixture, fixture.signer.address(), 0, 0).await.0 > U256::ZERO);
}
