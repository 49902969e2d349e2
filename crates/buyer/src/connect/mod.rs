//! An OpenAI endpoint on this machine that pays for what passes through it.

mod guard;
mod refusal;
mod relay;

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::HeaderMap,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use vouch_core::{B256, bundle::Bundle, tree::TreeBundle};
use vouch_wire::openai::{Endpoint, Model, ModelList};

use crate::{Buyer, Error};
use refusal::Refusal;

/// As large as a gateway takes.
const MAX_BODY_BYTES: usize = 4 << 20;
/// Receipts in `/vouch/status`.
const RECEIPTS_SHOWN: usize = 100;
/// The longest that a bundle is waited for.
const MAX_WAIT_S: u64 = 60;
/// A client that sends this header with value 1 gets ids and named events, too.
const VOUCH_HEADER: &str = "x-vouch";
/// Atomic units that the call may cost at most, besides what the budget says.
const MAX_CHARGE_HEADER: &str = "x-vouch-max-charge";

/// The endpoint: no key is asked for, because only this machine may reach it.
///
/// It spends money, so a web page must not reach it: requests whose `Host` is not this machine's
/// name, or that a browser says are of another origin, are refused (DNS rebinding, cross-site
/// requests). Serve [`Connect::router`] on a loopback address only.
#[derive(Debug, Clone)]
pub struct Connect {
    buyer: Buyer,
}

impl Connect {
    /// An endpoint that pays as this buyer.
    #[must_use]
    pub fn new(buyer: Buyer) -> Self {
        Self { buyer }
    }

    /// The routes: OpenAI's, and `/vouch/status`, `/vouch/bundles/{digest}?wait_s=N`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/v1/models", get(models))
            .route("/v1/chat/completions", post(chat))
            .route("/v1/completions", post(completions))
            .route("/v1/embeddings", post(embeddings))
            .route("/vouch/status", get(status))
            .route("/vouch/bundles/{digest}", get(bundle))
            .route("/vouch/trees/{digest}", get(tree))
            .route("/healthz", get(async || "ok"))
            .fallback(async || Refusal::not_found())
            .method_not_allowed_fallback(async || Refusal::method())
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .layer(middleware::from_fn(guard::local_only))
            .with_state(self.buyer)
    }
}

async fn models(State(buyer): State<Buyer>) -> Json<ModelList> {
    let data = buyer.models().await.into_iter().map(|(id, (url, info))| Model {
        id,
        object: "model".into(),
        created: 0,
        owned_by: url,
        vouch: Some(info),
    });
    Json(ModelList { object: "list".into(), data: data.collect() })
}

type Received = Result<Bytes, BytesRejection>;

async fn chat(state: State<Buyer>, headers: HeaderMap, body: Received) -> Response {
    paid(&state, Endpoint::Chat, &headers, body).await
}

async fn completions(state: State<Buyer>, headers: HeaderMap, body: Received) -> Response {
    paid(&state, Endpoint::Completions, &headers, body).await
}

async fn embeddings(state: State<Buyer>, headers: HeaderMap, body: Received) -> Response {
    paid(&state, Endpoint::Embeddings, &headers, body).await
}

async fn paid(buyer: &Buyer, endpoint: Endpoint, headers: &HeaderMap, body: Received) -> Response {
    let vouch = headers.get(VOUCH_HEADER).is_some_and(|value| value == "1");
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            return Refusal::unread(rejection.status(), MAX_BODY_BYTES).into_response();
        }
    };
    let Ok(body) = std::str::from_utf8(&body) else {
        return Refusal::text("the body is not UTF-8: send JSON").into_response();
    };
    let most = match headers.get(MAX_CHARGE_HEADER).map(|value| value.to_str()) {
        None => u128::MAX,
        Some(value) => match value.ok().and_then(|text| text.parse().ok()) {
            Some(most) => most,
            None => {
                let why = "x-vouch-max-charge is no whole number of atomic units";
                return Refusal::text(why).into_response();
            }
        },
    };
    match buyer.start_within(endpoint, body, most) {
        Ok(running) => relay::answer(running, vouch).await,
        Err(error) => Refusal::from(&error).into_response(),
    }
}

async fn status(State(buyer): State<Buyer>) -> Result<Json<Value>, Refusal> {
    let status = serde_json::to_value(buyer.status());
    let mut status = status.map_err(|error| Refusal::from(&Error::State(error.to_string())))?;
    status["latest"] = json!(buyer.receipts(RECEIPTS_SHOWN));
    Ok(Json(status))
}

/// How long to wait for a bundle's place in the log and for an anchor that covers it.
#[derive(Debug, Default, Deserialize)]
struct Wait {
    #[serde(default)]
    wait_s: u64,
}

/// What was asked for, and for how long to wait for it.
fn asked(
    digest: &str,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<(B256, Duration), Refusal> {
    let Query(Wait { wait_s }) =
        wait.map_err(|_| Refusal::text("wait_s is a whole number of seconds"))?;
    let digest =
        digest.parse().map_err(|_| Refusal::text("a receipt's digest is 0x and 64 hex digits"))?;
    Ok((digest, Duration::from_secs(wait_s.min(MAX_WAIT_S))))
}

/// An answer with the uses of data in it.
async fn tree(
    State(buyer): State<Buyer>,
    Path(digest): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<TreeBundle>, Refusal> {
    let (digest, patience) = asked(&digest, wait)?;
    buyer.tree(&digest, patience).await.map(Json).map_err(|error| Refusal::from(&error))
}

async fn bundle(
    State(buyer): State<Buyer>,
    Path(digest): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<Bundle>, Refusal> {
    let (digest, patience) = asked(&digest, wait)?;
    let bundle = match patience {
        Duration::ZERO => buyer.bundle(&digest),
        patience => buyer.complete(&digest, patience).await.map(|(bundle, _)| bundle),
    };
    bundle.map(Json).map_err(|error| Refusal::from(&error))
}
