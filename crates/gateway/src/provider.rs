//! The provider's documents and small services: `/.well-known`, `/v1/models`, `/vouch/*`.

use std::sync::Arc;

use alloy_primitives::B256;
use axum::{
    Json,
    extract::{FromRequestParts, Path, Query, Request, State},
    http::{HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use vouch_core::bundle::LogProof;
use vouch_wire::vouch::{
    ChannelView, FaucetBody, LogKey, ProviderDocument, VERSION, VoucherAccepted, VoucherBody,
};

use crate::{Config, app::App, error::Refusal};

type Shared = State<Arc<App>>;

/// Larger bodies are no voucher, no faucet request and no cosignature.
pub(crate) const MAX_SMALL_BODY_BYTES: usize = 4096;

/// The part of a path that names something.
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let named = Path::from_request_parts(parts, state).await;
        named.map(|Path(name)| Self(name)).map_err(|_| Refusal::Malformed {
            what: "the path",
            why: "its %-escapes are no UTF-8; write it plainly",
        })
    }
}

/// The document at `/.well-known/vouch.json`.
pub(crate) fn document(config: &Config, models: Vec<String>) -> ProviderDocument {
    ProviderDocument {
        version: VERSION,
        provider: config.provider,
        receiver: config.receiver,
        network: config.domain.network(),
        settlement: config.domain.settlement,
        collector: config.collector,
        asset: config.asset.clone(),
        anchor: config.anchor,
        contracts: config.contracts.clone(),
        rpc: config.rpc.clone(),
        faucet: config.faucet,
        log: LogKey { origin: config.log.origin.clone(), key: config.log.key.clone() },
        models,
    }
}

pub(crate) async fn provider(State(app): Shared) -> Response {
    json(app.provider_json.clone(), "no-cache")
}

pub(crate) async fn models(State(app): Shared) -> Response {
    json(app.catalog.list_json(), "no-cache")
}

pub(crate) async fn identity(
    State(app): Shared,
    Named(identity): Named,
) -> Result<Response, Refusal> {
    let document = hash(&identity).and_then(|identity| app.catalog.identity_json(&identity));
    document.map(|bytes| json(bytes, FOREVER)).ok_or(Refusal::NotFound("that model's identity"))
}

pub(crate) async fn tokenizer(
    State(app): Shared,
    Named(sha256): Named,
) -> Result<Response, Refusal> {
    let document = hash(&sha256).and_then(|sha256| app.catalog.tokenizer_json(&sha256));
    document.map(|bytes| json(bytes, FOREVER)).ok_or(Refusal::NotFound("that tokenizer"))
}

pub(crate) async fn channel(
    State(app): Shared,
    Named(id): Named,
) -> Result<Json<ChannelView>, Refusal> {
    let channel = hash(&id).and_then(|id| app.store.channel(&id));
    let channel = channel.ok_or(Refusal::NotFound("that channel"))?;
    Ok(Json(ChannelView {
        mode: channel.mode,
        accepted: channel.accepted,
        charged: channel.charged,
        reserved: channel.reserved,
        sequence: channel.sequence,
        frozen: channel.frozen,
        on_chain: channel.on_chain,
    }))
}

pub(crate) async fn vouchers(
    State(app): Shared,
    request: Request,
) -> Result<Json<VoucherAccepted>, Refusal> {
    let VoucherBody { voucher } = small(&app, "the voucher", request).await?;
    if voucher.max_claimable_amount == 0 {
        return Err(Refusal::VoucherZero);
    }
    let channel = app
        .store
        .channel(&voucher.channel_id)
        .ok_or(vouch_store::Error::UnknownChannel(voucher.channel_id))?;
    // A stock channel's vouchers come with its calls: one on its own could strand the total.
    if channel.mode == vouch_core::channel::Mode::Stock {
        return Err(vouch_store::Error::from(vouch_core::channel::ChannelError::OtherMode(
            channel.mode,
        ))
        .into());
    }
    let signed = crate::payment::verify_voucher(&app, &channel.config, &voucher)?;
    let accepted = match app.store.accept(signed).await {
        Err(vouch_store::Error::Channel(vouch_core::channel::ChannelError::OverDeposit {
            ..
        })) => {
            crate::payment::refresh(&app, &channel).await?;
            app.store.accept(signed).await?
        }
        accepted => accepted?,
    };
    app.wakers.wake(&channel.id);
    Ok(Json(VoucherAccepted { accepted }))
}

pub(crate) async fn proof(
    State(app): Shared,
    Named(index): Named,
) -> Result<Json<LogProof>, Refusal> {
    let index = index.parse().map_err(|_| Refusal::NotFound("an entry of that index"))?;
    app.store.proof(index)?.map(Json).ok_or(Refusal::NotLogged(index))
}

/// Query of `/vouch/consistency`.
#[derive(Debug, Deserialize)]
pub(crate) struct Sizes {
    from: u64,
    to: u64,
}

pub(crate) async fn consistency(
    State(app): Shared,
    sizes: Result<Query<Sizes>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let Query(Sizes { from, to }) = sizes.map_err(|_| Refusal::Malformed {
        what: "the query",
        why: "send from and to, two sizes of the log",
    })?;
    Ok(Json(serde_json::json!({ "path": app.store.consistency(from, to)? })))
}

pub(crate) async fn faucet(
    State(app): Shared,
    request: Request,
) -> Result<Json<serde_json::Value>, Refusal> {
    if !app.config.faucet {
        return Err(Refusal::NoFaucet);
    }
    let FaucetBody { address } = small(&app, "the faucet request", request).await?;
    let transaction = app.settlement.faucet(address).await.map_err(Refusal::Faucet)?;
    Ok(Json(serde_json::json!({ "transaction": transaction })))
}

const FOREVER: &str = "public, max-age=31536000, immutable";

fn json(bytes: Bytes, cache: &'static str) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

fn hash(text: &str) -> Option<B256> {
    text.parse().ok()
}

pub(crate) async fn small<T: DeserializeOwned>(
    app: &App,
    what: &'static str,
    request: Request,
) -> Result<T, Refusal> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.small(&parts.headers, body, MAX_SMALL_BODY_BYTES).await?;
    serde_json::from_slice(&body).map_err(|error| {
        tracing::debug!(line = error.line(), "{what} is malformed");
        Refusal::Malformed { what, why: "send the JSON that docs/PROTOCOL.md describes" }
    })
}
