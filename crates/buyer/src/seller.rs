//! A provider as its buyer reaches it: documents, prices and proofs over HTTP, all capped, and
//! checked against the hashes that name them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use reqwest::{Client, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use vouch_core::{
    Address, B256, bundle::LogProof, channel::SignedVoucher, commitment, domain::Domain,
};
use vouch_wire::{
    openai::{ErrorBody, ModelList},
    vouch::{ChannelView, FaucetBody, ModelInfo, ProviderDocument, VoucherAccepted, VoucherBody},
};

use crate::{AnyTokenizer, Error, Policy, error::printable, state::write_durably};

const MAX_DOCUMENT_BYTES: usize = 1 << 20;
const MAX_TOKENIZER_BYTES: usize = 64 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;
/// Identities and tokenizers that are kept; a provider that shows ever new ones fills no memory.
const MAX_KEPT: usize = 8;
/// Documents and proofs are small; answers have their own time limits.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(20);

/// A provider whose document was accepted.
#[derive(Debug)]
pub(crate) struct Seller {
    pub(crate) url: String,
    pub(crate) document: ProviderDocument,
    pub(crate) chain: u64,
    /// Held while a channel of this provider is opened or funded: one deposit at a time, and
    /// whoever is slow to answer is slow for its own calls alone.
    pub(crate) paying: tokio::sync::Mutex<()>,
    fetching: tokio::sync::Mutex<()>,
    http: Client,
    models: Mutex<BTreeMap<String, ModelInfo>>,
    identities: Mutex<BTreeMap<B256, Arc<Value>>>,
    tokenizers: Mutex<BTreeMap<B256, Arc<AnyTokenizer>>>,
    /// Where tokenizers are kept, so that answers can be checked offline.
    kept: PathBuf,
}

impl Seller {
    /// Fetches the document and the price list, and checks both.
    pub(crate) async fn connect(
        http: Client,
        url: &str,
        policy: &Policy,
        kept: &Path,
    ) -> Result<Self, Error> {
        let url = url.trim_end_matches('/').to_owned();
        let document: ProviderDocument = {
            let bytes = get(&http, &url, "/.well-known/vouch.json", MAX_DOCUMENT_BYTES).await?;
            parse(&url, "its document", &bytes)?
        };
        let chain = policy.check_document(&url, &document)?;
        let seller = Self {
            url,
            document,
            chain,
            paying: tokio::sync::Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            http,
            models: Mutex::default(),
            identities: Mutex::default(),
            tokenizers: Mutex::default(),
            kept: kept.to_owned(),
        };
        seller.refresh(policy).await?;
        Ok(seller)
    }

    pub(crate) fn provider(&self) -> Address {
        self.document.provider
    }

    pub(crate) fn domain(&self) -> Domain {
        Domain { chain: self.chain, settlement: self.document.settlement }
    }

    /// What is said of a provider that says nothing.
    pub(crate) fn silent(&self) -> Error {
        Error::Unreachable { url: self.url.clone(), why: "it was silent".into() }
    }

    pub(crate) fn http(&self) -> &Client {
        &self.http
    }

    /// Fetches the price list again. Models whose terms are not acceptable are left out.
    pub(crate) async fn refresh(&self, policy: &Policy) -> Result<(), Error> {
        let list: ModelList = self.get("/v1/models", "its list of models").await?;
        let mut models = BTreeMap::new();
        for model in list.data {
            let Some(info) = model.vouch else { continue };
            match self.check(policy, &model.id, &info) {
                Ok(()) => drop(models.insert(model.id, info)),
                Err(error) => {
                    tracing::warn!(model = printable(&model.id), %error, "a model is left out");
                }
            }
        }
        *self.models.lock() = models;
        Ok(())
    }

    fn check(&self, policy: &Policy, name: &str, info: &ModelInfo) -> Result<(), Error> {
        policy.check_terms(&self.url, &self.document, self.chain, &info.terms)?;
        let hash = info.terms.hash().map_err(|error| Error::protocol(&self.url, error))?;
        let agrees = hash == info.terms_hash
            && info.terms.model == name
            && info.terms.identity == info.identity;
        if agrees {
            Ok(())
        } else {
            Err(Error::protocol(&self.url, "a model's terms are not what their hash or name says"))
        }
    }

