//! What is sent to a chain.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use alloy_primitives::{U256, hex, keccak256};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use serde_json::value::RawValue;
use tokio::runtime::Runtime;
use tower_service::Service;
use vouch_chain::testing::rewritten;
use vouch_chain::{ByHand, Chain, Genesis, GenesisAccount, ManualClock, Mining, Options};
use vouch_journal::{Disk, testing::MemoryDisk};

/// It owns something, and nobody has its key.
const SENDER: &str = "0x00000000000000000000000000000000000000aa";
/// `log1(data: calldata[32..64], topic: calldata[0..32])`
const LOG: &str = "0x00000000000000000000000000000000000000c0";
/// `sstore(calldata[0], calldata[32])`
const STORE: &str = "0x00000000000000000000000000000000000000c1";
/// More than any answer to what a fuzzer sends.
const MAX_ANSWER_BYTES: usize = 64 << 20;

type Object<'a> = BTreeMap<String, &'a RawValue>;

/// A transaction that can be read is written as it was, and its hash is of what a block has.
pub(crate) fn transaction(bytes: &[u8]) {
    if let Some(again) = rewritten(bytes) {
        assert_eq!(again.sent, bytes, "one transaction, one encoding");
        assert_eq!(again.hash, keccak256(&again.mined), "the hash is of what is mined");
    }
}

/// Whatever is sent, the answer is JSON-RPC, and to the ids that were asked with.
pub(crate) fn rpc(bytes: &[u8]) {
    let answer = Served::get().answer(bytes);
    if answer.is_empty() {
        return;
    }
    let request = serde_json::from_slice::<&RawValue>(bytes).ok().map(RawValue::get);
    if answer.starts_with(b"[") {
        let answers: Vec<Object<'_>> = serde_json::from_slice(&answer).expect("a batch's answer");
        let calls: Vec<&RawValue> =
            serde_json::from_str(request.expect("it was JSON")).expect("it was a batch");
        assert!(answers.len() <= calls.len(), "more is answered than was asked");
        let asked: Vec<_> = calls.iter().map(|call| call_id(call.get())).collect();
        for answer in &answers {
            check(answer);
            let id = answer["id"].get();
            assert!(id == "null" || asked.contains(&Some(id)), "an id that nobody asked with");
        }
        return;
    }
    let answer: Object<'_> = serde_json::from_slice(&answer).expect("an answer");
    check(&answer);
    let (id, refused) = (answer["id"].get(), is_refused(&answer));
    let asked = request.and_then(call_id);
    assert!(Some(id) == asked || id == "null" && (refused || asked.is_none()), "another id");
}

/// Of one call.
fn call_id(call: &str) -> Option<&str> {
    let call: Object<'_> = serde_json::from_str(call).ok()?;
    call.get("id").map(|id| id.get())
}

/// Version, id, and a result or an error, which has a code and words.
fn check(answer: &Object<'_>) {
    assert_eq!(answer["jsonrpc"].get(), r#""2.0""#);
    assert_eq!(answer.len(), 3, "neither less nor more");
    assert!(answer.contains_key("id") && answer.contains_key("result") != is_error(answer));
}

fn is_error(answer: &Object<'_>) -> bool {
    let Some(error) = answer.get("error") else { return false };
    let error: Object<'_> = serde_json::from_str(error.get()).expect("an error");
    let _code: i64 = serde_json::from_str(error["code"].get()).expect("a code");
    let message: String = serde_json::from_str(error["message"].get()).expect("words");
    assert!(!message.is_empty());
    true
}

/// Whether it was no JSON or no call, so that the id is not known.
fn is_refused(answer: &Object<'_>) -> bool {
    let Some(error) = answer.get("error") else { return false };
    let error: Object<'_> = serde_json::from_str(error.get()).expect("an error");
    matches!(error["code"].get(), "-32700" | "-32600")
}

/// A chain with a few blocks, in which nobody can make more.
struct Served {
    runtime: Runtime,
    router: Router,
    _chain: Chain,
}

impl Served {
    fn get() -> &'static Self {
        static SERVED: OnceLock<Served> = OnceLock::new();
        SERVED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::default());
        let chain = open(&disk, ByHand::Everything);
        let served = Self::new(chain);
        for call in setup() {
            let answer = served.answer(call.as_bytes());
            let answer: Object<'_> = serde_json::from_slice(&answer).expect("an answer");
            assert!(!is_error(&answer), "{call}: {answer:?}");
        }
        drop(served);
        Self::new(open(&disk, ByHand::Nothing))
    }

    fn new(chain: Chain) -> Self {
        let runtime = Runtime::new().expect("threads");
        Self { runtime, router: chain.router(), _chain: chain }
    }

    fn answer(&self, body: &[u8]) -> Vec<u8> {
        let request = Request::builder().method(Method::POST).uri("/");
        let request = request.body(Body::from(body.to_vec())).expect("a request");
        self.runtime.block_on(async {
            let response =
                self.router.clone().call(request).await.expect("a router always answers");
            assert_eq!(response.status(), StatusCode::OK);
            let body = to_bytes(response.into_body(), MAX_ANSWER_BYTES);
            body.await.expect("an answer of bounded size").to_vec()
        })
    }
}

fn open(disk: &Arc<dyn Disk>, by_hand: ByHand) -> Chain {
    let address = |text: &str| text.parse().expect("an address");
    let genesis = Genesis::development(7, 1_800_000_000)
        .with_account(address(SENDER), GenesisAccount::funded(U256::from(u64::MAX)))
        .with_account(
            address(LOG),
            GenesisAccount::contract(hex!("6020355f525f3560205fa100").into()),
        )
        .with_account(address(STORE), GenesisAccount::contract(hex!("6020356000355500").into()));
    let options = Options::new(genesis, ManualClock::new(1_800_000_100));
    let options = Options { mining: Mining::Manual, by_hand, ..options };
    Chain::open_on(disk.clone(), options).expect("memory does not fail")
}

/// Two blocks with a log, a slot and a transfer.
fn setup() -> Vec<String> {
    let call = |method: &str, params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
    };
    let send = |to: &str| {
        let data = format!("{:064x}{:064x}", 1, 2);
        let sent =
            format!(r#"[{{"from":"{SENDER}","to":"{to}","data":"0x{data}","gas":"0x30000"}}]"#);
        call("eth_sendTransaction", &sent)
    };
    vec![
        call("anvil_impersonateAccount", &format!(r#"["{SENDER}"]"#)),
        send(LOG),
        send(STORE),
        call("evm_mine", "[]"),
        send(SENDER),
        call("evm_mine", "[]"),
    ]
}
