//! JSON-RPC errors, with the codes geth uses.

use serde_json::Value;

use crate::Error;
use crate::admission::Rejection;
use crate::state::StateError;

/// The request is not JSON.
pub(crate) const PARSE_ERROR: i64 = -32700;
/// The request is not a JSON-RPC 2.0 call.
pub(crate) const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL: i64 = -32603;
/// Anything the method itself refuses.
const SERVER: i64 = -32000;
/// The answer would be too large.
const LIMIT_EXCEEDED: i64 = -32005;
/// A revert, with its data (geth).
const REVERTED: i64 = 3;
/// `eth_sendRawTransactionSync` waited in vain (EIP-7966).
const SYNC_TIMEOUT: i64 = 4;

/// The block was pruned (EIP-4444, geth).
const PRUNED: i64 = 4444;

/// Most characters of foreign text that an error message repeats.
const QUOTE_CHARS: usize = 200;

/// What a failed call is answered with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Value>,
}

impl RpcError {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(SERVER, message)
    }

    pub(crate) fn params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(INTERNAL, message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(LIMIT_EXCEEDED, message)
    }

    pub(crate) fn method(name: &str) -> Self {
        let message = format!("the method {} does not exist/is not available", quote(name));
        Self::new(METHOD_NOT_FOUND, message)
    }

    /// As geth: news need a connection that lasts.
    pub(crate) fn no_notifications() -> Self {
        Self::new(METHOD_NOT_FOUND, "notifications not supported: use a WebSocket")
    }

    pub(crate) fn reverted(message: String, output: &alloy_primitives::Bytes) -> Self {
        Self { code: REVERTED, message, data: Some(Value::String(output.to_string())) }
    }

    pub(crate) fn sync_timeout(hash: alloy_primitives::B256, timeout_ms: u64) -> Self {
        Self {
            code: SYNC_TIMEOUT,
            message: format!(
                "the transaction was added to the pool but not mined within {timeout_ms} ms"
            ),
            data: Some(Value::String(hash.to_string())),
        }
    }
}

/// Foreign text, cut and without control characters, fit for a message.
pub(crate) fn quote(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(QUOTE_CHARS).collect()
}

impl From<Rejection> for RpcError {
    fn from(rejection: Rejection) -> Self {
        Self::server(rejection.to_string())
    }
}

impl From<StateError> for RpcError {
    fn from(error: StateError) -> Self {
        Self::server(error.to_string())
    }
}

impl From<std::io::Error> for RpcError {
    fn from(error: std::io::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<Error> for RpcError {
    fn from(error: Error) -> Self {
        if let Error::Pruned { .. } = error {
            return Self::new(PRUNED, error.to_string());
        }
        tracing::error!(%error, "a request failed");
        Self::internal(error.to_string())
    }
}