    /// The models on sale.
    pub(crate) fn models(&self) -> BTreeMap<String, ModelInfo> {
        self.models.lock().clone()
    }

    /// One of the models on sale.
    pub(crate) fn model(&self, name: &str) -> Option<ModelInfo> {
        self.models.lock().get(name).cloned()
    }

    /// The identity document of a model, checked against its hash.
    pub(crate) async fn identity(&self, identity: B256) -> Result<Arc<Value>, Error> {
        if let Some(document) = self.identities.lock().get(&identity) {
            return Ok(Arc::clone(document));
        }
        let path = format!("/vouch/models/{identity}");
        let document: Value = self.get(&path, "a model's identity document").await?;
        let found = commitment::canonical_hash(&document);
        if found != Ok(identity) {
            return Err(Error::protocol(&self.url, "an identity document has another hash"));
        }
        let document = Arc::new(document);
        keep(&self.identities, identity, &document);
        Ok(document)
    }

    /// The tokenizer that an identity document names, checked against its hash; `None` if it names
    /// none.
    pub(crate) async fn tokenizer(
        &self,
        identity: &Value,
    ) -> Result<Option<Arc<AnyTokenizer>>, Error> {
        let Some(hash) = identity.get("tokenizer").and_then(Value::as_str) else {
            return Ok(None);
        };
        let hash: B256 = hash.parse().map_err(|_| {
            Error::protocol(&self.url, "an identity document names its tokenizer by no hash")
        })?;
        if let Some(tokenizer) = self.tokenizers.lock().get(&hash) {
            return Ok(Some(Arc::clone(tokenizer)));
        }
        // It may be large: one fetch for all the calls that want it.
        let _fetching = self.fetching.lock().await;
        if let Some(tokenizer) = self.tokenizers.lock().get(&hash) {
            return Ok(Some(Arc::clone(tokenizer)));
        }
        let tokenizer = match kept_tokenizer(&self.kept, &hash) {
            Some(tokenizer) => tokenizer,
            None => self.fetch_tokenizer(&hash).await?,
        };
        let tokenizer = Arc::new(tokenizer);
        keep(&self.tokenizers, hash, &tokenizer);
        Ok(Some(tokenizer))
    }

    async fn fetch_tokenizer(&self, hash: &B256) -> Result<AnyTokenizer, Error> {
        let path = format!("/vouch/tokenizers/{hash}");
        let bytes = get(&self.http, &self.url, &path, MAX_TOKENIZER_BYTES).await?;
        let tokenizer =
            AnyTokenizer::from_spec(&bytes).map_err(|error| Error::protocol(&self.url, error))?;
        if tokenizer.hash() != *hash {
            return Err(Error::protocol(&self.url, "a tokenizer has another hash"));
        }
        write_durably(&tokenizer_path(&self.kept, hash), &bytes)?;
        Ok(tokenizer)
    }

    pub(crate) async fn channel(&self, id: B256) -> Result<ChannelView, Error> {
        self.get(&format!("/vouch/channels/{id}"), "a channel").await
    }

    /// The newest checkpoint, a note.
    pub(crate) async fn checkpoint(&self) -> Result<String, Error> {
        let bytes = get(&self.http, &self.url, "/log/checkpoint", MAX_DOCUMENT_BYTES).await?;
        String::from_utf8(bytes).map_err(|_| Error::protocol(&self.url, "a checkpoint is no text"))
    }

    /// A receipt's place under the newest checkpoint; `None` if it is not logged yet.
    pub(crate) async fn proof(&self, index: u64) -> Result<Option<LogProof>, Error> {
        match self.get(&format!("/vouch/proof/{index}"), "a log proof").await {
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            proof => proof.map(Some),
        }
    }

    /// RFC 6962 consistency path.
    pub(crate) async fn consistency(&self, from: u64, to: u64) -> Result<Vec<B256>, Error> {
        #[derive(serde::Deserialize)]
        struct Path {
            path: Vec<B256>,
        }
        let path = format!("/vouch/consistency?from={from}&to={to}");
        Ok(self.get::<Path>(&path, "a consistency proof").await?.path)
    }

