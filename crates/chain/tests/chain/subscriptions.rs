//! News over a WebSocket, by a foreign implementation of it.

use alloy::network::TransactionBuilder;
use alloy::primitives::{B256, U256};
use alloy::rpc::types::TransactionRequest;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::{Fixture, LOG, words};

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(fixture: &Fixture) -> Self {
        Self(connect_async(fixture.url.replace("http", "ws")).await.unwrap().0)
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.0.next().await.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// Sends text and gives what comes next.
    async fn say(&mut self, text: String) -> Value {
        self.0.send(Message::text(text)).await.unwrap();
        self.next().await
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        self.say(call.to_string()).await
    }
}

fn told<'a>(news: &'a [Value], subscription: &Value) -> Vec<&'a Value> {
    let of = news.iter().map(|news| &news["params"]);
    of.filter(|of| of["subscription"] == *subscription).map(|of| &of["result"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_logs_and_waiting_transactions_are_told() {
    let fixture = Fixture::start().await;
    let contract = fixture.deploy(&LOG).await;
    let mut socket = Socket::open(&fixture).await;
    let heads = socket.ask("eth_subscribe", json!(["newHeads"])).await["result"].clone();
    let topic = B256::from(U256::from(5));
    let filter = json!(["logs", { "address": contract, "topics": [topic] }]);
    let logs = socket.ask("eth_subscribe", filter).await["result"].clone();
    let hashes = socket.ask("eth_subscribe", json!(["newPendingTransactions"])).await;
    let hashes = hashes["result"].clone();
    let mut receipts = Vec::new();
    for topic in [5, 6] {
        let request = TransactionRequest::default().with_to(contract).with_input(words(topic, 9));
        receipts.push(fixture.send(request).await);
    }
    // Two blocks, two transactions, one log.
    let mut news = Vec::new();
    for _ in 0..5 {
        news.push(socket.next().await);
    }
    for (seen, receipt) in told(&news, &heads).iter().zip(&receipts) {
        assert_eq!(seen["hash"], json!(receipt.block_hash));
        assert_eq!(seen["number"], json!(format!("{:#x}", receipt.block_number.unwrap())));
    }
    let sent: Vec<Value> = receipts.iter().map(|one| json!(one.transaction_hash)).collect();
    assert_eq!(told(&news, &hashes), sent.iter().collect::<Vec<_>>());
    let [log] = told(&news, &logs)[..] else { panic!("{news:?}") };
    assert_eq!(log["topics"], json!([topic]));
    assert_eq!(log["transactionHash"], sent[0]);

    // What has ended is told no more; calls are answered here as over HTTP.
    for subscription in [&heads, &hashes] {
        let ended = socket.ask("eth_unsubscribe", json!([subscription])).await;
        assert_eq!(ended["result"], true, "{ended}");
    }
    let again = socket.ask("eth_unsubscribe", json!([heads])).await;
    assert_eq!(again["error"]["code"], -32000);
    fixture.rpc("evm_mine", json!([])).await;
    assert_eq!(socket.ask("eth_blockNumber", json!([])).await["result"], "0x4");
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},{"jsonrpc":"2.0","id":2,"method":"x"}]"#;
    let answers = socket.say(batch.to_owned()).await;
    assert_eq!(answers[1]["error"]["code"], -32601, "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_subscribed_to_is_said_and_the_rest_is_bounded() {
    let fixture = Fixture::start().await;
    let over_http = fixture.rpc("eth_subscribe", json!(["newHeads"])).await;
    assert_eq!(over_http["error"]["code"], -32601);
    let mut socket = Socket::open(&fixture).await;
    assert_eq!(socket.say("no JSON".to_owned()).await["error"]["code"], -32700);
    let past = json!(["logs", { "blockHash": B256::ZERO }]);
    for wrong in [json!([]), json!(["syncing"]), json!(["newHeads", 1]), json!([7]), past] {
        let answer = socket.ask("eth_subscribe", wrong.clone()).await;
        assert_eq!(answer["error"]["code"], -32602, "{wrong}: {answer}");
    }
    for _ in 0..128 {
        assert!(socket.ask("eth_subscribe", json!(["newHeads"])).await["result"].is_string());
    }
    let more = socket.ask("eth_subscribe", json!(["newHeads"])).await;
    assert_eq!(more["error"]["code"], -32005, "{more}");
    // A message that is too long ends the connection, and nothing else.
    let long = " ".repeat(9 << 20);
    socket.0.send(Message::text(long)).await.unwrap_or_default();
    let mut other = Socket::open(&fixture).await;
    assert!(other.ask("eth_chainId", json!([])).await["result"].is_string());
    while let Some(Ok(message)) = socket.0.next().await {
        assert!(message.is_close(), "{message:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_bounded_and_come_free_again() {
    let fixture = Fixture::start().await;
    let mut sockets = Vec::new();
    for _ in 0..256 {
        sockets.push(Socket::open(&fixture).await);
    }
    let url = fixture.url.replace("http", "ws");
    let refused = connect_async(&url).await.unwrap_err().to_string();
    assert!(refused.contains("503"), "{refused}");
    drop(sockets);
    // The other side notices in its own time.
    for _ in 0..100 {
        if connect_async(&url).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no socket came free");
}
