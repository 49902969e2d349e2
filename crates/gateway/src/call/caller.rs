//! The connection that waits for a call, seen from the call: it may be gone at any time.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use vouch_store::StoredAnswer;
use vouch_wire::sse;

use super::{Call, embed, run};
use crate::{
    app::App,
    error::{Refusal, Refused},
    offer::Task,
};

/// Chunks written ahead of the reader. Few: what is written ahead is charged.
const CHUNKS_AHEAD: usize = 4;

/// What a call gives its connection.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The whole answer, once it is durable.
    Whole(Box<StoredAnswer>),
    /// The answer as it comes.
    Stream(mpsc::Receiver<Bytes>),
}

/// Why something could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left;

/// The call's end of the connection.
pub(super) struct Caller {
    begin: Option<oneshot::Sender<Result<Outcome, Refused>>>,
    body: mpsc::Sender<Bytes>,
    unread: Option<mpsc::Receiver<Bytes>>,
    app: Arc<App>,
}

/// Runs a call in a task of its own, so that it ends in a commit whatever becomes of the
/// connection, and waits until there is something to answer.
pub(super) async fn start(app: &Arc<App>, call: Call, task: Task) -> Result<Outcome, Refused> {
    let (begin, begun) = oneshot::channel();
    let (body, unread) = mpsc::channel(CHUNKS_AHEAD);
    let caller = Caller { begin: Some(begin), body, unread: Some(unread), app: Arc::clone(app) };
    let app = Arc::clone(app);
    match task {
        Task::Generate(engine, request) => {
            tokio::spawn(run::run(app, call, caller, engine, *request));
        }
        Task::Embed(embedding) => {
            tokio::spawn(embed::run(app, call, caller, embedding));
        }
    }
    begun.await.unwrap_or_else(|_task_ended| Err(Refusal::Lost.into()))
}

impl Caller {
    /// Resolves when nobody reads any more.
    pub(super) async fn left(&mut self) {
        match &mut self.begin {
            Some(begin) => begin.closed().await,
            None => self.body.closed().await,
        }
    }

    /// Writes a piece of a stream; the first one begins it. A reader that stalls for long counts
    /// as gone, because it holds a place and money.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), Left> {
        if let (Some(begin), Some(unread)) = (self.begin.take(), self.unread.take()) {
            begin.send(Ok(Outcome::Stream(unread))).map_err(|_gone| Left)?;
        }
        match timeout(self.app.config.limits.stall_timeout, self.body.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_gone)) => Err(Left),
            Err(_elapsed) => Err(Left),
        }
    }

    /// Gives the whole answer.
    pub(super) fn answer(self, stored: StoredAnswer) {
        self.send(Ok(Outcome::Whole(Box::new(stored))));
    }

    /// Refuses; in mid-stream with an event, which OpenAI's clients raise as an error.
    pub(super) async fn refuse(mut self, refusal: Refusal) {
        if self.begin.is_some() {
            return self.send(Err(refusal.into()));
        }
        let Ok(json) = serde_json::to_string(&refusal.body()) else { return };
        if self.write(sse::encode(None, &json).into()).await.is_err() {
            tracing::debug!("the caller left before it was refused");
        }
    }

    fn send(mut self, outcome: Result<Outcome, Refused>) {
        let Some(begin) = self.begin.take() else { return };
        if begin.send(outcome).is_err() {
            tracing::debug!("the caller left before its answer");
        }
    }
}
