/// Why something received was refused. Each is one sentence that is safe to send back: it quotes
/// nothing longer than serde's own description of the place.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// More bytes than the format may have here.
    #[error("{what} has more than {limit_bytes} bytes: send a smaller one")]
    TooLarge {
        /// What was read.
        what: &'static str,
        /// Its cap.
        limit_bytes: usize,
    },
    /// Bytes that do not follow their format.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A request setting that is out of range or not served.
    #[error("{param} {why}")]
    Param {
        /// The field of the request.
        param: &'static str,
        /// What is wrong with it and what to send instead: the rest of the sentence.
        why: String,
    },
    /// Chunks that do not make one response.
    #[error("the stream does not make one response: {0}")]
    Assemble(&'static str),
}

impl Error {
    pub(crate) fn malformed(what: &'static str, why: impl std::fmt::Display) -> Self {
        let mut why = why.to_string();
        if why.len() > MAX_REASON_BYTES {
            let end = (0..=MAX_REASON_BYTES).rev().find(|at| why.is_char_boundary(*at));
            why.truncate(end.unwrap_or(0));
        }
        Self::Malformed { what, why }
    }

    pub(crate) fn param(param: &'static str, why: impl Into<String>) -> Self {
        Self::Param { param, why: why.into() }
    }
}

/// serde quotes unknown names and values; a stranger's may be as long as the body.
const MAX_REASON_BYTES: usize = 300;
