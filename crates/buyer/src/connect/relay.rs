//! From a running call to an HTTP answer.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use vouch_wire::{
    openai::{Chunk, ChunkVouch},
    sse,
    vouch::RECEIPT_EVENT,
};

use super::refusal::Refusal;
use crate::{Answered, Error, Event, Running};

const RECEIPT: &str = "x-vouch-receipt";
const CHARGE: &str = "x-vouch-charge";
/// On an answer in one piece that is not whole: the code of the error that a stream ends in.
const CUT: &str = "x-vouch-cut";

/// Waits for the first sign of life, so that an error before it has its own status.
pub(super) async fn answer(mut running: Running, vouch: bool) -> Response {
    match running.events.recv().await {
        Some(Event::Chunk(chunk)) => streamed(running, chunk, vouch),
        Some(Event::Done(answered)) => whole(&answered, vouch),
        Some(Event::Failed(error)) => Refusal::from(&error).into_response(),
        None => ended().into_response(),
    }
}

fn ended() -> Refusal {
    Refusal::from(&Error::State("a call ended without an outcome".into()))
}

fn whole(answered: &Answered, vouch: bool) -> Response {
    let mut response = answered.bundle.response.clone();
    if !vouch && let Some(fields) = response.as_object_mut() {
        // Ids are many and of no use to most; what an answer is made from is.
        let removed = fields.remove("vouch");
        if let Some(sources) =
            removed.and_then(|mut vouch| vouch.as_object_mut()?.remove("sources"))
        {
            fields.insert("vouch".into(), serde_json::json!({ "sources": sources }));
        }
    }
    let mut reply = axum::Json(response).into_response();
    let receipt = &answered.bundle.receipt;
    for (name, value) in
        [(RECEIPT, receipt.digest().to_string()), (CHARGE, receipt.charge.to_string())]
    {
        if let Ok(value) = HeaderValue::try_from(value) {
            reply.headers_mut().insert(name, value);
        }
    }
    let headers = reply.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if let Some(error) = &answered.cut {
        headers.insert(CUT, HeaderValue::from_static(error.code()));
    }
    reply
}

/// Passes chunks on as they come. When the client goes away the body is dropped, and with it the
/// running call, which stops the provider.
fn streamed(running: Running, first: Chunk, vouch: bool) -> Response {
    let pieces = stream::unfold(
        (running, Some(first), false),
        move |(mut running, first, ended)| async move {
            if ended {
                return None;
            }
            let (bytes, ended) = match first {
                Some(chunk) => (written(chunk, vouch), false),
                None => next(running.events.recv().await, vouch),
            };
            Some((Ok::<_, Infallible>(Bytes::from(bytes)), (running, None, ended)))
        },
    );
    let mut reply = Body::from_stream(pieces).into_response();
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    reply
}

/// The bytes of the next event, and whether it is the last.
fn next(event: Option<Event>, vouch: bool) -> (Vec<u8>, bool) {
    match event {
        Some(Event::Chunk(chunk)) => (written(chunk, vouch), false),
        Some(Event::Done(answered)) => (finished(&answered, vouch), true),
        Some(Event::Failed(error)) => (failed(&Refusal::from(&error)), true),
        None => (failed(&ended()), true),
    }
}

fn written(mut chunk: Chunk, vouch: bool) -> Vec<u8> {
    if !vouch {
        let sources = chunk.vouch.take().and_then(|vouch| vouch.sources);
        chunk.vouch =
            sources.map(|sources| ChunkVouch { sources: Some(sources), ..ChunkVouch::default() });
    }
    sse::encode(None, &serde_json::to_string(&chunk).unwrap_or_default())
}

/// The receipt, as a comment that every client skips, or as an event to those who asked.
fn finished(answered: &Answered, vouch: bool) -> Vec<u8> {
    let receipt = &answered.bundle.receipt;
    let mut bytes = if vouch {
        let json = serde_json::to_string(&answered.acknowledgement).unwrap_or_default();
        sse::encode(Some(RECEIPT_EVENT), &json)
    } else {
        format!(": {RECEIPT} {} {CHARGE} {}\n\n", receipt.digest(), receipt.charge).into_bytes()
    };
    match &answered.cut {
        None => bytes.extend(sse::encode(None, "[DONE]")),
        Some(error) => bytes.extend(failed(&Refusal::from(error))),
    }
    bytes
}

/// An error in a stream, in the form that OpenAI's clients raise; no `[DONE]` after it.
fn failed(refusal: &Refusal) -> Vec<u8> {
    sse::encode(None, &serde_json::to_string(refusal.body()).unwrap_or_default())
}
