//! The node of the other chain: JSON-RPC over HTTP, asked from threads that may wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use alloy::rpc::types::Block;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use reqwest::{Client, StatusCode, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::ForkPoint;
use super::values::Found;
use crate::rpc::quote;
use crate::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a request is made that a busy network or node has not answered.
const ATTEMPTS: u32 = 5;
/// Before the second attempt; each later one waits twice as long.
const BACKOFF: Duration = Duration::from_millis(250);
/// Accounts, three requests each, and slots that are asked for at once.
const AT_ONCE: usize = 8;
/// The longest answer that is read.
const MAX_BYTES: usize = 64 << 20;
/// What a node says that does not know how to name a block by its hash (EIP-1898).
const INVALID_PARAMS: i64 = -32602;
/// "Limit exceeded" (EIP-1474), and what some providers say in its place.
const TOO_MANY: [i64; 2] = [-32005, 429];

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// The node refuses.
    #[error("{host} says: {message}")]
    Refused { host: String, code: i64, message: String, data: Option<Value> },
    /// It is a node of another chain.
    #[error("{0}")]
    Other(String),
    /// It has no such block.
    #[error("{host} has {what}")]
    Missing { host: String, what: String },
    /// It cannot be reached, or does not speak JSON-RPC.
    #[error("{0}")]
    Unanswered(String),
}

impl Failure {
    pub(super) fn no_node() -> Self {
        Self::Unanswered("its node is not named: start with --fork-url".to_owned())
    }
}

/// The block whose state is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) number: u64,
    pub(super) hash: B256,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Remote {
    asking: Arc<Asking>,
    /// Always there until this is dropped.
    runtime: Option<Runtime>,
}

struct Asking {
    client: Client,
    url: Url,
    ids: AtomicU64,
    at_once: Semaphore,
    /// Whether it takes no block hashes in place of numbers (EIP-1898).
    by_number: AtomicBool,
}

impl std::fmt::Debug for Asking {
    /// Without the address, which may have a secret in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("host", &self.host()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

/// All that is read of a block.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Numbered {
    number: U64,
    hash: B256,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mined {
    block_number: Option<U64>,
}

type Told<T> = std::result::Result<T, Failure>;

impl Remote {
    /// Of the node at an address, which is not asked yet.
    pub(super) fn new(url: &str) -> Result<Self> {
        // The address may have a key in it that is for nobody else.
        let wrong = |why: &dyn std::fmt::Display| {
            Error::Fork(format!("the address of its node cannot be used: {why}"))
        };
        let url_of = Url::parse(url).map_err(|error| wrong(&error))?;
        if !matches!(url_of.scheme(), "http" | "https") {
            return Err(wrong(&"want an address that begins with http:// or https://"));
        }
        if rustls::crypto::CryptoProvider::get_default().is_none()
            && rustls::crypto::ring::default_provider().install_default().is_err()
        {
            tracing::trace!("another thread has just installed a TLS provider");
        }
        let mut client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none());
        if matches!(url_of.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| wrong(&error.without_url()))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("chain fork")
            .enable_all()
            .build()
            .map_err(|e| Error::System { what: "a thread", reason: e.to_string() })?;
        let (ids, at_once) = (AtomicU64::new(1), Semaphore::new(AT_ONCE));
        let by_number = AtomicBool::new(false);
        let asking = Arc::new(Asking { client, url: url_of, ids, at_once, by_number });
        Ok(Self { asking, runtime: Some(runtime) })
    }

