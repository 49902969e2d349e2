//! Requests and transactions that must be refused with the standard code and a useful sentence.

use alloy::consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEnvelope, TxLegacy};
use alloy::eips::eip2718::Encodable2718;
use alloy::network::TxSignerSync;
use alloy::primitives::{Address, Signature, TxKind, U256, hex, uint};
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};
use vouch_chain::BODY_LIMIT_BYTES;

use crate::support::{CHAIN_ID, Fixture};

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_get_standard_codes() {
    let fixture = Fixture::start().await;
    let cases = [
        ("", -32700),
        ("{", -32700),
        ("nonsense", -32700),
        (r#"{"jsonrpc":"2.0","method":"eth_chainId","id":1"#, -32700),
        ("[]", -32600),
        ("7", -32600),
        (r#"{"jsonrpc":"1.0","method":"eth_chainId","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","method":"eth_chainId","id":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","method":"no_such","id":1}"#, -32601),
        (r#"{"jsonrpc":"2.0","method":"eth_chainId","params":{"a":1},"id":1}"#, -32602),
        (r#"{"jsonrpc":"2.0","method":"eth_chainId","params":[1],"id":1}"#, -32602),
        (r#"{"jsonrpc":"2.0","method":"eth_getBalance","params":[],"id":1}"#, -32602),
        (r#"{"jsonrpc":"2.0","method":"eth_getBalance","params":["0x12"],"id":1}"#, -32602),
        (r#"{"jsonrpc":"2.0","method":"eth_getBlockByNumber","params":["0x1",7],"id":1}"#, -32602),
    ];
    for (body, code) in cases {
        let (status, text) = fixture.post(body).await;
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{body}: {e}"));
        assert_eq!((status, &answer["error"]["code"]), (200, &json!(code)), "{body}: {text}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(fixture.post(deep).await.1.contains("error"));
    let future = fixture.rpc("eth_getBalance", json!([Address::ZERO, "0x999"])).await;
    assert_eq!(future["error"]["code"], -32000);
    let missing = fixture.rpc("eth_getBlockByNumber", json!(["0x999", false])).await;
    assert!(missing.get("result").is_some_and(Value::is_null), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_and_bodies_are_bounded() {
    let fixture = Fixture::start().await;
    let call = r#"{"jsonrpc":"2.0","method":"eth_chainId","id":1}"#;
    let notification = r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#;
    let (_, text) = fixture.post(format!("[{call},{notification},5]")).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer.as_array().unwrap().len(), 2, "a notification is not answered");
    assert_eq!(answer[1]["error"]["code"], -32600);
    assert_eq!(fixture.post(notification).await.1, "");

    let many = format!("[{}]", vec![call; 1001].join(","));
    assert!(fixture.post(many).await.1.contains("batch too large"));
    let (status, _) = fixture.post(vec![b' '; BODY_LIMIT_BYTES + 1]).await;
    assert_eq!(status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_may_call() {
    let fixture = Fixture::start().await;
    let response = reqwest::Client::new()
        .request(reqwest::Method::OPTIONS, &fixture.url)
        .header("origin", "https://example.org")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
}

fn base() -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(1)),
        ..TxEip1559::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_refused_in_geths_words() {
    let fixture = Fixture::start().await;
    let signer = &fixture.signer;
    let dynamic = |tx: TxEip1559| {
        let mut tx = tx;
        let signature = signer.sign_transaction_sync(&mut tx).unwrap();
        TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
    };
    let stranger = PrivateKeySigner::random();
    let poor = {
        let mut tx = base();
        let signature = stranger.sign_transaction_sync(&mut tx).unwrap();
        TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
    };
    let unprotected = {
        let mut tx =
            TxLegacy { gas_limit: 21_000, gas_price: 2_000_000_000, ..TxLegacy::default() };
        let signature = signer.sign_transaction_sync(&mut tx).unwrap();
        TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
    };
    let high_s = {
        let order = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
        let mut tx = base();
        let low = signer.sign_transaction_sync(&mut tx).unwrap();
        let twin = Signature::new(low.r(), order - low.s(), !low.v());
        TxEnvelope::from(tx.into_signed(twin)).encoded_2718()
    };
    let list = {
        let mut tx = TxEip2930 { chain_id: 1, gas_limit: 21_000, ..TxEip2930::default() };
        let signature = signer.sign_transaction_sync(&mut tx).unwrap();
        TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
    };
    let create = TxKind::Create;
    let mut trailing = dynamic(base());
    trailing.push(0);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "cannot be decoded"),
        (hex!("c0").to_vec(), "cannot be decoded"),
        (vec![0x02; 200], "cannot be decoded"),
        (trailing, "cannot be decoded"),
        (hex!("03c0").to_vec(), "cannot be decoded"),
        (vec![0; 200_000], "oversized data"),
        (poor, "insufficient funds for gas * price + value"),
        (unprotected, "only replay-protected (EIP-155) transactions allowed"),
        (high_s, "invalid transaction v, r, s values"),
        (list, "invalid chain id for signer: have 1 want"),
        (dynamic(TxEip1559 { gas_limit: 20_999, ..base() }), "intrinsic gas too low"),
        (
            dynamic(TxEip1559 { gas_limit: 22_000, input: vec![1; 100].into(), ..base() }),
            "intrinsic gas too low",
        ),
        (
            dynamic(TxEip1559 { gas_limit: 23_000, input: vec![1; 100].into(), ..base() }),
            "insufficient gas for floor data gas cost",
        ),
        (dynamic(TxEip1559 { gas_limit: 2_000_000_000, ..base() }), "exceeds block gas limit"),
        (dynamic(TxEip1559 { gas_limit: 40_000_000, ..base() }), "gas limit too high"),
        (
            dynamic(TxEip1559 { max_priority_fee_per_gas: 3_000_000_000, ..base() }),
            "max priority fee per gas higher than max fee per gas",
        ),
        (
            dynamic(TxEip1559 { max_fee_per_gas: 10, ..base() }),
            "max fee per gas less than block base fee",
        ),
        (
            dynamic(TxEip1559 {
                to: create,
                gas_limit: 10_000_000,
                input: vec![0; 49_153].into(),
                ..base()
            }),
            "max initcode size exceeded",
        ),
        (dynamic(TxEip1559 { nonce: u64::MAX, ..base() }), "nonce has max value"),
        (
            dynamic(TxEip1559 { value: U256::MAX, ..base() }),
            "insufficient funds for gas * price + value",
        ),
    ];
    for (transaction, words) in cases {
        let params = json!([hex::encode_prefixed(&transaction)]);
        let answer = fixture.rpc("eth_sendRawTransaction", params).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "wanted {words:?}, got {answer}");
        assert_eq!(answer["error"]["code"], -32000);
    }
    // After all that, a good one still gets in; a waiting one must be outbid.
    let gap = TxEip1559 { nonce: 3, ..base() };
    let send = async |tx| {
        let params = json!([hex::encode_prefixed(dynamic(tx))]);
        fixture.rpc("eth_sendRawTransaction", params).await
    };
    assert!(send(gap.clone()).await["error"].is_null());
    assert_eq!(send(gap.clone()).await["error"]["message"], "already known");
    let cheap = TxEip1559 { max_fee_per_gas: 2_100_000_000, ..gap };
    let answer = send(cheap).await;
    assert_eq!(answer["error"]["message"], "replacement transaction underpriced");
}
