//! The chain behind the stub, as far as a buyer reads it: balances and claims over JSON-RPC.

use alloy::{
    primitives::{Bytes, U256},
    sol_types::SolCall,
};
use axum::{Json, extract::State};
use serde_json::{Value, json};
use vouch_contracts::bindings::{BatchSettlement, TestDollar};

use super::{Books, Shared};

pub(super) async fn faucet(State(stub): Shared) {
    let mut books = stub.books.lock();
    books.purse = books.faucet_gives;
}

pub(super) async fn rpc(State(stub): Shared, Json(request): Json<Value>) -> Json<Value> {
    let call = &request["params"][0];
    let input: Bytes = call["input"].as_str().or(call["data"].as_str()).unwrap().parse().unwrap();
    let result = read(&stub.books.lock(), &input);
    Json(match result {
        Some(bytes) => json!({"jsonrpc": "2.0", "id": request["id"], "result": bytes}),
        None => json!({
            "jsonrpc": "2.0", "id": request["id"],
            "error": {"code": -32601, "message": "the stub's chain answers two calls"},
        }),
    })
}

fn read(books: &Books, input: &[u8]) -> Option<Bytes> {
    if let Ok(call) = BatchSettlement::channelsCall::abi_decode(input) {
        let of = |amounts: &std::collections::BTreeMap<_, u128>| {
            U256::from(amounts.get(&call.channelId).copied().unwrap_or(0))
        };
        let words = [of(&books.balances), of(&books.claims)].map(|word| word.to_be_bytes::<32>());
        return Some(words.concat().into());
    }
    TestDollar::balanceOfCall::abi_decode(input).ok()?;
    Some(U256::from(books.purse).to_be_bytes::<32>().to_vec().into())
}
