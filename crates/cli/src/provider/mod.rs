//! A provider put together: keys, store, chain, models, gateway.

pub(crate) mod models;
mod settlement;
pub(crate) mod sources;
mod storage;
mod witnessing;

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use alloy_primitives::{Address, U256};
use anyhow::Context;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use vouch_contracts::{Deployment, Governance, bindings::TestDollar::TestDollarInstance, economy};
use vouch_core::{domain::Domain, log::note, terms::LogTerms};
use vouch_evidence::Witness;
use vouch_gateway::{Config, Gateway, Limits, Sourcing};
use vouch_settle::{Endpoints, Finality, Schedule, Sending, Settler};
use vouch_store::Store;
use vouch_wallet::{LogKey, Wallet};
use vouch_wire::vouch::Asset;

use crate::{
    arguments::{Sale, Storage},
    embedder::Embedder,
    money::Dollars,
    output::Output,
    serve,
    time::unix_milliseconds,
};
use settlement::OnSettler;
use sources::GrantedData;
use witnessing::Asked;

/// Where the gateway listens, where nothing is said.
const DEFAULT_LISTEN: SocketAddr = serve::loopback(4020);
/// x402's shortest delay would leave a day's outage unanswered; a day does not.
const WITHDRAW_DELAY_S: u64 = 24 * 60 * 60;
/// What stock clients are told to deposit: some thousand short answers.
const MIN_DEPOSIT: u128 = 500_000;
const QUANTUM_TOKENS: u32 = 64;
const MERGE_DELAY_S: u32 = 60;
/// What a sourced request costs more, in dollars, where nothing is said: four sources at market
/// prices of a twentieth of a cent.
const SOURCE_PRICE: Dollars = Dollars(2_000);
const MAX_SOURCES: u32 = 4;
/// The payer reserves a token for each; some six passages of 80 words.
const MAX_SOURCE_BYTES: u32 = 3_072;

/// The keys of a provider, in `data_dir/provider`.
pub(crate) struct Keys {
    pub(crate) wallet: Arc<Wallet>,
    log: Arc<LogKey>,
}

impl Keys {
    pub(crate) fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let directory = data_dir.join("provider");
        let passphrase = crate::passphrase();
        Ok(Self {
            wallet: Arc::new(Wallet::open_or_create(&directory, &passphrase)?),
            log: Arc::new(LogKey::open_or_create(&directory, &passphrase)?),
        })
    }

    /// The name of the provider's log for a settlement.
    pub(crate) fn origin(&self, domain: Domain) -> String {
        format!("vouch.localhost/{}/{:x}", domain.chain, self.wallet.address())
    }
}

/// Where a provider settles.
pub(crate) struct Settling {
    pub(crate) endpoints: Endpoints,
    pub(crate) deployment: Deployment,
    /// The economy's contracts by name, where they stand.
    pub(crate) contracts: BTreeMap<String, Address>,
    /// The chain's address for buyers, where the provider runs it.
    pub(crate) rpc: Option<String>,
    /// When a deposit counts.
    pub(crate) finality: Finality,
    /// How old the newest block may be.
    pub(crate) head_age: Option<Duration>,
    pub(crate) sending: Sending,
    pub(crate) schedule: Schedule,
}

/// A provider that is ready to serve.
pub(crate) struct Provider {
    gateway: Gateway,
    listener: TcpListener,
    settler: Arc<Settler>,
    schedule: Schedule,
    store: Arc<dyn Store>,
    /// Witnesses that are asked for cosignatures.
    asked: Vec<Asked>,
    url: String,
    model: String,
    /// The model for embeddings, where one is sold.
    embedding: Option<String>,
    address: String,
}

impl Provider {
    pub(crate) async fn start(
        data_dir: &Path,
        keys: Keys,
        settling: Settling,
        sale: &Sale,
        storage: &Storage,
    ) -> anyhow::Result<Self> {
        let (listener, address) =
            serve::bind(sale.listen.unwrap_or(DEFAULT_LISTEN), "--listen").await?;
        let url = format!("http://{address}");
        let deployment = settling.deployment;
        let domain = Domain { chain: deployment.chain_id, settlement: deployment.settlement };
        let origin = keys.origin(domain);
        let store = open_store(data_dir, domain, &origin, &keys, storage)?;
        let mut settler = Settler::new(
            settling.endpoints,
            &keys.wallet,
            deployment,
            store.clone(),
            settling.finality,
        )?
        .sending(settling.sending)
        .remembering(&data_dir.join("provider").join("outbox"))?;
        if let Some(receiver) = sale.receiver {
            settler = settler.paying(receiver);
        }
        if let Some(limit) = settling.head_age {
            settler = settler.with_head_age(limit, Arc::new(unix_milliseconds));
        }
        if let Some(faults) = settling.contracts.get("faults") {
            settler = settler.answering(*faults);
        }
        // A log behind its own anchor is an older copy of the data: going on would fork it.
        if let Some((size, root)) = settler.anchored(&origin).await? {
            store.check_extends(size, root)?;
        }
        let witnesses = witnesses(&sale.witnesses)?;
        let mut asked = Asked::of(&witnesses)?;
        for witness in &mut asked {
            witness.check(store.as_ref()).await?;
        }
        // Ready means ready: until the chain was seen, calls are refused.
        settler.catch_up(settling.schedule.blocks_a_query).await;
        let (models, embedder) = models::load(sale).await?;
        let mut names = models.iter().map(|model| model.name.clone());
        let (name, embedding) = (names.next().unwrap_or_default(), names.next());
        let sourcing = sourcing(data_dir, &settler, &keys, sale, embedder).await?;
        let asset = asset(&settler).await?;
        let faucet = settling.rpc.is_some();
        let config = Config {
            public_url: url.clone(),
            domain,
            collector: deployment.collector,
            anchor: Some(deployment.anchor),
            contracts: settling.contracts,
            rpc: settling.rpc,
            faucet,
            provider: keys.wallet.address(),
            receiver: sale.receiver,
            agent: U256::ZERO,
            receiver_authorizer: keys.wallet.address(),
            withdraw_delay_s: WITHDRAW_DELAY_S,
            asset,
            min_deposit: MIN_DEPOSIT,
            quantum_tokens: sale.quantum.unwrap_or(QUANTUM_TOKENS),
            log: LogTerms {
                key: keys.log.verifier(&origin).to_string(),
                origin,
                merge_delay_s: MERGE_DELAY_S,
            },
            witnesses: witnesses.into_iter().map(|witness| witness.key).collect(),
            limits: Limits::default(),
        };
        let address = config.provider.to_string();
        let settler = Arc::new(settler);
        let settlement = Arc::new(OnSettler(settler.clone()));
        let gateway = Gateway::with_sources(
            config,
            store.clone(),
            models,
            sourcing,
            settlement,
            Arc::new(unix_milliseconds),
        )?;
        Ok(Self {
            gateway,
            listener,
            settler,
            schedule: settling.schedule,
            store,
            asked,
            url,
            model: name,
            embedding,
            address,
        })
    }

