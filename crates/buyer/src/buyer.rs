use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use parking_lot::{Mutex, MutexGuard};
use reqwest::{Client, redirect};
use tokio::time::{Instant, timeout_at};
use vouch_core::{Address, B256, bundle::Bundle};
use vouch_journal::Disk;
use vouch_wallet::Wallet;
use vouch_wire::vouch::{ModelInfo, ProviderDocument};

use crate::{
    Clock, Error, Policy,
    error::printable,
    seller::Seller,
    state::{Record, State},
};

/// The buyer: a wallet, its books, and the providers it may deal with. Clones share it.
///
/// Each method may be called from any task. A call that was begun goes on in a task of its own, so
/// that dropping what waits for it loses no receipt.
#[derive(Clone)]
pub struct Buyer {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) policy: Policy,
    pub(crate) clock: Clock,
    pub(crate) wallet: Wallet,
    http: Client,
    /// For chains: as `http`, with a limit on the whole of a request.
    chain_http: Client,
    urls: Vec<String>,
    dir: PathBuf,
    state: Mutex<State>,
    sellers: Mutex<BTreeMap<String, Arc<Seller>>>,
    claimed: Mutex<BTreeSet<B256>>,
}

/// The right to send a call and to settle it, which one task has at a time: else the background
/// would repeat, and stop, a call that is only now being answered.
pub(crate) struct Claim {
    inner: Arc<Inner>,
    nonce: B256,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.inner.claimed.lock().remove(&self.nonce);
    }
}

/// How long the other providers have once one sells what is asked for.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(1);
/// A chain that is silent for so long is taken for gone.
const CHAIN_TIMEOUT: Duration = Duration::from_secs(20);

impl fmt::Debug for Buyer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { wallet, urls, .. } = self.inner.as_ref();
        f.debug_struct("Buyer").field("wallet", wallet).field("urls", urls).finish_non_exhaustive()
    }
}

impl Buyer {
    /// Opens the buyer whose state is in `dir` (one process at a time), to deal with the providers
    /// at these addresses, such as `http://127.0.0.1:4020`. Talks to nobody yet.
    ///
    /// The process must have installed a `rustls` crypto provider.
    ///
    /// # Errors
    /// [`Error::Journal`] or [`Error::State`] if the state cannot be read.
    pub fn open(
        dir: &Path,
        wallet: Wallet,
        policy: Policy,
        clock: Clock,
        providers: &[String],
    ) -> Result<Self, Error> {
        let state = State::open(dir, policy.total, policy.per_call)?;
        Self::with_state(state, dir, wallet, policy, clock, providers)
    }

    /// As [`Buyer::open`], with the journal on any disk: for crash tests.
    ///
    /// # Errors
    /// As [`Buyer::open`].
    pub fn open_on(
        disk: Box<dyn Disk>,
        dir: &Path,
        wallet: Wallet,
        policy: Policy,
        clock: Clock,
        providers: &[String],
    ) -> Result<Self, Error> {
        let state = State::open_on(disk, dir, policy.total, policy.per_call)?;
        Self::with_state(state, dir, wallet, policy, clock, providers)
    }

