//! OpenAI's error bodies.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use vouch_wire::openai::{ErrorBody, ErrorDetail};

use crate::Error;

/// An error as OpenAI clients know it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: ErrorBody,
}

impl Refusal {
    fn new(status: StatusCode, kind: &str, code: &str, message: String) -> Self {
        let (kind, code) = (kind.to_owned(), Some(code.to_owned()));
        let error = ErrorDetail { message, kind, code, param: None, required: None };
        Self { status, body: ErrorBody { error } }
    }

    pub(super) fn text(why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_request", why.into())
    }

    pub(super) fn not_found() -> Self {
        let why = "there is no such route: see /v1/models, /v1/chat/completions, /vouch/status";
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "not_found", why.into())
    }

    pub(super) fn method() -> Self {
        let why =
            "that path takes another method: answers are asked for with POST, all else is GET";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "invalid_request_error", "method_not_allowed", why.into())
    }

    /// A body that is too large or broke off.
    pub(super) fn unread(status: StatusCode, limit_bytes: usize) -> Self {
        let (code, why) = match status {
            StatusCode::PAYLOAD_TOO_LARGE => (
                "body_too_large",
                format!("the body has more than {limit_bytes} bytes: send a smaller one"),
            ),
            _ => ("body_incomplete", "the body broke off: send it again".into()),
        };
        Self::new(status, "invalid_request_error", code, why)
    }

    pub(super) fn forbidden(why: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "invalid_request_error", "forbidden_origin", why.into())
    }

    /// The body, for the end of a stream.
    pub(super) fn body(&self) -> &ErrorBody {
        &self.body
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        use StatusCode as S;
        const INVALID: &str = "invalid_request_error";
        const PAYMENT: &str = "payment_error";
        const SERVER: &str = "server_error";
        let (status, kind) = match error {
            Error::Budget(_) | Error::Funds { .. } | Error::Voucher(_) => {
                (S::PAYMENT_REQUIRED, PAYMENT)
            }
            Error::Request(_) => (S::BAD_REQUEST, INVALID),
            Error::NoModel { .. } | Error::NotFound { .. } => (S::NOT_FOUND, INVALID),
            // A request that is too long or malformed is the caller's to mend.
            Error::Refused { status, .. } => match S::from_u16(*status) {
                Ok(status @ (S::BAD_REQUEST | S::PAYLOAD_TOO_LARGE | S::TOO_MANY_REQUESTS)) => {
                    (status, INVALID)
                }
                _ => (S::BAD_GATEWAY, SERVER),
            },
            Error::TermsChanged { .. } => (S::CONFLICT, PAYMENT),
            Error::Unreachable { .. }
            | Error::Policy { .. }
            | Error::Protocol { .. }
            | Error::Misconduct { .. }
            | Error::Distrusted { .. }
            | Error::Chain { .. } => (S::BAD_GATEWAY, SERVER),
            Error::Unknown { .. } => (S::GATEWAY_TIMEOUT, SERVER),
            Error::Journal(_) | Error::State(_) | Error::Io { .. } | Error::Random(_) => {
                (S::INTERNAL_SERVER_ERROR, SERVER)
            }
        };
        Self::new(status, kind, error.code(), error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
