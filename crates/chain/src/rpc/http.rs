//! JSON-RPC over `POST /`, and over a WebSocket at the same address; `GET /metrics`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State, WebSocketUpgrade};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::cors::{Any, CorsLayer};

use super::Rpc;
use super::jsonrpc::answer;
use super::subscriptions::serve_socket;
use crate::status::Monitor;

/// Largest request body.
pub const BODY_LIMIT_BYTES: usize = 8 << 20;

/// `POST /` and WebSockets, for any origin: what a page could spend by the chain's own accounts is
/// test money, and a chain that money depends on has neither such accounts nor development methods.
pub(crate) fn router(rpc: Arc<Rpc>) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST])
        .allow_headers([CONTENT_TYPE]);
    Router::new()
        .route("/", post(serve).get(upgrade))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(cors)
        .with_state(rpc)
}

type JsonBody = ([(HeaderName, &'static str); 1], Vec<u8>);

async fn serve(State(rpc): State<Arc<Rpc>>, body: Bytes) -> impl IntoResponse {
    let answer: JsonBody = ([(CONTENT_TYPE, "application/json")], answer(&rpc, &body, None).await);
    answer
}

async fn metrics(State(rpc): State<Arc<Rpc>>) -> impl IntoResponse {
    let page = Monitor::new(rpc.node.clone()).status().metrics();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], page)
}

async fn upgrade(State(rpc): State<Arc<Rpc>>, socket: WebSocketUpgrade) -> Response {
    let Ok(permit) = rpc.sockets.clone().try_acquire_owned() else {
        let why = "too many WebSockets are open: close some, or send POST requests";
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    socket.max_message_size(BODY_LIMIT_BYTES).on_upgrade(async move |socket| {
        serve_socket(socket, &rpc).await;
        drop(permit);
    })
}