    /// Runs on the threads here and waits for it, also where the caller is a task of its own.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Told<T>> + Send + 'static,
    ) -> Told<T> {
        let ended = || Failure::Unanswered("the thread that asks it has ended".to_owned());
        let (answer, answered) = mpsc::sync_channel(1);
        let runtime = self.runtime.as_ref().ok_or_else(ended)?;
        runtime.spawn(async move { drop(answer.send(work.await)) });
        answered.recv().map_err(|_| ended())?
    }

    /// A request of somebody else, who may make it again.
    pub(super) fn call(&self, method: &str, params: Value) -> Told<Value> {
        let (asking, method) = (self.asking.clone(), method.to_owned());
        self.wait(async move { asking.ask(&method, &params, 1).await })
    }

    /// A block: the newest if none is named.
    pub(super) fn point(&self, number: Option<u64>) -> Told<ForkPoint> {
        let asking = self.asking.clone();
        self.wait(async move { asking.point(number, ATTEMPTS).await })
    }

    /// As [`Self::point`], asked once.
    pub(super) fn point_once(&self, number: u64) -> Told<ForkPoint> {
        let asking = self.asking.clone();
        self.wait(async move { asking.point(Some(number), 1).await })
    }

    /// Accounts after a block.
    pub(super) fn accounts(&self, addresses: &[Address], after: At) -> Told<Vec<(Address, Found)>> {
        let ask =
            move |asking: Arc<Asking>, address| async move { asking.account(address, after).await };
        self.all(addresses, ask)
    }

    /// Slots after a block.
    pub(super) fn slots(
        &self,
        slots: &[(Address, U256)],
        after: At,
    ) -> Told<Vec<((Address, U256), U256)>> {
        let ask = move |asking: Arc<Asking>, (address, key)| async move {
            asking.slot(address, key, after).await
        };
        self.all(slots, ask)
    }

    /// Asks for all of them at once.
    fn all<K, V, F>(
        &self,
        keys: &[K],
        ask: impl Fn(Arc<Asking>, K) -> F + Send + 'static,
    ) -> Told<Vec<(K, V)>>
    where
        K: Copy + Send + 'static,
        V: Send + 'static,
        F: Future<Output = Told<V>> + Send + 'static,
    {
        let (asking, keys) = (self.asking.clone(), keys.to_vec());
        self.wait(async move {
            let mut asked = JoinSet::new();
            for key in keys {
                let answer = ask(asking.clone(), key);
                asked.spawn(async move { (key, answer.await) });
            }
            let mut found = Vec::with_capacity(asked.len());
            while let Some(done) = asked.join_next().await {
                let ended = |error| Failure::Unanswered(format!("a request ended: {error}"));
                let (key, value) = done.map_err(ended)?;
                found.push((key, value?));
            }
            Ok(found)
        })
    }

    pub(super) fn block_hash(&self, number: u64) -> Told<B256> {
        let asking = self.asking.clone();
        self.wait(async move {
            let params = json!([U64::from(number), false]);
            let block: Option<Numbered> =
                asking.ask("eth_getBlockByNumber", &params, ATTEMPTS).await?;
            let missing = || Failure::Unanswered(format!("its node has no block {number}"));
            Ok(block.ok_or_else(missing)?.hash)
        })
    }

    /// The number of the block with this hash, if there is one.
    pub(super) fn number_of(&self, hash: B256) -> Told<Option<u64>> {
        let asking = self.asking.clone();
        self.wait(async move {
            let params = json!([hash, false]);
            let block: Option<Numbered> =
                asking.ask("eth_getBlockByHash", &params, ATTEMPTS).await?;
            Ok(block.map(|block| block.number.to()))
        })
    }

    /// The number of the block that has this transaction, if one has.
    pub(super) fn number_of_transaction(&self, hash: B256) -> Told<Option<u64>> {
        let asking = self.asking.clone();
        self.wait(async move {
            let found: Option<Mined> =
                asking.ask("eth_getTransactionByHash", &json!([hash]), ATTEMPTS).await?;
            Ok(found.and_then(|found| found.block_number).map(|number| number.to()))
        })
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // The last of it may be dropped by a task, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Asking {
    async fn point(&self, number: Option<u64>, attempts: u32) -> Told<ForkPoint> {
        let chain_id: U64 = self.ask("eth_chainId", &json!([]), attempts).await?;
        let named = number.map_or_else(|| json!("latest"), |number| json!(U64::from(number)));
        let params = json!([named, false]);
        let block: Option<Block> = self.ask("eth_getBlockByNumber", &params, attempts).await?;
        let missing = || {
            let named = number.map_or_else(|| "no block".to_owned(), |n| format!("no block {n}"));
            Failure::Missing { host: self.host().to_owned(), what: named }
        };
        let header = block.ok_or_else(missing)?.header;
        Ok(ForkPoint { chain_id: chain_id.to(), hash: header.hash, header: header.inner })
    }

    async fn account(&self, address: Address, after: At) -> Told<Found> {
        let _permit = self.at_once.acquire().await;
        let params = vec![json!(address)];
        let (nonce, balance, code) = tokio::try_join!(
            self.ask_after::<U64>("eth_getTransactionCount", &params, after),
            self.ask_after::<U256>("eth_getBalance", &params, after),
            self.ask_after::<Bytes>("eth_getCode", &params, after),
        )?;
        Ok(Found { nonce: nonce.to(), balance, code })
    }

    async fn slot(&self, address: Address, key: U256, after: At) -> Told<U256> {
        let _permit = self.at_once.acquire().await;
        let params = vec![json!(address), json!(B256::from(key))];
        let word: String = self.ask_after("eth_getStorageAt", &params, after).await?;
        // Some leave out zeros, or all of it.
        let digits = word.strip_prefix("0x").unwrap_or(&word);
        let value = match digits {
            "" => Ok(U256::ZERO),
            _ => U256::from_str_radix(digits, 16),
        };
        value.map_err(|_| {
            Failure::Unanswered(format!("{} answered a slot with no word", self.host()))
        })
    }

    /// A request about the state after a block: by its hash, so that a reorganisation is noticed, or
    /// by its number where the node does not know how.
    async fn ask_after<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &[Value],
        after: At,
    ) -> Told<T> {
        let with = |block: Value| Value::Array([params, &[block]].concat());
        let numbered = with(json!(U64::from(after.number)));
        if self.by_number.load(Ordering::Relaxed) {
            return self.ask(method, &numbered, ATTEMPTS).await;
        }
        let hashed = with(json!({ "blockHash": after.hash }));
        match self.ask(method, &hashed, ATTEMPTS).await {
            Err(Failure::Refused { code: INVALID_PARAMS, .. }) => {
                let told = self.ask(method, &numbered, ATTEMPTS).await?;
                self.by_number.store(true, Ordering::Relaxed);
                Ok(told)
            }
            told => told,
        }
    }

    /// One request, again where that may help.
    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &Value,
        attempts: u32,
    ) -> Told<T> {
        let mut backoff = BACKOFF;
        for _ in 1..attempts {
            match self.try_ask(method, params).await {
                Err((_, true)) => tokio::time::sleep(backoff).await,
                told => return told.map_err(|(failure, _)| failure),
            }
            backoff *= 2;
        }
        self.try_ask(method, params).await.map_err(|(failure, _)| failure)
    }

    /// The failure, and whether another attempt may help.
    async fn try_ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &Value,
    ) -> std::result::Result<T, (Failure, bool)> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let (status, body) = self.post(&request).await.map_err(|failure| (failure, true))?;
        let answer: Answer<'_> = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            Err(_) => {
                let busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
                let said = quote(&String::from_utf8_lossy(&body));
                let why = format!("{} answered {method} with {status}: {said}", self.host());
                return Err((Failure::Unanswered(why), busy));
            }
        };
        if let Some(Refusal { code, message, data }) = answer.error {
            let busy = TOO_MANY.contains(&code) || status == StatusCode::TOO_MANY_REQUESTS;
            let (host, message) = (self.host().to_owned(), quote(&message));
            return Err((Failure::Refused { host, code, message, data }, busy));
        }
        let result = answer.result.map_or("null", RawValue::get);
        serde_json::from_str(result).map_err(|error| {
            let why = format!("{} answered {method} with something else: {error}", self.host());
            (Failure::Unanswered(why), false)
        })
    }

    async fn post(&self, request: &Value) -> Told<(StatusCode, Vec<u8>)> {
        let unreached = |error: reqwest::Error| {
            let error = error.without_url();
            let mut why = error.to_string();
            // The words of the last cause are those that help.
            let mut cause = std::error::Error::source(&error);
            while let Some(deeper) = cause {
                why = deeper.to_string();
                cause = deeper.source();
            }
            Failure::Unanswered(format!("{} cannot be reached: {}", self.host(), quote(&why)))
        };
        let sent = self.client.post(self.url.clone()).json(request).send().await;
        let mut answer = sent.map_err(unreached)?;
        let (status, mut body) = (answer.status(), Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(unreached)? {
            if body.len() + chunk.len() > MAX_BYTES {
                let why = format!("{} answered with more than {MAX_BYTES} bytes", self.host());
                return Err(Failure::Unanswered(why));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }

    /// What may be told of the address: the rest of it may be a secret.
    fn host(&self) -> &str {
        self.url.host_str().unwrap_or("the node")
    }
}
