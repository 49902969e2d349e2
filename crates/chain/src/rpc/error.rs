//! JSON-RPC errors, with the codes geth uses.

use serde_json::Value;

use crate::Error;
use crate::admission::Rejection;
use crate::fork::{Failure, Place};
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
/// No code of any error.
const NULL: i64 = 0;

/// Most characters of foreign text that an error message repeats.
const QUOTE_CHARS: usize = 200;

/// What a failed call is answered with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Value>,
    /// What the request is about, where that is not here and the node of the chain that is forked
    /// may have it: then its answer takes the place of this one.
    pub(crate) elsewhere: Option<Place>,
}

impl RpcError {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None, elsewhere: None }
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
        Self { data: Some(Value::String(output.to_string())), ..Self::new(REVERTED, message) }
    }

    /// It is not here; the node of the chain that is forked may have it.
    pub(crate) fn elsewhere(self, place: Place) -> Self {
        Self { elsewhere: Some(place), ..self }
    }

    /// Of a request that no other node can answer.
    pub(crate) fn here(self) -> Self {
        Self { elsewhere: None, ..self }
    }

    /// As [`Self::elsewhere`]; `null` if that has nothing either.
    pub(crate) fn null_here(place: Place) -> Self {
        Self::new(NULL, "not found").elsewhere(place)
    }

    /// Whether `null` is meant.
    pub(crate) fn is_null(&self) -> bool {
        self.code == NULL && self.elsewhere.is_some()
    }

    pub(crate) fn sync_timeout(hash: alloy_primitives::B256, timeout_ms: u64) -> Self {
        let message =
            format!("the transaction was added to the pool but not mined within {timeout_ms} ms");
        let data = Some(Value::String(hash.to_string()));
        Self { data, ..Self::new(SYNC_TIMEOUT, message) }
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

impl From<Failure> for RpcError {
    fn from(failure: Failure) -> Self {
        match failure {
            // In its own words, as if it had been asked itself.
            Failure::Refused { code, message, data, .. } => {
                Self { data, ..Self::new(code, message) }
            }
            failure => Self::server(format!("the fork cannot be read: {failure}")),
        }
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
