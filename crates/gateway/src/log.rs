//! The transparency log as C2SP tlog-tiles, and its witnesses' cosignatures.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use vouch_core::log::{
    note::{Note, NoteSignature},
    tile::Tile,
};

use crate::{
    app::App,
    error::Refusal,
    provider::{MAX_SMALL_BODY_BYTES, Named},
};

const CHECKPOINT: &str = "checkpoint";

/// `GET /log/...`.
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    Named(path): Named,
) -> Result<Response, Refusal> {
    let is_checkpoint = path == CHECKPOINT;
    // Nothing reaches the disk that is not the one spelling of a tile's path.
    if !is_checkpoint && Tile::parse(&path).is_none() {
        return Err(Refusal::NotFound("that file of the log"));
    }
    let store = Arc::clone(&app.store);
    let read = tokio::task::spawn_blocking(move || store.log_file(&path));
    let bytes = read.await.map_err(|_panicked| Refusal::Lost)??;
    let bytes = bytes.ok_or(Refusal::NotFound("that file of the log"))?;
    let (content_type, cache) = if is_checkpoint {
        ("text/plain; charset=utf-8", "no-cache")
    } else {
        ("application/octet-stream", "public, max-age=31536000, immutable")
    };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    Ok(response)
}

/// `POST /log/cosignatures`: one signature line for the newest checkpoint.
pub(crate) async fn cosign(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.small(&parts.headers, body, MAX_SMALL_BODY_BYTES).await?;
    let newest =
        app.store.checkpoint().ok_or(Refusal::Cosignature("there is no checkpoint yet"))?;
    let text = newest.checkpoint.text();
    let line = verified(&app, &text, &String::from_utf8_lossy(&body))?;
    app.store.add_cosignature(text, line).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn verified(app: &App, text: &str, line: &str) -> Result<NoteSignature, Refusal> {
    let malformed = Refusal::Malformed {
        what: "the cosignature",
        why: "send one signature line: an em dash, a name and base64",
    };
    let Ok(mut note) = Note::parse(&format!("{text}\n{}\n", line.trim_end_matches('\n'))) else {
        return Err(malformed);
    };
    if note.signatures.len() != 1 || note.text != text {
        return Err(malformed);
    }
    if !app.config.witnesses.iter().any(|witness| witness.verify(&note).is_some()) {
        return Err(Refusal::Cosignature(
            "no witness of this log made it for its newest checkpoint: fetch that and sign again",
        ));
    }
    note.signatures.pop().ok_or(malformed)
}
