//! The gateway's sources: the index that `vouch data index` keeps, under the grants of now.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use alloy::providers::DynProvider;
use alloy_primitives::{Address, B256};
use anyhow::Context;
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use vouch_data::{
    Embed,
    consent::{Consents, Purpose, Use},
    seal::Key,
    search::{Index, Query},
};
use vouch_gateway::{Passage, Retrieval, Sources, SourcesError};

use crate::{embedder::Embedder, onchain, time::unix_seconds};

/// The index and its key, below the provider's directory.
const INDEX: &str = "search.index";
const KEY: &str = "search-key.json";
/// Passages are looked for in this multiple of what an answer may quote, since some may not fit.
const SPARE: usize = 2;

/// Where a provider's index is.
pub(crate) fn index_path(data_dir: &Path) -> PathBuf {
    data_dir.join("provider").join(INDEX)
}

/// What seals it.
pub(crate) fn index_key(data_dir: &Path) -> anyhow::Result<Key> {
    Ok(Key::open_or_create(&data_dir.join("provider").join(KEY), &crate::passphrase())?)
}

/// Granted data, found by meaning.
pub(crate) struct GrantedData {
    path: PathBuf,
    key: Key,
    /// As it was at that time; read again when the file is another.
    index: Mutex<Option<(SystemTime, Arc<Index>)>>,
    embedder: Embedder,
    consents: Consents,
    provider: Address,
}

impl fmt::Debug for GrantedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantedData").field("path", &self.path).finish_non_exhaustive()
    }
}

impl GrantedData {
    /// The data that `provider` was granted by the registry on `chain`.
    pub(crate) async fn open(
        data_dir: &Path,
        chain: DynProvider,
        registry: Address,
        provider: Address,
        embedder: Embedder,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            path: index_path(data_dir),
            key: index_key(data_dir)?,
            index: Mutex::default(),
            embedder,
            consents: onchain::consents(chain, registry).await?,
            provider,
        })
    }

    /// The newest index; one without passages while there is none.
    fn index(&self) -> anyhow::Result<Arc<Index>> {
        let mut index = self.index.lock();
        let Ok(changed) = std::fs::metadata(&self.path).and_then(|file| file.modified()) else {
            let empty = Index::new(self.embedder.identity()?, self.embedder.dimensions());
            return Ok(Arc::new(empty));
        };
        match &*index {
            Some((read, index)) if *read == changed => Ok(Arc::clone(index)),
            _ => {
                let read = Arc::new(Index::load(&self.path, &self.key)?);
                *index = Some((changed, Arc::clone(&read)));
                Ok(read)
            }
        }
    }

    fn usage(&self, service: B256) -> Use {
        let (grantee, at) = (self.provider, unix_seconds());
        Use { grantee, purpose: Purpose::search(), service, at }
    }

    async fn find(&self, asked: &Retrieval) -> anyhow::Result<Vec<Passage>> {
        // Grants of this very block: what was revoked a moment ago is not read any more.
        self.consents.catch_up().await?;
        let index = self.index()?;
        let (embedder, question) = (self.embedder.clone(), vec![asked.question.clone()]);
        let vectors = tokio::task::spawn_blocking(move || embedder.embed(&question)).await?;
        let vector = vectors.map_err(|error| anyhow::anyhow!("the question: {error}"))?;
        let vector = vector.into_iter().next().context("the question has no vector")?;
        let query = Query { count: asked.limit.saturating_mul(SPARE), ..Query::default() };
        let usage = self.usage(asked.service);
        let allowed = |dataset| Some(self.consents.find(dataset, &usage).ok()?.1);
        let hits = index.search(&vector, &query, allowed)?;
        let passage = |hit: vouch_data::search::Hit<'_, vouch_data::consent::Grant>| Passage {
            document: hit.source.leaf,
            grant: hit.allowed.into(),
            title: hit.source.title.clone(),
            text: hit.source.text.clone(),
        };
        Ok(hits.into_iter().map(passage).collect())
    }
}

impl Sources for GrantedData {
    fn retrieve<'a>(
        &'a self,
        asked: &'a Retrieval,
    ) -> BoxFuture<'a, Result<Vec<Passage>, SourcesError>> {
        async move {
            self.find(asked).await.map_err(|error| {
                tracing::warn!(%error, "sources cannot be searched");
                SourcesError("the provider's index or its view of the grants failed".into())
            })
        }
        .boxed()
    }

    fn still_allowed<'a>(
        &'a self,
        grants: &'a [B256],
        service: B256,
    ) -> BoxFuture<'a, Result<Vec<bool>, SourcesError>> {
        async move {
            let seen = self.consents.catch_up().await;
            seen.map_err(|_| SourcesError("the provider's view of the grants failed".into()))?;
            let usage = self.usage(service);
            Ok(grants.iter().map(|id| self.consents.check(*id, &usage).is_ok()).collect())
        }
        .boxed()
    }
}
