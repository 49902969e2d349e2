//! `kill -9` of `vouch chain` under load, at random moments: every transaction that was answered
//! with a receipt is in the block that the receipt names.
//!
//! `VOUCH_TEST_KILLS` says how often (5), `VOUCH_TEST_SEED` repeats the moments of a run.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::signing::{key, raw};
use alloy::consensus::TxEip1559;
use alloy_primitives::{Address, TxKind, U256};
use serde_json::{Value, json};
use vouch_tests::{Random, Running, free_address, rpc, seed, try_http, variable, vouch};

const CLIENTS: u8 = 4;

/// Sends one transaction after another, wherever the chain is; gives the receipts.
fn client(url: &str, chain_id: u64, number: u8, over: &AtomicBool, told: &Mutex<Vec<Value>>) {
    let signer = key(number);
    let call = |method: &str, params: Value| -> Option<Value> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let reply = try_http("POST", url, &call.to_string()).ok()?;
        let answer: Value = serde_json::from_slice(&reply.body).ok()?;
        answer.get("result").cloned()
    };
    while !over.load(Ordering::Relaxed) {
        let sent = || {
            let nonce = call("eth_getTransactionCount", json!([signer.address(), "latest"]))?;
            let nonce: U256 = serde_json::from_value(nonce).ok()?;
            let transaction = TxEip1559 {
                chain_id,
                nonce: nonce.to(),
                gas_limit: 21_000,
                max_fee_per_gas: 2_000_000_000,
                max_priority_fee_per_gas: 1,
                to: TxKind::Call(Address::repeat_byte(0x77)),
                value: U256::from(1),
                ..TxEip1559::default()
            };
            call("eth_sendRawTransactionSync", json!([raw(transaction, &signer)]))
        };
        match sent() {
            Some(receipt) => told.lock().expect("no panic").push(receipt),
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[test]
fn every_receipt_outlives_the_process() {
    let (seed, kills) = (seed(), variable("VOUCH_TEST_KILLS").unwrap_or(5));
    let data = tempfile::tempdir().expect("a directory");
    let address = free_address();
    let start = || {
        let listen = ["chain", "--listen", &address, "--json"];
        Running::spawn(vouch(data.path(), &listen))
    };
    let running = start();
    let (url, chain_id) = (running.field("chain"), running.ready["chainId"].as_u64());
    let chain_id = chain_id.expect("an id");
    for number in 0..CLIENTS {
        let who = key(number).address();
        let _set = rpc(&url, "anvil_setBalance", &json!([who, "0x3635c9adc5dea00000"]));
    }
    let (told, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let running = thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (url, told, over) = (&url, &told, &over);
            scope.spawn(move || client(url, chain_id, number, over, told));
        }
        let (mut random, mut running) = (Random::of(seed), running);
        for _ in 0..kills {
            // Until it works again, and then for a moment.
            let before = told.lock().expect("no panic").len();
            while told.lock().expect("no panic").len() < before + 3 {
                thread::sleep(Duration::from_millis(5));
            }
            thread::sleep(Duration::from_millis(random.below(120)));
            running.kill();
            running = start();
        }
        over.store(true, Ordering::Relaxed);
        running
    });
    let told = told.into_inner().expect("no panic");
    for receipt in &told {
        let found = rpc(&url, "eth_getTransactionReceipt", &json!([receipt["transactionHash"]]));
        assert_eq!(found, *receipt);
    }
    println!("{kills} kills, {} receipts", told.len());
    assert!(told.len() as u64 >= 3 * kills, "only {} receipts", told.len());
    assert!(running.stop(), "it ends cleanly");
}
