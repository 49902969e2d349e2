//! Transactions with blobs (EIP-4844, EIP-7594), made by alloy.

use std::sync::Arc;

use alloy::consensus::{Transaction as _, TxEip4844, TxEip4844WithSidecar, TxEnvelope};
use alloy::eips::BlockNumberOrTag;
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip4844::{Blob, BlobTransactionSidecar, DATA_GAS_PER_BLOB};
use alloy::eips::eip7594::{
    BlobTransactionSidecarEip7594, BlobTransactionSidecarVariant as Sidecar,
};
use alloy::network::{TransactionBuilder, TransactionBuilder4844, TxSignerSync};
use alloy::primitives::{Address, B256, Bytes, U256, address, hex};
use alloy::providers::Provider;
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};
use tempfile::TempDir;
use vouch_chain::{Genesis, Mining};

use crate::support::{CHAIN_ID, ETHER, Fixture, GENESIS_TIME};

/// Not the same number throughout, of which all proofs would be the same.
fn blob() -> Blob {
    let mut blob = Blob::repeat_byte(1);
    blob[31] = 2;
    blob
}

/// With a proof for each cell, as from Osaka on.
fn cells(blobs: usize) -> Sidecar {
    let settings = c_kzg::ethereum_kzg_settings(0);
    let one = vec![blob()];
    let one = BlobTransactionSidecarEip7594::try_from_blobs_with_settings(one, settings).unwrap();
    Sidecar::Eip7594(BlobTransactionSidecarEip7594::new(
        one.blobs.repeat(blobs),
        one.commitments.repeat(blobs),
        one.cell_proofs.repeat(blobs),
    ))
}

/// With a proof for each blob, as before.
fn whole(blobs: usize) -> Sidecar {
    let settings = c_kzg::ethereum_kzg_settings(0);
    let blobs = vec![blob(); blobs];
    BlobTransactionSidecar::try_from_blobs_with_settings(blobs, settings).unwrap().into()
}

fn base() -> TxEip4844 {
    TxEip4844 {
        chain_id: CHAIN_ID,
        gas_limit: 21_000,
        max_fee_per_gas: 5_000_000_000,
        max_priority_fee_per_gas: 1,
        to: Address::repeat_byte(0x42),
        max_fee_per_blob_gas: 10,
        ..TxEip4844::default()
    }
}

/// A transaction that names its sidecar's blobs, signed.
fn signed(signer: &PrivateKeySigner, tx: TxEip4844, sidecar: Sidecar) -> TxEnvelope {
    let blob_versioned_hashes = sidecar.versioned_hashes().collect();
    sign(signer, TxEip4844 { blob_versioned_hashes, ..tx }, sidecar)
}

fn sign(signer: &PrivateKeySigner, tx: TxEip4844, sidecar: Sidecar) -> TxEnvelope {
    let mut tx = TxEip4844WithSidecar::from_tx_and_sidecar(tx, sidecar);
    let signature = signer.sign_transaction_sync(&mut tx).unwrap();
    alloy::consensus::Signed::new_unhashed(tx, signature).into()
}

/// Without its blobs.
fn bare(transaction: &TxEnvelope) -> Vec<u8> {
    let TxEnvelope::Eip4844(signed) = transaction.clone() else { panic!("it has blobs") };
    let (tx, signature, hash) = signed.into_parts();
    let tx = alloy::consensus::Signed::new_unchecked(tx.drop_sidecar(), signature, hash);
    TxEnvelope::Eip4844(tx).encoded_2718()
}

fn raw(encoded: &[u8]) -> Value {
    json!([hex::encode_prefixed(encoded)])
}

/// What the chain says against it.
async fn refusal(fixture: &Fixture, encoded: &[u8]) -> String {
    let answer = fixture.rpc("eth_sendRawTransaction", raw(encoded)).await;
    answer["error"]["message"].as_str().unwrap_or_default().to_owned()
}

