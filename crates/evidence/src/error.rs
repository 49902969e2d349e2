/// Why evidence could not be read, or does not show what it claims.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Larger than this software reads.
    #[error("the {what} has {found} bytes, more than the {limit} that are read")]
    TooLarge {
        /// The thing that was read.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The most that is read.
        limit: usize,
    },
    /// Text that is not JSON, or is JSON in which a key stands twice.
    #[error("the bundle cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON that says the same in other words, or says more than is read: one bundle has one form.
    #[error(
        "the bundle is not in its own form: a field is unknown, spelled otherwise or null; \
         write it as the software that made it does"
    )]
    Form,
    /// Two statements that do not contradict each other, or are not about one thing.
    #[error("this shows no fault: {0}")]
    NoFault(&'static str),
    /// A policy of logs and witnesses that is none.
    #[error("line {line} of the policy: {why}")]
    Policy {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A signature, a proof or a format that does not hold.
    #[error(transparent)]
    Core(#[from] vouch_core::Error),
}
