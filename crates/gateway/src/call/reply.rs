//! Writes answers: whole, repeated, or as they come.

use std::convert::Infallible;

use alloy_primitives::B256;
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use vouch_core::channel::Mode;
use vouch_store::{Acknowledged, StoredAnswer};
use vouch_wire::{
    openai::{Endpoint, Response as ModelResponse},
    sse,
    vouch::{Acknowledgement, ChildReceipt, RECEIPT_EVENT},
    x402::{self, Extensions, SettleExtra, SettleResponse},
};

use super::Paid;
use crate::{
    app::App,
    error::{Refusal, Refused},
    offer::channel_state,
};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// A whole answer; to a caller that streams, all of its events at once.
pub(super) fn whole(
    app: &App,
    endpoint: Endpoint,
    paid: &Paid,
    stored: StoredAnswer,
    stream: bool,
    include_usage: bool,
) -> Result<Response, Refused> {
    let acknowledgement = acknowledgement(stored.acknowledged, paid.nonce);
    let body = if stream {
        events(endpoint, paid, &stored.answer, &acknowledgement, include_usage)?
    } else {
        stored.answer
    };
    let settled = settled(app, paid, Some(acknowledgement))?;
    Ok(paid_reply(Body::from(body), if stream { EVENTS } else { JSON }, Some(settled)))
}

/// What the payer is told of a durable receipt. Its children are under the same promise, which is
/// told once: all of it has to fit a header.
pub(super) fn acknowledgement(acknowledged: Acknowledged, nonce: B256) -> Acknowledgement {
    let Acknowledged { receipt, promise, children } = acknowledged;
    let child = |Acknowledged { receipt, promise, .. }: Acknowledged| ChildReceipt {
        receipt,
        index: promise.index,
        path: promise.path,
    };
    let children = children.into_iter().map(child).collect();
    Acknowledgement { receipt, promise, nonce, children }
}

/// An answer as it comes.
pub(super) fn stream(
    app: &App,
    paid: &Paid,
    chunks: mpsc::Receiver<Bytes>,
) -> Result<Response, Refused> {
    let body = Body::from_stream(ReceiverStream::new(chunks).map(Ok::<_, Infallible>));
    Ok(paid_reply(body, EVENTS, deposited(app, paid)?))
}

/// The `PAYMENT-RESPONSE` of a deposit, where the call's own charge is not known or is none.
pub(super) fn deposited(app: &App, paid: &Paid) -> Result<Option<HeaderValue>, Refusal> {
    match paid.deposit {
        Some(_) => settled(app, paid, None).map(Some),
        None => Ok(None),
    }
}

fn events(
    endpoint: Endpoint,
    paid: &Paid,
    answer: &[u8],
    acknowledgement: &Acknowledgement,
    include_usage: bool,
) -> Result<Vec<u8>, Refusal> {
    let unreadable = |error| {
        tracing::error!(%error, "a stored answer cannot be read");
        Refusal::Lost
    };
    let response: ModelResponse = serde_json::from_slice(answer).map_err(unreadable)?;
    let mut bytes = Vec::with_capacity(answer.len() * 2);
    for chunk in response.to_chunks(endpoint, include_usage) {
        let json = serde_json::to_string(&chunk).map_err(unreadable)?;
        bytes.extend_from_slice(&sse::encode(None, &json));
    }
    if paid.mode == Mode::Session {
        let json = serde_json::to_string(acknowledgement).map_err(unreadable)?;
        bytes.extend_from_slice(&sse::encode(Some(RECEIPT_EVENT), &json));
    }
    bytes.extend_from_slice(&sse::encode(None, "[DONE]"));
    Ok(bytes)
}

fn settled(
    app: &App,
    paid: &Paid,
    acknowledgement: Option<Acknowledgement>,
) -> Result<HeaderValue, Refusal> {
    let receipt = acknowledgement.as_ref().map(|acknowledgement| &acknowledgement.receipt);
    let charged = receipt.map_or(paid.channel.charged, |receipt| receipt.cumulative);
    let extra = SettleExtra {
        charged_amount: Some(receipt.map_or(0, |receipt| receipt.charge)),
        channel_state: Some(channel_state(&paid.channel, charged)),
    };
    settle_header(&SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some(paid.channel.config.payer),
        transaction: paid.deposit.map(|hash| hash.to_string()).unwrap_or_default(),
        network: app.config.domain.network(),
        amount: Some(String::new()),
        extensions: acknowledgement.map(Extensions::vouch),
        extra: Some(extra),
    })
}

/// A `PAYMENT-RESPONSE` header's value.
pub(crate) fn settle_header(
    response: &SettleResponse<Acknowledgement>,
) -> Result<HeaderValue, Refusal> {
    let text = x402::encode(response).map_err(|_| Refusal::Lost)?;
    HeaderValue::try_from(text).map_err(|_| Refusal::Lost)
}

/// A reply that somebody paid for: nothing on the way may keep it.
fn paid_reply(body: Body, content_type: &'static str, settled: Option<HeaderValue>) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if let Some(settled) = settled {
        headers.insert(x402::PAYMENT_RESPONSE, settled);
    }
    response
}