async fn send(fixture: &Fixture, transaction: &TxEnvelope) -> B256 {
    let params = raw(&transaction.encoded_2718());
    let hash = fixture.result("eth_sendRawTransaction", params).await;
    assert_eq!(hash, json!(transaction.hash()));
    *transaction.hash()
}

async fn receipt(fixture: &Fixture, hash: B256) -> Option<TransactionReceipt> {
    fixture.provider.get_transaction_receipt(hash).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mined_has_hashes_and_no_blobs() {
    let fixture = Fixture::start().await;
    let from = fixture.signer.address();
    let before = fixture.provider.get_balance(from).await.unwrap();
    let sent = signed(&fixture.signer, base(), cells(2));
    let params = raw(&sent.encoded_2718());
    let mined = fixture.result("eth_sendRawTransactionSync", params).await;
    let mined: TransactionReceipt = serde_json::from_value(mined).unwrap();
    assert!(mined.status());
    assert_eq!(mined.transaction_hash, *sent.hash());
    assert_eq!((mined.blob_gas_used, mined.blob_gas_price), (Some(2 * DATA_GAS_PER_BLOB), Some(1)));
    let fees = u128::from(mined.gas_used) * mined.effective_gas_price;
    let after = fixture.provider.get_balance(from).await.unwrap();
    assert_eq!(before - after, U256::from(fees + 2 * u128::from(DATA_GAS_PER_BLOB)));
    let told = fixture.provider.get_transaction_by_hash(*sent.hash()).await.unwrap().unwrap();
    assert_eq!(told.blob_versioned_hashes(), sent.blob_versioned_hashes());
    assert_eq!(told.max_fee_per_blob_gas(), Some(10));
    assert_eq!(told.inner.encoded_2718(), bare(&sent));
    let hash = json!([sent.hash()]);
    let encoded = fixture.result("debug_getRawTransaction", hash.clone()).await;
    assert_eq!(encoded, raw(&bare(&sent))[0]);
    let latest = BlockNumberOrTag::Latest;
    let block = fixture.provider.get_block_by_number(latest).await.unwrap().unwrap();
    assert_eq!(block.header.blob_gas_used, Some(2 * DATA_GAS_PER_BLOB));
    assert_eq!(fixture.result("eth_blobBaseFee", json!([])).await, "0x1");

    // alloy fills in what blobs cost; and one proof for a blob will do, as with geth.
    for sidecar in [cells(1), whole(2)] {
        let request = TransactionRequest::default().with_to(from).with_blob_sidecar(sidecar);
        assert!(fixture.send(request).await.status());
    }
    assert_eq!(fixture.result("txpool_status", json!([])).await["pending"], "0x0");
    let (dir, signer) = fixture.stop();
    let again = Fixture::start_in(dir, signer, |_| {}).await;
    assert_eq!(again.provider.get_block_number().await.unwrap(), 3);
    assert_eq!(receipt(&again, *sent.hash()).await, Some(mined));
    assert_eq!(again.result("debug_getRawTransaction", hash).await, encoded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_belong_together_is_refused() {
    let fixture = Fixture::start().await;
    let signer = &fixture.signer;
    let good = cells(1);
    let Sidecar::Eip7594(parts) = &good else { panic!("it has cells") };
    let one_less = BlobTransactionSidecarEip7594 { blobs: vec![], ..parts.clone() };
    let other_blob =
        BlobTransactionSidecarEip7594 { blobs: vec![Blob::repeat_byte(2)], ..parts.clone() };
    let not_numbers =
        BlobTransactionSidecarEip7594 { blobs: vec![Blob::repeat_byte(0xff)], ..parts.clone() };
    let mut other_proofs = parts.clone();
    other_proofs.cell_proofs.swap(3, 4);
    let mut few_proofs = parts.clone();
    few_proofs.cell_proofs.pop();
    let Sidecar::Eip4844(mut other_proof) = whole(2) else { panic!("it has proofs") };
    other_proof.blobs[0] = Blob::repeat_byte(2);
    let hash = good.versioned_hashes().next().unwrap();
    let named = |hashes: Vec<B256>, sidecar: Sidecar| {
        sign(signer, TxEip4844 { blob_versioned_hashes: hashes, ..base() }, sidecar).encoded_2718()
    };
    let of = |tx: TxEip4844, sidecar: Sidecar| signed(signer, tx, sidecar).encoded_2718();
    let input = Bytes::from(vec![0; 130 << 10]);
    let large = TxEip4844 { input, gas_limit: 10_000_000, ..base() };
    let mut trailing = of(base(), good.clone());
    trailing.push(0);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (bare(&signed(signer, base(), good.clone())), "missing sidecar in blob transaction"),
        (trailing, "cannot be decoded"),
        (of(base(), cells(7)), "too many blobs in transaction: have 7, permitted 6"),
        (vec![3; (1 << 20) + 1], "oversized data: transaction size 1048577, limit 1048576"),
        (of(large, good.clone()), "oversized data"),
        (named(vec![], Sidecar::Eip7594(BlobTransactionSidecarEip7594::default())), "blobless"),
        (named(vec![hash; 2], good.clone()), "invalid number of 1 blobs compared to 2 blob hashes"),
        (named(vec![hash], one_less.into()), "invalid number of 0 blobs compared to 1 blob hashes"),
        (named(vec![B256::repeat_byte(1)], good.clone()), "wrong versioned hash"),
        (of(base(), other_blob.into()), "invalid KZG proof"),
        (of(base(), not_numbers.into()), "invalid blob sidecar"),
        (of(base(), other_proofs.into()), "invalid KZG proof"),
        (of(base(), few_proofs.into()), "127 cell proofs"),
        (of(base(), other_proof.into()), "invalid KZG proof"),
        (
            of(TxEip4844 { max_fee_per_blob_gas: 0, ..base() }, good.clone()),
            "max fee per blob gas less than block blob gas fee",
        ),
        (
            of(TxEip4844 { max_fee_per_blob_gas: ETHER, ..base() }, good.clone()),
            "insufficient funds for gas * price + value",
        ),
    ];
    for (encoded, words) in cases {
        let said = refusal(&fixture, &encoded).await;
        assert!(said.contains(words), "wanted {words:?}, got {said:?}");
    }
    send(&fixture, &signed(signer, base(), cells(6))).await;
}

/// By the rules of Prague, with few blobs in a block whose price follows them fast.
fn prague(owners: [Address; 2]) -> Genesis {
    let genesis = json!({
        "config": {
            "chainId": CHAIN_ID, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0,
            "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0,
            "istanbulBlock": 0, "berlinBlock": 0, "londonBlock": 0, "terminalTotalDifficulty": 0,
            "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0,
            "blobSchedule": { "prague": { "target": 1, "max": 2, "baseFeeUpdateFraction": 100_000 } },
        },
        "timestamp": format!("{GENESIS_TIME:#x}"), "gasLimit": "0x1c9c380", "difficulty": "0x0",
        "alloc": { owners[0].to_string(): { "balance": "0xde0b6b3a7640000" },
                   owners[1].to_string(): { "balance": "0xde0b6b3a7640000" } },
    });
    Genesis::from_json(genesis.to_string().as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_wait_for_room_and_for_their_price() {
    let (signer, other) = (PrivateKeySigner::random(), PrivateKeySigner::random());
    let genesis = prague([signer.address(), other.address()]);
    let fixture = Fixture::start_in(Arc::new(TempDir::new().unwrap()), signer, |options| {
        (options.genesis, options.mining) = (genesis, Mining::Manual);
    })
    .await;
    let own = &fixture.signer;
    let early = signed(own, base(), cells(1)).encoded_2718();
    assert!(refusal(&fixture, &early).await.contains("cell proofs begin with Osaka"));
    let many = signed(own, base(), whole(3)).encoded_2718();
    assert!(refusal(&fixture, &many).await.contains("have 3, permitted 2"));

    let cheap = TxEip4844 { max_fee_per_blob_gas: 1, ..base() };
    let first = send(&fixture, &signed(own, base(), whole(2))).await;
    let waits = send(&fixture, &signed(&other, cheap.clone(), whole(1))).await;
    let transfer = TransactionRequest::default().with_to(other.address()).with_gas_limit(21_000);
    let transfer = fixture.provider.send_transaction(transfer.with_nonce(1)).await.unwrap();
    fixture.result("evm_mine", json!([])).await;
    assert_eq!(receipt(&fixture, first).await.unwrap().block_number, Some(1));
    let beside = receipt(&fixture, *transfer.tx_hash()).await;
    assert_eq!(beside.unwrap().block_number, Some(1), "who has no blobs does not wait for room");
    assert_eq!(fixture.result("eth_blobBaseFee", json!([])).await, "0x3");
    let late = signed(own, TxEip4844 { nonce: 2, ..cheap }, whole(1)).encoded_2718();
    assert!(refusal(&fixture, &late).await.contains("blobGasFeeCap: 1, blobBaseFee: 3"));
    fixture.result("evm_mine", json!([])).await;
    assert_eq!(receipt(&fixture, waits).await, None, "it is too cheap for block 2");
    let pending = fixture.provider.get_transaction_by_hash(waits).await.unwrap().unwrap();
    assert_eq!((pending.block_number, pending.max_fee_per_blob_gas()), (None, Some(1)));
    fixture.result("evm_mine", json!([])).await;
    let mined = receipt(&fixture, waits).await.unwrap();
    assert_eq!((mined.block_number, mined.blob_gas_price), (Some(3), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replaces_blobs_pays_twice_as_much() {
    let dir = Arc::new(TempDir::new().unwrap());
    let signer = PrivateKeySigner::random();
    let fixture = Fixture::start_in(dir, signer, |o| o.mining = Mining::Manual).await;
    let own = &fixture.signer;
    send(&fixture, &signed(own, base(), cells(1))).await;
    let double = TxEip4844 {
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 2,
        max_fee_per_blob_gas: 20,
        ..base()
    };
    for less in [
        TxEip4844 { max_fee_per_gas: 9_999_999_999, ..double.clone() },
        TxEip4844 { max_priority_fee_per_gas: 1, ..double.clone() },
        TxEip4844 { max_fee_per_blob_gas: 19, ..double.clone() },
    ] {
        let less = signed(own, less, cells(1)).encoded_2718();
        assert_eq!(refusal(&fixture, &less).await, "replacement transaction underpriced");
    }
    let second = send(&fixture, &signed(own, double, cells(1))).await;
    fixture.result("evm_mine", json!([])).await;
    assert!(receipt(&fixture, second).await.unwrap().status());
    let status = fixture.result("txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x0" }));
}

/// A case of ethereum/c-kzg-4844: verify_kzg_proof_case_correct_proof_4_4.
#[tokio::test(flavor = "multi_thread")]
async fn contracts_check_points_of_blobs() {
    let fixture = Fixture::start().await;
    let precompile = address!("000000000000000000000000000000000000000a");
    let input = hex!(
        "01e798154708fe7789429634053cbf9f99b619f9f084048927333fce637f549b"
        "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000000"
        "1522a4a7f34e1ea350ae07c29c96c7e79655aa926122e95fe69fcbd932ca49e9"
        "8f59a8d2a1a625a17f3fea0fe5eb8c896db3764f3185481bc22f91b4aaffcca25f26936857bc3a7c2539ea8ec3a952b7"
        "a62ad71d14c5719385c0686f1871430475bf3a00f0aa3f7b8dd99a9abc2160744faf0070725e00b60ad9a026a15b1a8c"
    );
    let call = |input: [u8; 192]| {
        let input = Bytes::from(input);
        fixture.provider.call(TransactionRequest::default().with_to(precompile).with_input(input))
    };
    // FIELD_ELEMENTS_PER_BLOB and BLS_MODULUS.
    let answer = hex!(
        "0000000000000000000000000000000000000000000000000000000000001000"
        "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001"
    );
    assert_eq!(call(input).await.unwrap(), Bytes::from(answer));
    let mut wrong = input;
    wrong[95] ^= 1;
    assert!(call(wrong).await.is_err());
}
