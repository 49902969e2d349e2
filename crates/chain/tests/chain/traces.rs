//! Transactions executed again under tracers.

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, U256};
use alloy::rpc::types::TransactionRequest;
use serde_json::json;

use crate::support::{ETHER, Fixture, REVERT, STORE, words};

#[tokio::test(flavor = "multi_thread")]
async fn each_tracer_tells_what_a_transaction_did() {
    let fixture = Fixture::start().await;
    let contract = fixture.deploy(&STORE).await;
    let request = TransactionRequest::default().with_to(contract).with_input(words(3, 4));
    let receipt = fixture.send(request).await;
    let trace = async |options| {
        let params = json!([receipt.transaction_hash, options]);
        fixture.rpc("debug_traceTransaction", params).await["result"].clone()
    };
    let steps = trace(json!({})).await;
    assert_eq!(steps["gas"], json!(receipt.gas_used));
    let last = steps["structLogs"].as_array().unwrap().iter().rev().nth(1).unwrap();
    assert_eq!(last["op"], "SSTORE", "{last}");
    assert_eq!(last["stack"], json!(["0x4", "0x3"]), "{last}");
    let call = trace(json!({ "tracer": "callTracer" })).await;
    assert_eq!(call["to"], json!(contract));
    assert_eq!(call["gasUsed"], json!(format!("{:#x}", receipt.gas_used)));
    let slot = U256::from(3).to_be_bytes::<32>();
    let slot = alloy::primitives::B256::from(slot).to_string();
    let config = json!({ "diffMode": true });
    let state = trace(json!({ "tracer": "prestateTracer", "tracerConfig": config })).await;
    let after = &state["post"][contract.to_string().to_lowercase()]["storage"][&slot];
    assert!(after.as_str().is_some_and(|value| value.ends_with('4')), "{state}");

    let block =
        json!([format!("{:#x}", receipt.block_number.unwrap()), { "tracer": "callTracer" }]);
    let traces = fixture.rpc("debug_traceBlockByNumber", block).await["result"].clone();
    assert_eq!(traces, json!([{ "txHash": receipt.transaction_hash, "result": call }]));
    let mux = json!({ "tracer": "muxTracer", "tracerConfig": { "erc7562Tracer": {} } });
    for refused in [json!({ "tracer": "noSuchTracer" }), json!({ "tracer": "erc7562Tracer" }), mux]
    {
        let params = json!([receipt.transaction_hash, refused]);
        let answer = fixture.rpc("debug_traceTransaction", params).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_sent_is_traced_on_state_as_it_might_be() {
    let fixture = Fixture::start().await;
    let (poor, to) = (Address::repeat_byte(5), Address::repeat_byte(6));
    let call = json!({ "from": poor, "to": to, "value": U256::from(ETHER), "input": "0x12" });
    let state = json!({
        poor.to_string(): { "balance": U256::from(2 * ETHER) },
        to.to_string(): { "code": alloy::primitives::Bytes::from_static(&REVERT) },
    });
    let options = json!({ "tracer": "callTracer", "stateOverrides": state });
    let answer = fixture.rpc("debug_traceCall", json!([call, "latest", options])).await;
    assert_eq!(answer["result"]["error"], "execution reverted", "{answer}");
    assert_eq!(answer["result"]["output"], "0x12", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trace_may_come_to_is_bounded() {
    let fixture = Fixture::start().await;
    // Some memory, and then steps until the gas is used up: jumpdest, jump to it.
    let code = "0x600062010000525b600756";
    let to = Address::repeat_byte(6).to_string();
    let state = json!({ &to: { "code": code } });
    let call = json!({ "to": to, "gas": "0xf4240" });
    let options = json!({ "enableMemory": true, "stateOverrides": state });
    let answer = fixture.rpc("debug_traceCall", json!([call, "latest", options])).await;
    assert_eq!(answer["error"]["code"], -32005, "{:.300}", answer.to_string());
    let options = json!({ "tracer": "callTracer", "stateOverrides": state });
    let answer = fixture.rpc("debug_traceCall", json!([call, "latest", options])).await;
    assert_eq!(answer["result"]["error"], "out of gas", "{answer}");
}
