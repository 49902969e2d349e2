//! The seams: who carries orders out, and who answers questions.

use futures_util::future::BoxFuture;

use super::{Order, Outcome, Result, Sent};
use crate::strategy::{Advice, Question};

/// Called with what may be under way, before it can reach the chain; it is durable afterwards.
pub type Note<'a> = &'a mut (dyn FnMut(Sent) -> Result<()> + Send);

/// Carries orders out.
///
/// Durability: none of its own is asked for; what it passes to `note` is kept for it. Concurrency: one
/// order at a time. Retries: none by the caller; an executor never sends an order a second time.
pub trait Executor: Send + Sync {
    /// Carries `order` out and waits for its outcome, for a bounded time.
    fn execute<'a>(&'a self, order: &'a Order, note: Note<'a>) -> BoxFuture<'a, Result<Outcome>>;

    /// What came of an order that was begun before, perhaps by another process. `sent` is what was
    /// noted last; nothing noted means that nothing can have reached the chain.
    fn reconcile<'a>(
        &'a self,
        order: &'a Order,
        sent: Option<Sent>,
    ) -> BoxFuture<'a, Result<Outcome>>;
}

/// Answers questions, for money. Bounded in time by itself.
pub trait Adviser: Send + Sync {
    /// The answer, or none.
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Advice>;
}
