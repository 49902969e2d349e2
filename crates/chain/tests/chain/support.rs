//! A served chain, a funded account, and contracts small enough to write by hand.

use std::path::Path;
use std::sync::Arc;

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, Bytes, U256, hex};
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};
use tempfile::TempDir;
use vouch_chain::{Chain, ForkPoint, Genesis, GenesisAccount, ManualClock, Options};

pub(crate) const CHAIN_ID: u64 = 0x7e57_0000;
pub(crate) const GENESIS_TIME: u64 = 1_800_000_000;
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;

/// `sstore(calldata[0], calldata[32])`
pub(crate) const STORE: [u8; 8] = hex!("6020356000355500");
/// `log1(data: calldata[32..64], topic: calldata[0..32])`
pub(crate) const LOG: [u8; 12] = hex!("6020355f525f3560205fa100");
/// `revert(calldata)`
pub(crate) const REVERT: [u8; 7] = hex!("365f5f37365ffd");
/// `return(block.timestamp)`
pub(crate) const TIMESTAMP: [u8; 7] = hex!("425f5260205ff3");

/// Init code that deploys `runtime`.
pub(crate) fn init_code(runtime: &[u8]) -> Bytes {
    let mut code = vec![0x60, u8::try_from(runtime.len()).unwrap()];
    code.extend(hex!("8060095f395ff3"));
    code.extend(runtime);
    code.into()
}

/// Two words of calldata.
pub(crate) fn words(first: u64, second: u64) -> Bytes {
    [U256::from(first).to_be_bytes::<32>(), U256::from(second).to_be_bytes::<32>()].concat().into()
}

/// A running chain with an HTTP server and a wallet that owns 1,000 ether.
pub(crate) struct Fixture {
    pub(crate) chain: Option<Chain>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) signer: PrivateKeySigner,
    /// Over HTTP, with the wallet.
    pub(crate) provider: DynProvider,
    pub(crate) url: String,
    server: tokio::task::JoinHandle<()>,
    pub(crate) dir: Arc<TempDir>,
}

pub(crate) fn genesis(owner: Address) -> Genesis {
    Genesis::development(CHAIN_ID, GENESIS_TIME)
        .with_account(owner, GenesisAccount::funded(U256::from(1000 * ETHER)))
}

pub(crate) fn options(owner: Address, clock: &Arc<ManualClock>) -> Options {
    Options::new(genesis(owner), clock.clone())
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let signer = PrivateKeySigner::random();
        Self::start_in(Arc::new(TempDir::new().unwrap()), signer, |_| {}).await
    }

    pub(crate) async fn start_in(
        dir: Arc<TempDir>,
        signer: PrivateKeySigner,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        // The workspace's reqwest comes without a TLS provider; the second install is refused.
        rustls::crypto::ring::default_provider().install_default().ok();
        let clock = Arc::new(ManualClock::new(GENESIS_TIME + 100));
        let mut options = options(signer.address(), &clock);
        change(&mut options);
        let chain = Chain::open(dir.path(), options).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = chain.router();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let provider =
            ProviderBuilder::new().wallet(signer.clone()).connect_http(url.parse().unwrap());
        provider.client().set_poll_interval(std::time::Duration::from_millis(10));
        let provider = provider.erased();
        Self { chain: Some(chain), clock, signer, provider, url, server, dir }
    }

    pub(crate) fn chain(&self) -> &Chain {
        self.chain.as_ref().unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Nothing listens any more.
    pub(crate) fn server_abort(&self) {
        self.server.abort();
    }

    /// Stops the chain and its server; the directory stays.
    pub(crate) fn stop(mut self) -> (Arc<TempDir>, PrivateKeySigner) {
        self.chain.take().unwrap().close().unwrap();
        (self.dir.clone(), self.signer.clone())
    }

    pub(crate) async fn send(&self, request: TransactionRequest) -> TransactionReceipt {
        self.provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap()
    }

    pub(crate) async fn deploy(&self, runtime: &[u8]) -> Address {
        let request = TransactionRequest::default().with_deploy_code(init_code(runtime));
        let receipt = self.send(request).await;
        assert!(receipt.status());
        receipt.contract_address.unwrap()
    }

    /// Posts a raw body and returns status and text.
    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, String) {
        let response = reqwest::Client::new()
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// One call by hand; the whole response object.
    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        serde_json::from_str(&self.post(body.to_string()).await.1).unwrap()
    }

    /// As [`Self::rpc`], which must not fail; the result.
    pub(crate) async fn result(&self, method: &str, params: Value) -> Value {
        let answer = self.rpc(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }
}

/// `return(sload(calldata[0]))`
pub(crate) const LOAD: [u8; 10] = hex!("5f35545f5260205ff3fe");
/// A contract on [`Origin`] that is [`STORE`]; its slot 1 is 5 after the block that is forked from.
pub(crate) const STORE_AT: Address = Address::repeat_byte(0xa1);
/// [`LOG`] there.
pub(crate) const LOG_AT: Address = Address::repeat_byte(0xa2);

/// A chain that others go on from: its server has threads of its own.
pub(crate) struct Origin {
    pub(crate) fixture: Option<Fixture>,
    pub(crate) url: String,
    /// The block to go on from; one more follows it.
    pub(crate) number: u64,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Origin {
    /// Must not run in a task.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (fixture, number) = runtime.block_on(async {
            let signer = PrivateKeySigner::from_slice(&[9; 32]).unwrap();
            let contract = |code: &[u8]| GenesisAccount::contract(code.to_vec().into());
            let genesis = genesis(signer.address())
                .with_account(STORE_AT, contract(&STORE))
                .with_account(LOG_AT, contract(&LOG));
            let fixture = Fixture::start_in(Arc::new(TempDir::new().unwrap()), signer, |options| {
                options.genesis = genesis;
            })
            .await;
            let call = |to: Address, first, second| {
                TransactionRequest::default().with_to(to).with_input(words(first, second))
            };
            fixture.send(call(STORE_AT, 1, 5)).await;
            fixture.send(call(LOG_AT, 7, 8)).await;
            fixture.send(call(STORE_AT, 2, 6)).await;
            let number = fixture.provider.get_block_number().await.unwrap();
            fixture.send(call(STORE_AT, 1, 99)).await;
            (fixture, number)
        });
        let url = fixture.url.clone();
        Self { fixture: Some(fixture), url, number, runtime: Some(runtime) }
    }

    /// What a fork of it begins with, where this account owns 1,000 ether.
    pub(crate) fn genesis(&self, owner: Address) -> Genesis {
        let point = ForkPoint::ask(&self.url, Some(self.number)).unwrap();
        Genesis::fork(point).with_account(owner, GenesisAccount::funded(U256::from(1000 * ETHER)))
    }

    /// A fork of it in a directory.
    pub(crate) async fn fork_in(&self, dir: Arc<TempDir>, signer: PrivateKeySigner) -> Fixture {
        let (genesis, url) = (self.genesis(signer.address()), self.url.clone());
        Fixture::start_in(dir, signer, |options| {
            (options.genesis, options.fork_url) = (genesis, Some(url));
        })
        .await
    }

    pub(crate) async fn fork(&self) -> Fixture {
        self.fork_in(Arc::new(TempDir::new().unwrap()), PrivateKeySigner::random()).await
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.fixture.take();
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.server.abort();
    }
}
