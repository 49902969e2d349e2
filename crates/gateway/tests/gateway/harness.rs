//! A gateway that listens, with all its parts at hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{Address, B256, U256};
use ed25519_dalek::SigningKey;
use secp256k1::SecretKey;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use vouch_core::{
    domain::Domain,
    log::note::{self, Verifier},
    money::Prices,
    signature::{Signature, address_of},
    terms::LogTerms,
};
use vouch_gateway::{
    Config, Gateway, Limits, ModelConfig, ModelEngine, Settlement, Sourcing, TokenizerDocument,
};
use vouch_store::{EmbeddedStore, Store};
use vouch_wire::{
    openai::ModelList,
    vouch::{Asset, ModelInfo},
};

use crate::{
    fake_settlement::FakeSettlement, stub_embedder::StubEmbedder, stub_engine::StubEngine,
};

pub const ORIGIN: &str = "log.example/vouch";
pub const PRICES: Prices =
    Prices { input: 1_000_000, cached: 500_000, output: 10_000_000, request: 5 };
pub const QUANTUM: u32 = 8;
pub const NOW_S: u64 = 1_800_000_000;

pub fn secret(byte: u8) -> SecretKey {
    SecretKey::from_byte_array([byte; 32]).unwrap()
}

pub fn provider() -> Address {
    address_of(&secret(1))
}

pub fn witness() -> SigningKey {
    SigningKey::from_bytes(&[8; 32])
}

pub fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

pub const DOMAIN: Domain = Domain { chain: 31337, settlement: Address::repeat_byte(0x40) };

pub struct Harness {
    pub url: String,
    pub store: Arc<EmbeddedStore>,
    pub chain: Arc<FakeSettlement>,
    pub http: reqwest::Client,
    /// Where true, promises can no longer be signed, which stops the store.
    pub broken: Arc<AtomicBool>,
    clock_ms: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
    dir: TempDir,
}

pub fn limits() -> Limits {
    Limits {
        max_body_bytes: 64 << 10,
        voucher_timeout: Duration::from_secs(5),
        busy_timeout: Duration::from_millis(200),
        queue_timeout: Duration::from_millis(200),
        shutdown_grace: Duration::from_millis(200),
        default_max_tokens: 16,
        ..Limits::default()
    }
}

impl Harness {
    /// A gateway that sells these engines under their entries' names.
    pub async fn start(engines: Vec<StubEngine>) -> Self {
        Self::start_with(engines, limits()).await
    }

    pub async fn start_with(engines: Vec<StubEngine>, limits: Limits) -> Self {
        let models = engines.into_iter().map(model).collect();
        Self::start_in(tempfile::tempdir().unwrap(), models, limits, None).await
    }

    /// A gateway that sells a generator `m`, and an embedder `e`.
    pub async fn with_embedder() -> Self {
        let mut embedder = model(StubEngine::new("e"));
        embedder.engine = ModelEngine::Embedder(Arc::new(StubEmbedder::new("e")));
        let models = vec![model(StubEngine::new("m")), embedder];
        Self::start_in(tempfile::tempdir().unwrap(), models, limits(), None).await
    }

    /// Sells them with sources, too.
    pub async fn start_sourced(
        engines: Vec<StubEngine>,
        limits: Limits,
        sourcing: Sourcing,
    ) -> Self {
        let models = engines.into_iter().map(model).collect();
        Self::start_in(tempfile::tempdir().unwrap(), models, limits, Some(sourcing)).await
    }

    /// The same store, sold from by another gateway.
    pub async fn restart(mut self, engines: Vec<StubEngine>) -> Self {
        self.stop.take().unwrap().send(()).unwrap();
        self.served.await.unwrap().unwrap();
        let Self { store, chain, dir, .. } = self;
        drop((store, chain));
        let models = engines.into_iter().map(model).collect();
        Self::start_in(dir, models, limits(), None).await
    }

