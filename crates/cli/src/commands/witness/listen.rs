//! A witness that logs come to: C2SP tlog-witness over HTTP.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use vouch_core::log::{
    Checkpoint,
    note::Verifier,
    witness::{MAX_SUBMISSION_BYTES, Refused, SIZE_CONTENT_TYPE, Submission},
};

use super::memory::Memory;
use crate::output::Output;

pub(super) struct Witness {
    /// By origin.
    logs: BTreeMap<String, Verifier>,
    memory: Arc<Mutex<Memory>>,
    output: Output,
}

/// The witness's routes, for these logs.
pub(super) fn router(logs: Vec<Verifier>, memory: Arc<Mutex<Memory>>, output: Output) -> Router {
    let logs = logs.into_iter().map(|key| (key.name.clone(), key)).collect();
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(MAX_SUBMISSION_BYTES))
        .with_state(Arc::new(Witness { logs, memory, output }))
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    // It waits for the disk.
    let answer = tokio::task::spawn_blocking(move || witness.answer(&body)).await;
    answer.unwrap_or_else(|_panicked| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

impl Witness {
    fn answer(&self, body: &[u8]) -> Response {
        let refuse = |status: StatusCode, why: &str| (status, format!("{why}\n")).into_response();
        let read = std::str::from_utf8(body).map_err(|error| error.to_string()).and_then(|body| {
            let submission = Submission::parse(body).map_err(|error| error.to_string())?;
            let checkpoint = Checkpoint::parse(&submission.note.text);
            Ok((checkpoint.map_err(|error| error.to_string())?, submission))
        });
        let (checkpoint, submission) = match read {
            Ok(read) => read,
            Err(why) => return refuse(StatusCode::BAD_REQUEST, &why),
        };
        let Some(key) = self.logs.get(&checkpoint.origin) else {
            return refuse(StatusCode::NOT_FOUND, "this witness does not know that log");
        };
        if key.verify(&submission.note).is_none() {
            return refuse(StatusCode::FORBIDDEN, "the log's key has not signed that checkpoint");
        }
        let Submission { old, proof, note } = &submission;
        // Held from the comparison until the new checkpoint is durable.
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.cosign(note, &checkpoint, *old, proof) {
            Ok(Ok(line)) => {
                let Checkpoint { origin, size, .. } = &checkpoint;
                self.output.line(format_args!("cosigned {origin} at size {size}"));
                line.to_string().into_response()
            }
            Ok(Err(Refused::OldAboveNew)) => {
                refuse(StatusCode::BAD_REQUEST, &Refused::OldAboveNew.to_string())
            }
            Ok(Err(Refused::Cosigned(size))) => conflict(size),
            Ok(Err(refused @ Refused::OtherRoot(size))) => {
                self.accuse(&checkpoint, refused);
                conflict(size)
            }
            Ok(Err(refused @ Refused::Inconsistent(_))) => {
                self.accuse(&checkpoint, refused);
                refuse(StatusCode::UNPROCESSABLE_ENTITY, &refused.to_string())
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "nothing can be cosigned");
                refuse(StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot write: ask later")
            }
        }
    }

    /// The log signed it: whoever sent it, it is the log's word.
    fn accuse(&self, checkpoint: &Checkpoint, refused: Refused) {
        let Checkpoint { origin, size, .. } = checkpoint;
        self.output.line(format_args!("not cosigned: {origin} at size {size}: {refused}"));
    }
}

fn conflict(size: u64) -> Response {
    let content_type =
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(SIZE_CONTENT_TYPE))]);
    (StatusCode::CONFLICT, content_type, format!("{size}\n")).into_response()
}
