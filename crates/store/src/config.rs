//! What a store is given from outside: who it is, clock, signers, limits.

use std::fmt;
use std::sync::Arc;

use vouch_core::domain::Domain;
use vouch_core::log::Checkpoint;
use vouch_core::log::note::NoteSignature;
use vouch_core::promise::Promise;
use vouch_core::signature::Signature;

use crate::error::Error;

/// Tells the time in Unix milliseconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;
/// Signs a promise with the provider's key. Called once a commit, on the committer's thread:
/// slow signers slow every commit down. The text of an error ends up in messages.
pub type PromiseSigner = Arc<dyn Fn(&Promise) -> Result<Signature, String> + Send + Sync>;
/// Signs a checkpoint: the log's Ed25519 line and the provider's secp256k1 line
/// ([`vouch_core::log::note::sign_ed25519`], [`vouch_core::log::note::sign_eip712`]).
pub type CheckpointSigner =
    Arc<dyn Fn(&Checkpoint) -> Result<Vec<NoteSignature>, String> + Send + Sync>;

/// How a store is set up.
#[derive(Clone)]
pub struct Config {
    /// The chain and contract that everything here belongs to.
    pub domain: Domain,
    /// The log's name.
    pub origin: String,
    /// The time.
    pub clock: Clock,
    /// Signs promises.
    pub sign_promise: PromiseSigner,
    /// Signs checkpoints.
    pub sign_checkpoint: CheckpointSigner,
    /// Seconds within which a promised receipt is in a checkpoint; at most 60.
    pub merge_delay_s: u64,
    /// How long a repeated call gets the stored answer. A request must expire before that, or a
    /// late repeat would be charged as new.
    pub answer_retention_ms: u64,
    /// New work is refused if [`crate::Store::set_recent_block`] was not called for this long;
    /// `None` never refuses.
    pub chain_stale_after_ms: Option<u64>,
    /// Entries, and KiB of the journal, after which they move from memory to the index. A start
    /// reads so much.
    pub index_every: u64,
    /// How the journal lays out its files.
    pub journal: vouch_journal::Options,
}

impl Config {
    /// A configuration with the usual limits: merged within 60 s, answers kept for a day.
    #[must_use]
    pub fn new(
        domain: Domain,
        origin: String,
        clock: Clock,
        sign_promise: PromiseSigner,
        sign_checkpoint: CheckpointSigner,
    ) -> Self {
        Self {
            domain,
            origin,
            clock,
            sign_promise,
            sign_checkpoint,
            merge_delay_s: 60,
            answer_retention_ms: 24 * 60 * 60 * 1000,
            chain_stale_after_ms: None,
            index_every: 4_096,
            journal: vouch_journal::Options::default(),
        }
    }

    /// Refuses new work if the chain was last seen, at `seen_ms`, too long ago.
    pub(crate) fn check_fresh(&self, seen_ms: u64) -> Result<(), Error> {
        let Some(limit_ms) = self.chain_stale_after_ms else { return Ok(()) };
        let age_ms = self.now_ms().saturating_sub(seen_ms);
        if age_ms > limit_ms { Err(Error::StaleChain(age_ms / 1000)) } else { Ok(()) }
    }

    /// Answers committed before this are forgotten.
    pub(crate) fn oldest_answer_ms(&self) -> u64 {
        self.now_ms().saturating_sub(self.answer_retention_ms)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("domain", &self.domain)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