    async fn start_in(
        dir: TempDir,
        models: Vec<ModelConfig>,
        limits: Limits,
        sourcing: Option<Sourcing>,
    ) -> Self {
        let clock_ms = Arc::new(AtomicU64::new(NOW_S * 1000));
        let clock: vouch_store::Clock = {
            let clock_ms = Arc::clone(&clock_ms);
            Arc::new(move || clock_ms.load(Ordering::SeqCst))
        };
        let broken = Arc::new(AtomicBool::new(false));
        let store = Arc::new(open_store(&dir, Arc::clone(&clock), Arc::clone(&broken)));
        store.set_recent_block(B256::repeat_byte(0xb1));
        let chain = Arc::new(FakeSettlement::new(DOMAIN));
        chain.store.set(Arc::clone(&store) as Arc<dyn Store>).unwrap();
        let gateway = Gateway::with_sources(
            config(limits),
            Arc::clone(&store) as Arc<dyn Store>,
            models,
            sourcing,
            Arc::clone(&chain) as Arc<dyn Settlement>,
            clock,
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let stopping = async move {
            stopped.await.ok();
        };
        let served = tokio::spawn(gateway.serve(listener, stopping));
        // Another test of this process may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let stop = Some(stop);
        Self { url, store, chain, http, broken, clock_ms, stop, served, dir }
    }

    pub fn advance(&self, seconds: u64) {
        self.clock_ms.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub async fn model(&self, name: &str) -> ModelInfo {
        let list: ModelList = self.get("/v1/models").await.json().await.unwrap();
        list.data.into_iter().find(|model| model.id == name).unwrap().vouch.unwrap()
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    /// Asks the server to stop; resolves when it has.
    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.served).await.unwrap().unwrap().unwrap();
    }

    /// Why the server ended by itself.
    pub async fn ended(self) -> std::io::Error {
        tokio::time::timeout(Duration::from_secs(10), self.served)
            .await
            .unwrap()
            .unwrap()
            .unwrap_err()
    }

    /// The server's own end of the stop, while the test goes on.
    pub fn begin_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }
}

fn open_store(dir: &TempDir, clock: vouch_store::Clock, broken: Arc<AtomicBool>) -> EmbeddedStore {
    let config = vouch_store::Config::new(
        DOMAIN,
        ORIGIN.into(),
        clock,
        Arc::new(move |promise| {
            if broken.load(Ordering::SeqCst) {
                return Err("/a/secret/path is full".into());
            }
            Ok(Signature::sign(promise.digest(&DOMAIN), &secret(1)))
        }),
        Arc::new(|checkpoint| {
            let signature = Signature::sign(checkpoint.digest(), &secret(1));
            Ok(vec![
                note::sign_ed25519(ORIGIN, &log_key(), &checkpoint.text()),
                note::sign_eip712(ORIGIN, provider(), &signature),
            ])
        }),
    );
    EmbeddedStore::open(dir.path(), config).unwrap().0
}

fn model(engine: StubEngine) -> ModelConfig {
    use vouch_model::Engine as _;
    ModelConfig {
        name: engine.entry().card.name.clone(),
        engine: ModelEngine::Generator(Arc::new(engine)),
        prices: PRICES,
        tokenizer: Some(TokenizerDocument {
            sha256: B256::repeat_byte(0x70),
            json: bytes::Bytes::from_static(b"{}"),
        }),
    }
}

fn config(limits: Limits) -> Config {
    Config {
        public_url: "http://gateway.example".into(),
        domain: DOMAIN,
        collector: Address::repeat_byte(0x41),
        anchor: None,
        rpc: None,
        faucet: true,
        provider: provider(),
        contracts: std::collections::BTreeMap::new(),
        receiver: None,
        agent: U256::ZERO,
        receiver_authorizer: provider(),
        withdraw_delay_s: 3600,
        asset: Asset {
            address: Address::repeat_byte(0x42),
            name: "Test Dollar".into(),
            version: "1".into(),
            decimals: 6,
            symbol: "TUSD".into(),
        },
        min_deposit: 1_000_000,
        quantum_tokens: QUANTUM,
        log: LogTerms {
            origin: ORIGIN.into(),
            key: Verifier::log(ORIGIN, &log_key()).to_string(),
            merge_delay_s: 60,
        },
        witnesses: vec![Verifier::witness("witness.example", &witness())],
        limits,
    }
}
