//! JSON-RPC 2.0 over `POST /`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, Method};
use axum::response::IntoResponse;
use axum::routing::post;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tower_http::cors::{Any, CorsLayer};

use super::error::{INVALID_REQUEST, PARSE_ERROR};
use super::{Rpc, RpcError};

/// Largest request body.
pub const BODY_LIMIT_BYTES: usize = 8 << 20;
/// Most calls in a batch, as geth has it.
const BATCH_LIMIT: usize = 1000;
/// A batch's answer is not continued beyond this size, as geth has it.
const BATCH_RESPONSE_LIMIT_BYTES: usize = 25_000_000;
/// The largest id that is echoed.
const ID_LIMIT_BYTES: usize = 256;

/// `POST /`, for any origin: the chain holds no keys, so a page can do what its user could.
pub(crate) fn router(rpc: Arc<Rpc>) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST])
        .allow_headers([CONTENT_TYPE]);
    Router::new()
        .route("/", post(serve))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(cors)
        .with_state(rpc)
}

type JsonBody = ([(HeaderName, &'static str); 1], Vec<u8>);

async fn serve(State(rpc): State<Arc<Rpc>>, body: Bytes) -> impl IntoResponse {
    let answer: JsonBody = ([(CONTENT_TYPE, "application/json")], answer(&rpc, &body).await);
    answer
}

/// One call; what is unknown in it is ignored, as JSON-RPC says.
#[derive(Deserialize)]
struct Call<'a> {
    jsonrpc: Option<String>,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

async fn answer(rpc: &Arc<Rpc>, body: &[u8]) -> Vec<u8> {
    let Ok(request) = serde_json::from_slice::<&RawValue>(body) else {
        return failure(None, RpcError::new(PARSE_ERROR, "parse error: the body is not JSON"));
    };
    if !request.get().starts_with('[') {
        return answer_call(rpc, request).await.unwrap_or_default();
    }
    match serde_json::from_str::<Vec<&RawValue>>(request.get()) {
        Ok(calls) if calls.is_empty() => {
            failure(None, RpcError::new(INVALID_REQUEST, "empty batch"))
        }
        Ok(calls) if calls.len() > BATCH_LIMIT => {
            let message = format!("batch too large: {} calls, limit {BATCH_LIMIT}", calls.len());
            failure(None, RpcError::new(INVALID_REQUEST, message))
        }
        Ok(calls) => answer_batch(rpc, &calls).await,
        Err(_) => failure(None, RpcError::new(PARSE_ERROR, "parse error: the batch is not JSON")),
    }
}

async fn answer_batch(rpc: &Arc<Rpc>, calls: &[&RawValue]) -> Vec<u8> {
    let mut body = vec![b'['];
    for call in calls {
        if body.len() > BATCH_RESPONSE_LIMIT_BYTES {
            body.extend(failure(None, RpcError::limit("response too large: ask for less at once")));
            body.push(b',');
            break;
        }
        if let Some(response) = answer_call(rpc, call).await {
            body.extend(response);
            body.push(b',');
        }
    }
    if body.len() == 1 {
        return Vec::new();
    }
    body.pop();
    body.push(b']');
    body
}

/// `None` for a notification, which is carried out but not answered.
async fn answer_call(rpc: &Arc<Rpc>, call: &RawValue) -> Option<Vec<u8>> {
    let Ok(call) = serde_json::from_str::<Call<'_>>(call.get()) else {
        return Some(failure(None, RpcError::new(INVALID_REQUEST, "invalid request")));
    };
    let id = call.id.filter(|id| is_id(id));
    let (Some("2.0"), Some(method), true) =
        (call.jsonrpc.as_deref(), call.method.as_deref(), call.id.is_none() || id.is_some())
    else {
        return Some(failure(id, RpcError::new(INVALID_REQUEST, "invalid request")));
    };
    let outcome = rpc.call(method, call.params).await;
    id.map(|id| match outcome {
        Ok(result) => success(id, &result),
        Err(error) => failure(Some(id), error),
    })
}

/// A string, a number or null, and not a long one.
fn is_id(id: &RawValue) -> bool {
    let text = id.get();
    text.len() <= ID_LIMIT_BYTES && !text.starts_with(['{', '[', 't', 'f'])
}

fn success(id: &RawValue, result: &Value) -> Vec<u8> {
    let mut body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":"#, id.get()).into_bytes();
    match serde_json::to_writer(&mut body, result) {
        Ok(()) => body.push(b'}'),
        Err(error) => return failure(Some(id), RpcError::internal(error.to_string())),
    }
    body
}

fn failure(id: Option<&RawValue>, error: RpcError) -> Vec<u8> {
    let mut object = json!({ "code": error.code, "message": error.message });
    if let Some(data) = error.data {
        object["data"] = data;
    }
    let id = id.map_or("null", RawValue::get);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{object}}}"#).into_bytes()
}
