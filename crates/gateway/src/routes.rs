//! Which path does what.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_http::cors::{Any, CorsLayer};
use vouch_wire::{
    openai::Endpoint,
    x402::{PAYMENT_REQUIRED, PAYMENT_RESPONSE},
};

use crate::{
    app::App,
    call,
    error::{Refusal, Refused},
    log, metrics, provider, uses,
};

/// All routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let exposed = [PAYMENT_REQUIRED, PAYMENT_RESPONSE].map(HeaderName::from_static);
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(Any)
        .allow_headers(Any)
        .expose_headers(exposed.into_iter().chain([header::RETRY_AFTER]).collect::<Vec<_>>());
    Router::new()
        .route("/.well-known/vouch.json", get(provider::provider))
        .route("/v1/models", get(provider::models))
        .route(Endpoint::Chat.path(), get(chat).post(chat))
        .route(Endpoint::Completions.path(), get(completions).post(completions))
        .route(Endpoint::Embeddings.path(), get(embeddings).post(embeddings))
        .route("/vouch/vouchers", post(provider::vouchers))
        .route("/vouch/models/{identity}", get(provider::identity))
        .route("/vouch/tokenizers/{sha256}", get(provider::tokenizer))
        .route("/vouch/channels/{id}", get(provider::channel))
        .route("/vouch/proof/{index}", get(provider::proof))
        .route("/vouch/uses", post(uses::uses))
        .route("/vouch/consistency", get(provider::consistency))
        .route("/vouch/faucet", post(provider::faucet))
        .route("/log/cosignatures", post(log::cosign))
        .route("/log/{*path}", get(log::file))
        .route("/healthz", get(health))
        .route("/metrics", get(page))
        .fallback(|| async { Refusal::NotFound("that path") })
        .method_not_allowed_fallback(|| async { Refusal::Method })
        .layer(middleware::map_response(not_stored))
        .layer(cors)
        .with_state(app)
}

/// What does not say how long it holds, holds for the moment: money moves.
async fn not_stored(mut response: Response) -> Response {
    let cache = response.headers_mut().entry(header::CACHE_CONTROL);
    cache.or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn chat(app: State<Arc<App>>, request: Request) -> Response {
    paid(app, Endpoint::Chat, request).await
}

async fn completions(app: State<Arc<App>>, request: Request) -> Response {
    paid(app, Endpoint::Completions, request).await
}

async fn embeddings(app: State<Arc<App>>, request: Request) -> Response {
    paid(app, Endpoint::Embeddings, request).await
}

async fn paid(State(app): State<Arc<App>>, endpoint: Endpoint, request: Request) -> Response {
    let (parts, body): (_, Body) = request.into_parts();
    let answered = call::serve(&app, endpoint, &parts.method, &parts.headers, body).await;
    answered.unwrap_or_else(Refused::into_response)
}

async fn health(State(app): State<Arc<App>>) -> (StatusCode, String) {
    let age_ms = app.checkpoint_age_ms();
    let max_ms = app.config.limits.max_checkpoint_age.as_millis();
    match app.check_open() {
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")),
        Ok(()) if u128::from(age_ms) > max_ms => {
            let message = format!("the newest checkpoint is {age_ms} ms old: look at the log\n");
            (StatusCode::SERVICE_UNAVAILABLE, message)
        }
        Ok(()) => (StatusCode::OK, "ok\n".into()),
    }
}

async fn page(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::render(&app))
}
