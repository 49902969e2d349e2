//! An answer that comes when its record is durable.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// The answer to an operation. The operation is under way already: dropping this does not undo it.
#[derive(Debug)]
#[must_use = "the operation may fail, and only this tells"]
pub struct Pending<T>(oneshot::Receiver<Result<T>>);

pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

impl<T> Pending<T> {
    pub(crate) fn new() -> (Reply<T>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// An answer that is there already, for other implementations of [`crate::Store`].
    pub fn ready(answer: Result<T>) -> Self {
        let (sender, pending) = Self::new();
        answer_to(sender, answer);
        pending
    }

    /// Waits in a thread that runs no async tasks.
    ///
    /// # Errors
    /// Those of the operation.
    ///
    /// # Panics
    /// In async context, where the future is to be awaited instead.
    pub fn wait(self) -> Result<T> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(gone())))
    }
}

/// Sends an answer; nobody may be waiting any more, which is theirs to decide.
pub(crate) fn answer_to<T>(reply: Reply<T>, answer: Result<T>) {
    drop(reply.send(answer));
}

fn gone() -> Error {
    Error::Stopped { cause: Arc::from("the store was closed") }
}
