//! JSON-RPC 2.0: calls and batches of them as text, whatever carries it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::{INVALID_REQUEST, PARSE_ERROR};
use super::subscriptions::Subscriptions;
use super::{Rpc, RpcError};

/// Most calls in a batch, as geth has it.
const BATCH_LIMIT: usize = 1000;
/// A batch's answer is not continued beyond this size, as geth has it.
const BATCH_RESPONSE_LIMIT_BYTES: usize = 25_000_000;
/// The largest id that is echoed.
const ID_LIMIT_BYTES: usize = 256;

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

/// Answers a call or a batch of calls; with nothing, where only notifications were sent.
/// `subscriptions` are those of the connection, where it is one that lasts.
pub(super) async fn answer(
    rpc: &Arc<Rpc>,
    body: &[u8],
    subscriptions: Option<&mut Subscriptions>,
) -> Vec<u8> {
    let Ok(request) = serde_json::from_slice::<&RawValue>(body) else {
        return failure(None, RpcError::new(PARSE_ERROR, "parse error: the body is not JSON"));
    };
    if !request.get().starts_with('[') {
        return answer_call(rpc, request, subscriptions).await.unwrap_or_default();
    }
    match serde_json::from_str::<Vec<&RawValue>>(request.get()) {
        Ok(calls) if calls.is_empty() => {
            failure(None, RpcError::new(INVALID_REQUEST, "empty batch"))
        }
        Ok(calls) if calls.len() > BATCH_LIMIT => {
            let message = format!("batch too large: {} calls, limit {BATCH_LIMIT}", calls.len());
            failure(None, RpcError::new(INVALID_REQUEST, message))
        }
        Ok(calls) => answer_batch(rpc, &calls, subscriptions).await,
        Err(_) => failure(None, RpcError::new(PARSE_ERROR, "parse error: the batch is not JSON")),
    }
}

async fn answer_batch(
    rpc: &Arc<Rpc>,
    calls: &[&RawValue],
    mut subscriptions: Option<&mut Subscriptions>,
) -> Vec<u8> {
    let mut body = vec![b'['];
    for call in calls {
        if body.len() > BATCH_RESPONSE_LIMIT_BYTES {
            body.extend(failure(None, RpcError::limit("response too large: ask for less at once")));
            body.push(b',');
            break;
        }
        if let Some(response) = answer_call(rpc, call, subscriptions.as_deref_mut()).await {
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
async fn answer_call(
    rpc: &Arc<Rpc>,
    call: &RawValue,
    subscriptions: Option<&mut Subscriptions>,
) -> Option<Vec<u8>> {
    let Ok(call) = serde_json::from_str::<Call<'_>>(call.get()) else {
        return Some(failure(None, RpcError::new(INVALID_REQUEST, "invalid request")));
    };
    let id = call.id.filter(|id| is_id(id));
    let (Some("2.0"), Some(method), true) =
        (call.jsonrpc.as_deref(), call.method.as_deref(), call.id.is_none() || id.is_some())
    else {
        return Some(failure(id, RpcError::new(INVALID_REQUEST, "invalid request")));
    };
    let outcome = match (method, subscriptions) {
        ("eth_subscribe", Some(subscriptions)) => subscriptions.begin(rpc, call.params),
        ("eth_unsubscribe", Some(subscriptions)) => subscriptions.end(call.params),
        ("eth_subscribe" | "eth_unsubscribe", None) => Err(RpcError::no_notifications()),
        _ => rpc.call(method, call.params).await,
    };
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
