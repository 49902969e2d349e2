//! State overrides of `eth_call` and `eth_estimateGas`, as geth has them.

use alloy::primitives::{Address, B256, U256, hex};
use serde_json::{Value, json};

use crate::support::{ETHER, Fixture, STORE, words};

/// `return(sload(calldata[0]))`
const LOAD: [u8; 9] = hex!("5f35545f5260205ff3");
/// `return(balance(calldata[0]))`
const BALANCE: [u8; 9] = hex!("5f35315f5260205ff3");
/// `return(caller)`
const CALLER: [u8; 7] = hex!("335f5260205ff3");

fn word(value: u64) -> B256 {
    U256::from(value).into()
}

async fn call(fixture: &Fixture, to: Address, argument: B256, overrides: Value) -> Value {
    let call = json!({ "to": to, "input": argument });
    fixture.rpc("eth_call", json!([call, "latest", overrides])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn code_and_balance_are_what_the_call_says() {
    let fixture = Fixture::start().await;
    let somewhere = Address::repeat_byte(7);
    let code = json!({ somewhere.to_string(): { "code": hex::encode_prefixed(BALANCE) } });
    let none = call(&fixture, somewhere, somewhere.into_word(), code).await;
    assert_eq!(none["result"], json!(word(0)), "{none}");
    let both = json!({ somewhere.to_string():
        { "code": hex::encode_prefixed(BALANCE), "balance": "0x2a" } });
    let some = call(&fixture, somewhere, somewhere.into_word(), both).await;
    assert_eq!(some["result"], json!(word(42)), "{some}");
    let after = fixture.rpc("eth_getBalance", json!([somewhere, "latest"])).await;
    assert_eq!(after["result"], "0x0", "a call changes nothing");
    let code = fixture.rpc("eth_getCode", json!([somewhere, "latest"])).await;
    assert_eq!(code["result"], "0x");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_acts_through_code_that_it_does_not_have() {
    let fixture = Fixture::start().await;
    let (account, callee) = (Address::repeat_byte(8), Address::repeat_byte(9));
    // calldatasize 0; staticcall(gas, callee, 0, 0, 0, 32); return(0, 32)
    let mut forward = hex!("60205f5f5f73").to_vec();
    forward.extend(callee);
    forward.extend(hex!("5afa5060205ff3"));
    let overrides = json!({
        account.to_string(): { "code": hex::encode_prefixed(&forward) },
        callee.to_string(): { "code": hex::encode_prefixed(CALLER) },
    });
    let answer = call(&fixture, account, B256::ZERO, overrides).await;
    assert_eq!(answer["result"], json!(account.into_word()), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn state_replaces_storage_and_state_diff_changes_it() {
    let fixture = Fixture::start().await;
    let store = fixture.deploy(&STORE).await;
    for slot in [1, 2] {
        let request = alloy::rpc::types::TransactionRequest::default()
            .to(store)
            .input(words(slot, 100 + slot).into());
        assert!(fixture.send(request).await.status());
    }
    let read = |slot: u64, change: Value| {
        let mut account = json!({ "code": hex::encode_prefixed(LOAD) });
        account.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let overrides = json!({ store.to_string(): account });
        let fixture = &fixture;
        async move { call(fixture, store, word(slot), overrides).await }
    };
    let slots = json!({ word(2).to_string(): word(7), word(3).to_string(): word(8) });
    for (slot, plain, diff, state) in [(1, 101, 101, 0), (2, 102, 7, 7), (3, 0, 8, 8)] {
        assert_eq!(read(slot, json!({})).await["result"], json!(word(plain)));
        let diffed = read(slot, json!({ "stateDiff": slots })).await;
        assert_eq!(diffed["result"], json!(word(diff)), "{diffed}");
        let replaced = read(slot, json!({ "state": slots })).await;
        assert_eq!(replaced["result"], json!(word(state)), "{replaced}");
    }
    let both = read(1, json!({ "state": slots, "stateDiff": slots })).await;
    assert_eq!(both["error"]["code"], -32602);
    assert!(both["error"]["message"].as_str().unwrap().contains("both 'state' and 'stateDiff'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_is_estimated_on_the_overridden_state() {
    let fixture = Fixture::start().await;
    let (from, to) = (Address::repeat_byte(5), Address::repeat_byte(6));
    let call =
        json!({ "from": from, "to": to, "value": U256::from(ETHER), "gasPrice": "0x77359400" });
    let poor = fixture.rpc("eth_estimateGas", json!([call, "latest"])).await;
    assert!(poor["error"]["message"].as_str().unwrap().contains("insufficient funds"), "{poor}");
    let rich = json!({ from.to_string(): { "balance": U256::from(2 * ETHER) } });
    let estimate = fixture.rpc("eth_estimateGas", json!([call, "latest", rich])).await;
    assert_eq!(estimate["result"], "0x5208", "{estimate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_overridden_is_said() {
    let fixture = Fixture::start().await;
    let account = Address::repeat_byte(7).to_string();
    for overrides in [
        json!({ &account: { "code": "0xef0100" } }),
        json!({ &account: { "balance": "lots" } }),
        json!({ "0x12": { "balance": "0x1" } }),
        json!([1]),
    ] {
        let answer = call(&fixture, Address::ZERO, B256::ZERO, overrides.clone()).await;
        assert_eq!(answer["error"]["code"], -32602, "{overrides}: {answer}");
    }
    let moved = json!({ &account: { "movePrecompileToAddress": Address::ZERO } });
    let answer = call(&fixture, Address::ZERO, B256::ZERO, moved).await;
    assert_eq!(answer["error"]["code"], -32000, "{answer}");
    let block = json!([{ "to": account }, "latest", {}, { "number": "one" }]);
    assert_eq!(fixture.rpc("eth_call", block).await["error"]["code"], -32602);
    let none = json!([{ "to": account }, "latest", null, {}]);
    assert_eq!(fixture.rpc("eth_call", none).await["result"], "0x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_sees_the_block_that_it_names() {
    let fixture = Fixture::start().await;
    let account = Address::repeat_byte(7).to_string();
    // Returns number, timestamp, beneficiary and the hash of block 1.
    let code = "0x435f52426020524160405260014060605260805ff3";
    let state = json!({ &account: { "code": code } });
    let hash = B256::repeat_byte(9);
    let block = json!({
        "number": "0x9", "time": "0x7", "coinbase": account, "blockHash": { "1": hash },
    });
    let answer = fixture.rpc("eth_call", json!([{ "to": account }, "latest", state, block])).await;
    let seen = answer["result"].as_str().unwrap_or_else(|| panic!("{answer}"));
    let word = |number: u64| format!("{number:064x}");
    let expected = [word(9), word(7), format!("{:0>64}", "07".repeat(20)), "09".repeat(32)];
    assert_eq!(seen, format!("0x{}", expected.concat()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_precompile_runs_where_it_was_moved_to_and_nowhere_else() {
    let fixture = Fixture::start().await;
    let identity = Address::with_last_byte(4).to_string();
    let account = Address::repeat_byte(7).to_string();
    let moved = json!({ &identity: { "movePrecompileToAddress": account } });
    for (to, expected) in [(&account, "0x1234"), (&identity, "0x")] {
        let call = json!([{ "to": to, "input": "0x1234" }, "latest", moved]);
        assert_eq!(fixture.rpc("eth_call", call).await["result"], expected, "{to}");
    }
}
