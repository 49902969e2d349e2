//! Refusals as HTTP: a status, a stable code, and one sentence.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::challenge::Spent;
use crate::{Error, consent::Denial};

#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such dataset here")
    }

    pub(super) fn busy() -> Self {
        let message = "too many requests at once: try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }
}

impl From<Spent> for Refusal {
    fn from(spent: Spent) -> Self {
        let message = match spent {
            Spent::NotOurs => {
                "the challenge is not this server's, or is for another dataset or grantee"
            }
            Spent::Expired => "the challenge has expired: ask for a new one",
            Spent::Used => "the challenge was used: ask for a new one",
            Spent::Busy => return Self::busy(),
        };
        Self::new(StatusCode::UNAUTHORIZED, "challenge", message)
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Stale => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "stale", denial.to_string())
            }
            denial => Self::new(StatusCode::FORBIDDEN, "denied", denial.to_string()),
        }
    }
}

impl From<Error> for Refusal {
    /// What is wrong on this side is logged here and not told to strangers.
    fn from(error: Error) -> Self {
        tracing::warn!(%error, "cannot serve a dataset");
        let message = "the server cannot read the dataset; its owner's log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        (self.status, Json(body)).into_response()
    }
}
