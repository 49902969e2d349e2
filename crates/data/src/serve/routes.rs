//! The routes.

use std::{collections::BTreeMap, fmt, sync::Arc};

use alloy_primitives::{Address, B256};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Item, Page, Signed, challenge::Challenges, refusal::Refusal};
use crate::{
    Result,
    consent::{Clock, Consents, Use},
    dataset::{Archive, Library},
};

/// The most documents of a reply, and of their content.
const MAX_ITEMS: u32 = 256;
const MAX_REPLY_BYTES: u64 = 8 << 20;
const MAX_BODY_BYTES: usize = 16 << 10;
/// Replies that are made at once.
const AT_ONCE: usize = 4;
/// Datasets of a list.
const MAX_LISTED: usize = 1_000;
/// Datasets whose listing is kept in memory.
const MAX_OPEN: usize = 32;

/// What an owner serves.
pub struct Server {
    library: Library,
    consents: Arc<Consents>,
    chain: u64,
    registry: Address,
    address: String,
    clock: Clock,
    challenges: Challenges,
    open: Mutex<BTreeMap<B256, Arc<Archive>>>,
    turns: Semaphore,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Serves `library` under the grants that `consents` sees. `address` is how grantees reach the
    /// server, such as `https://data.example`: signatures are bound to it.
    ///
    /// # Errors
    /// [`crate::Error::Random`] if the system gives no random bytes.
    pub fn new(
        library: Library,
        consents: Arc<Consents>,
        (chain, registry): (u64, Address),
        address: String,
        clock: Clock,
    ) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            library,
            consents,
            chain,
            registry,
            address,
            clock,
            challenges: Challenges::new()?,
            open: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        }))
    }

    fn now(&self) -> u64 {
        (self.clock)() / 1_000
    }

    fn archive(&self, id: B256) -> Result<Arc<Archive>> {
        if let Some(archive) = self.open.lock().get(&id) {
            return Ok(archive.clone());
        }
        let archive = Arc::new(self.library.open(id)?);
        let mut open = self.open.lock();
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        open.insert(id, archive.clone());
        Ok(archive)
    }

    /// The grant that allows it, by the chain as it is now.
    async fn authorise(&self, signed: &Signed) -> Result<B256, Refusal> {
        let access = &signed.access;
        if access.server != self.address {
            let message = "the signature is for another server";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "server", message));
        }
        let now = self.now();
        self.challenges.check(access.challenge, access.dataset, access.grantee, now)?;
        let digest = access.digest(self.chain, self.registry);
        signed.signature.verify(digest, access.grantee).map_err(|error| {
            Refusal::new(StatusCode::UNAUTHORIZED, "signature", error.to_string())
        })?;
        // A chain that does not answer leaves the view as it was: it denies when it is too old.
        if let Err(error) = self.consents.catch_up().await {
            tracing::warn!(%error, "cannot see the chain");
        }
        let wanted = Use {
            grantee: access.grantee,
            purpose: access.purpose,
            service: access.service,
            at: now,
        };
        let (grant, _) = self.consents.find(access.dataset, &wanted)?;
        // Last: only holders of grants make the server remember anything.
        self.challenges.spend(access.challenge, now)?;
        Ok(grant)
    }

    fn page(&self, signed: &Signed, grant: B256) -> Result<Page> {
        let access = &signed.access;
        let archive = self.archive(access.dataset)?;
        let size = archive.documents().len() as u64;
        let count = u64::from(access.count.min(MAX_ITEMS));
        let end = access.first.saturating_add(count).min(size);
        let mut items = Vec::new();
        let mut bytes = 0u64;
        for index in access.first..end {
            let at = index as usize;
            bytes = bytes.saturating_add(archive.content_bytes(at)?);
            if bytes > MAX_REPLY_BYTES && !items.is_empty() {
                break;
            }
            let (document, salt, proof) =
                (archive.document(at)?, archive.salt(at), archive.proof(at)?);
            items.push(Item { index, document, salt, proof });
        }
        Ok(Page { root: archive.merkle_root(), size, grant, items })
    }
}

/// The routes of [`crate::serve`].
pub fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/datasets", get(list))
        .route("/datasets/{id}", get(card))
        .route("/datasets/{id}/challenge", get(challenge))
        .route("/datasets/{id}/documents", post(documents))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(server)
}

async fn list(State(server): State<Arc<Server>>) -> Result<Json<Value>, Refusal> {
    let turn = server.turns.try_acquire().map_err(|_| Refusal::busy())?;
    let library = server.library.clone();
    let published = blocking(move || library.list()).await?;
    drop(turn);
    let listed = published.iter().take(MAX_LISTED).map(|dataset| {
        json!({ "id": dataset.id, "root": dataset.root, "name": dataset.card.field("name") })
    });
    Ok(Json(json!({ "datasets": listed.collect::<Vec<_>>() })))
}

async fn card(
    State(server): State<Arc<Server>>,
    Path(id): Path<B256>,
) -> Result<Json<Value>, Refusal> {
    let library = server.library.clone();
    let found = blocking(move || Ok(library.get(id).ok())).await?;
    Ok(Json(found.ok_or_else(Refusal::not_found)?.card.0))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Who {
    grantee: Address,
}

async fn challenge(
    State(server): State<Arc<Server>>,
    Path(id): Path<B256>,
    Query(who): Query<Who>,
) -> Result<Json<Value>, Refusal> {
    let challenge = server.challenges.issue(id, who.grantee, server.now())?;
    Ok(Json(json!({
        "challenge": challenge,
        "server": server.address,
        "chain": server.chain,
        "registry": server.registry,
    })))
}

async fn documents(
    State(server): State<Arc<Server>>,
    Path(id): Path<B256>,
    Json(signed): Json<Signed>,
) -> Result<Json<Page>, Refusal> {
    if signed.access.dataset != id {
        let message = "the signature is for another dataset";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "dataset", message));
    }
    let turn = server.turns.try_acquire().map_err(|_| Refusal::busy())?;
    let grant = server.authorise(&signed).await?;
    let reader = server.clone();
    let page = blocking(move || reader.page(&signed, grant)).await?;
    drop(turn);
    Ok(Json(page))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(panicked) => {
            let message = format!("the work ended early: {panicked}");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message))
        }
    }
}