    /// Hands in a higher voucher; returns what the provider now accepts.
    pub(crate) async fn voucher(&self, voucher: SignedVoucher) -> Result<u128, Error> {
        let body = VoucherBody { voucher: voucher.into() };
        let request = self.http.post(format!("{}/vouch/vouchers", self.url)).json(&body);
        let bytes = self.send(request).await?;
        Ok(parse::<VoucherAccepted>(&self.url, "its answer to a voucher", &bytes)?.accepted)
    }

    /// Asks for test money.
    pub(crate) async fn faucet(&self, address: Address) -> Result<(), Error> {
        let request =
            self.http.post(format!("{}/vouch/faucet", self.url)).json(&FaucetBody { address });
        self.send(request).await.map(drop)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Error> {
        let sent = request.timeout(DOCUMENT_TIMEOUT).send().await;
        let response = sent.map_err(|error| unreachable(&self.url, &error))?;
        accept(&self.url, response, MAX_DOCUMENT_BYTES).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, Error> {
        let bytes = get(&self.http, &self.url, path, MAX_DOCUMENT_BYTES).await?;
        parse(&self.url, what, &bytes)
    }
}

fn tokenizer_path(dir: &Path, hash: &B256) -> PathBuf {
    dir.join("tokenizers").join(format!("{hash}.json"))
}

/// The tokenizer of this hash that the buyer in `dir` kept when it dealt with a model that uses it;
/// `None` if there is none, or it is not what its name says.
#[must_use]
pub fn kept_tokenizer(dir: &Path, hash: &B256) -> Option<AnyTokenizer> {
    let tokenizer = AnyTokenizer::from_spec(&fs::read(tokenizer_path(dir, hash)).ok()?).ok()?;
    (tokenizer.hash() == *hash).then_some(tokenizer)
}

fn keep<T>(kept: &Mutex<BTreeMap<B256, Arc<T>>>, hash: B256, value: &Arc<T>) {
    let mut kept = kept.lock();
    if kept.len() >= MAX_KEPT {
        drop(kept.pop_first());
    }
    drop(kept.insert(hash, Arc::clone(value)));
}

async fn get(http: &Client, url: &str, path: &str, cap: usize) -> Result<Vec<u8>, Error> {
    let sent = http.get(format!("{url}{path}")).timeout(DOCUMENT_TIMEOUT).send().await;
    accept(url, sent.map_err(|error| unreachable(url, &error))?, cap).await
}

async fn accept(url: &str, response: Response, cap: usize) -> Result<Vec<u8>, Error> {
    let status = response.status();
    if status.is_success() {
        return body(url, response, cap).await;
    }
    let detail = refusal(url, response).await?;
    Err(detail.map_or_else(
        || Error::protocol(url, format!("it answered {status} without an error body")),
        |body| refused(status, body),
    ))
}

/// The error body of an answer that is no success; `None` if it has none.
pub(crate) async fn refusal(url: &str, response: Response) -> Result<Option<ErrorBody>, Error> {
    let bytes = body(url, response, MAX_ERROR_BYTES).await?;
    Ok(serde_json::from_slice(&bytes).ok())
}

/// A provider's refusal, safe to print.
pub(crate) fn refused(status: StatusCode, body: ErrorBody) -> Error {
    Error::Refused {
        status: status.as_u16(),
        code: printable(body.error.code.as_deref().unwrap_or("error")),
        message: printable(&body.error.message),
    }
}

/// Reads a body up to a cap.
pub(crate) async fn body(url: &str, mut response: Response, cap: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(url, &error))? {
        if bytes.len().saturating_add(chunk.len()) > cap {
            return Err(Error::protocol(url, format!("an answer has more than {cap} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

pub(crate) fn unreachable(url: &str, error: &reqwest::Error) -> Error {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        why = format!("{why}: {cause}");
        source = cause.source();
    }
    Error::Unreachable { url: url.to_owned(), why: printable(&why) }
}

fn parse<T: DeserializeOwned>(url: &str, what: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::protocol(url, format!("{what} is malformed: {error}")))
}