    fn with_state(
        state: State,
        dir: &Path,
        wallet: Wallet,
        policy: Policy,
        clock: Clock,
        providers: &[String],
    ) -> Result<Self, Error> {
        // A redirect could carry a payment to somebody else, a proxy could read it.
        let client = || Client::builder().redirect(redirect::Policy::none()).no_proxy();
        let unusable = |error| Error::State(format!("no HTTP client: {error}"));
        let http = client().build().map_err(unusable)?;
        let chain_http = client().timeout(CHAIN_TIMEOUT).build().map_err(unusable)?;
        let urls = providers.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        let inner = Inner {
            policy,
            clock,
            wallet,
            http,
            chain_http,
            urls,
            dir: dir.to_owned(),
            state: Mutex::new(state),
            sellers: Mutex::default(),
            claimed: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The wallet's address: whose deposits these are.
    #[must_use]
    pub fn address(&self) -> Address {
        self.inner.wallet.address()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock()
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    pub(crate) fn urls(&self) -> &[String] {
        &self.inner.urls
    }

    pub(crate) fn chain_http(&self) -> &Client {
        &self.inner.chain_http
    }

    /// The right to deal with a call; `None` while another task has it.
    pub(crate) fn claim(&self, nonce: B256) -> Option<Claim> {
        let new = self.inner.claimed.lock().insert(nonce);
        new.then(|| Claim { inner: Arc::clone(&self.inner), nonce })
    }

    /// Unix seconds.
    pub(crate) fn now_s(&self) -> u64 {
        (self.inner.clock)() / 1000
    }

    /// The kept bundle of a receipt.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn bundle(&self, digest: &B256) -> Result<Bundle, Error> {
        self.state().read_bundle(digest)
    }

    /// What is on sale now at acceptable terms: the cheapest offer of each model by name, with the
    /// address of who makes it. Providers that cannot be reached are left out.
    pub async fn models(&self) -> BTreeMap<String, (String, ModelInfo)> {
        let mut cheapest: BTreeMap<String, (String, ModelInfo)> = BTreeMap::new();
        let sellers = join_all(self.urls().iter().map(|url| self.seller(url))).await;
        for (url, seller) in self.urls().iter().zip(sellers) {
            let seller = match seller {
                Ok(seller) => seller,
                Err(error) => {
                    tracing::warn!(%error, "a provider is left out");
                    continue;
                }
            };
            for (name, info) in seller.models() {
                let better = cheapest.get(&name).is_none_or(|(_, other)| rank(&info) < rank(other));
                if better {
                    cheapest.insert(name, (url.clone(), info));
                }
            }
        }
        cheapest
    }

    /// Who sells a model cheapest. All are asked at once; once one sells it, the others have a
    /// moment more, so that one that is down does not hold each call up.
    pub(crate) async fn choose(&self, model: &str) -> Result<(Arc<Seller>, ModelInfo), Error> {
        let mut best: Option<(Arc<Seller>, ModelInfo)> = None;
        let mut problem = None;
        let mut asked: FuturesUnordered<_> =
            self.urls().iter().map(|url| self.offered(url, model)).collect();
        let mut deadline = None;
        loop {
            let found = match deadline {
                None => asked.next().await,
                Some(deadline) => timeout_at(deadline, asked.next()).await.unwrap_or(None),
            };
            match found {
                Some(Ok(Some((seller, info)))) => {
                    deadline.get_or_insert_with(|| Instant::now() + OTHERS_TIMEOUT);
                    if best.as_ref().is_none_or(|(_, other)| rank(&info) < rank(other)) {
                        best = Some((seller, info));
                    }
                }
                Some(Ok(None)) => {}
                Some(Err(error)) => problem = Some(error),
                None => break,
            }
        }
        best.ok_or_else(|| {
            problem.unwrap_or_else(|| Error::NoModel {
                model: printable(model),
                why: format!("{} providers were asked", self.urls().len()),
            })
        })
    }

    async fn offered(
        &self,
        url: &str,
        model: &str,
    ) -> Result<Option<(Arc<Seller>, ModelInfo)>, Error> {
        let seller = self.seller(url).await?;
        if seller.model(model).is_none() {
            seller.refresh(self.policy()).await?;
        }
        Ok(seller.model(model).map(|info| (seller, info)))
    }

    /// The provider at an address: pinned at first use, refused if it became another.
    pub(crate) async fn seller(&self, url: &str) -> Result<Arc<Seller>, Error> {
        let known = self.inner.sellers.lock().get(url).cloned();
        let seller = match known {
            Some(seller) => seller,
            None => {
                let http = self.inner.http.clone();
                let seller = Seller::connect(http, url, self.policy(), &self.inner.dir).await?;
                self.pin(url, &seller.document)?;
                // Another task may have been faster: one address has one seller, whose lock holds.
                let mut sellers = self.inner.sellers.lock();
                Arc::clone(sellers.entry(url.to_owned()).or_insert_with(|| Arc::new(seller)))
            }
        };
        let provider = seller.provider();
        match self.state().ledger.distrusted.get(&provider) {
            Some(why) => Err(Error::Distrusted { provider, why: why.clone() }),
            None => Ok(seller),
        }
    }

    fn pin(&self, url: &str, document: &ProviderDocument) -> Result<(), Error> {
        let mut state = self.state();
        let Some(pinned) = state.ledger.documents.get(url) else {
            let document = Box::new(document.clone());
            return state.commit([Record::Provider { url: url.to_owned(), document }]);
        };
        let same = pinned.provider == document.provider
            && pinned.network == document.network
            && pinned.asset == document.asset
            && pinned.log == document.log;
        if same {
            return Ok(());
        }
        let why = "its address, chain, token or log is another than when it was first used: if that \
                   is expected, start with a new data directory once your channels are closed";
        Err(Error::Policy { url: url.to_owned(), why: why.into() })
    }
}

/// Cheaper first: by the price of output, which most of a bill is, then of input.
fn rank(info: &ModelInfo) -> (u128, u128, u128) {
    let prices = &info.terms.prices;
    (prices.output, prices.input, prices.request)
}
