//! What callers ask of the writer.

use alloy_primitives::B256;
use vouch_core::channel::Reservation;

use crate::api::Call;
use crate::batch::Operation;
use crate::error::Error;
use crate::hold::Hold;
use crate::pending::{Reply, answer_to};

/// What is decided in a batch: the embedded store's operations, and those that it does in memory.
#[derive(Debug)]
pub(super) enum Task {
    Do(Operation),
    Reserve {
        call: Call,
        reply: Reply<Reserving>,
    },
    /// Gives the reservation that takes the place of the old one.
    Extend {
        channel: B256,
        request: B256,
        epoch: i64,
        amount: u128,
        reply: Reply<Reservation>,
    },
    Release {
        channel: B256,
        request: B256,
        epoch: i64,
    },
}

/// What became of a call that was about to begin.
#[derive(Debug)]
pub(super) enum Reserving {
    New(Hold),
    /// Log entry of its receipt.
    Done(u64),
}

impl Task {
    /// About how many bytes it sends to the database.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Do(operation) => operation.size_bytes(),
            _ => 200,
        }
    }

    /// Answers with an error instead of doing it.
    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Do(operation) => operation.refuse(error),
            Self::Reserve { reply, .. } => answer_to(reply, Err(error)),
            Self::Extend { reply, .. } => answer_to(reply, Err(error)),
            // The lease ends it.
            Self::Release { .. } => {}
        }
    }

    /// Whether it counts among those that wait: what is given up is never refused.
    pub(super) fn is_counted(&self) -> bool {
        !matches!(self, Self::Release { .. })
    }

    /// Whether it waits for the database to come back: what was sold is to be charged, and what was
    /// given up is to be released. Whoever asks for anything else can ask again.
    pub(super) fn outlasts(&self) -> bool {
        matches!(self, Self::Do(Operation::Commit(_)) | Self::Release { .. })
    }
}