    /// Says that it is ready; `chain` is named if it runs here.
    pub(crate) fn announce(&self, chain: Option<&str>, output: Output) -> anyhow::Result<()> {
        let value = json!({
            "gateway": self.url,
            "chain": chain,
            "chainId": self.settler.deployment().chain_id,
            "model": self.model,
            "embeddingModel": self.embedding,
            "provider": self.address,
            "asset": self.settler.deployment().token,
        });
        output.ready(&value, || {
            let chain = chain.map(|chain| format!("  chain     {chain}\n")).unwrap_or_default();
            let embedding =
                self.embedding.as_ref().map(|name| format!(" and {name}")).unwrap_or_default();
            format!(
                "vouch sells {}{embedding}\n  gateway   {}/v1\n{chain}  provider  {}\n\nAsk it:   vouch ask \"What is a receipt?\"\nUse it:   vouch connect --budget 5   then any OpenAI client at http://127.0.0.1:4021/v1\nCtrl-C ends it; nothing that was acknowledged is lost.",
                self.model, self.url, self.address
            )
        })
    }

    /// Serves until `end` is ready; then finishes what runs, anchors, and settles what is due.
    pub(crate) async fn serve(self, end: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let (stop, stopped) = watch::channel(false);
        let settler = self.settler.clone();
        let schedule = self.schedule;
        let following = tokio::spawn(async move { settler.follow(schedule, stopped).await });
        // Ended when they are dropped.
        let mut witnesses = JoinSet::new();
        for witness in self.asked {
            witnesses.spawn(witness.follow(self.store.clone()));
        }
        let served = self.gateway.serve(self.listener, end).await;
        // Nobody listens only if following has ended by itself.
        let _told = stop.send(true);
        following.await?;
        self.settler.anchor_newest().await;
        served.context("the gateway failed")
    }
}

/// Answers from granted data, where they are sold; searched by the embedding model that is sold, if
/// that is the one of the index.
async fn sourcing(
    data_dir: &Path,
    settler: &Settler,
    keys: &Keys,
    sale: &Sale,
    sold: Option<Embedder>,
) -> anyhow::Result<Option<Sourcing>> {
    if !sale.sources {
        return Ok(None);
    }
    let provider = keys.wallet.address();
    // The registry stands at one address whoever governs.
    let registry = economy(&Governance::development(provider))?.consent;
    let chain = settler.provider().clone();
    let embedder = Embedder::open_or(sold).await?;
    let data = GrantedData::open(data_dir, chain, registry, provider, embedder).await?;
    Ok(Some(Sourcing {
        sources: Arc::new(data),
        price: sale.source_price.unwrap_or(SOURCE_PRICE).0,
        max_sources: MAX_SOURCES,
        max_bytes: MAX_SOURCE_BYTES,
    }))
}

pub(crate) fn open_store(
    data_dir: &Path,
    domain: Domain,
    origin: &str,
    keys: &Keys,
    storage: &Storage,
) -> anyhow::Result<Arc<dyn Store>> {
    let (promises, checkpoints, log) = (keys.wallet.clone(), keys.wallet.clone(), keys.log.clone());
    let config = vouch_store::Config::new(
        domain,
        origin.to_owned(),
        Arc::new(unix_milliseconds),
        Arc::new(move |promise| Ok(promises.sign(promise.digest(&domain)))),
        Arc::new(move |checkpoint| {
            let signature = checkpoints.sign(checkpoint.digest());
            Ok(vec![
                log.sign(&checkpoint.origin, &checkpoint.text()),
                note::sign_eip712(&checkpoint.origin, checkpoints.address(), &signature),
            ])
        }),
    );
    storage::open(storage, &data_dir.join("provider").join("store"), config)
}

/// What the token says of itself.
async fn asset(settler: &Settler) -> anyhow::Result<Asset> {
    let address = settler.deployment().token;
    let token = TestDollarInstance::new(address, settler.provider());
    Ok(Asset {
        address,
        name: token.name().call().await.context("the token has no name")?,
        version: token.version().call().await.context("the token has no EIP-712 version")?,
        decimals: token.decimals().call().await.context("the token has no decimals")?,
        symbol: token.symbol().call().await.context("the token has no symbol")?,
    })
}

fn witnesses(named: &[String]) -> anyhow::Result<Vec<Witness>> {
    named.iter().map(|named| crate::witnesses::parse(named)).collect()
}
