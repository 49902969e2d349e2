use alloy_primitives::{Address, B256};

/// Why something said or signed was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A signature that is malformed, high-s, or has a `v` other than 27 and 28.
    #[error("the signature is malformed: {0}")]
    Signature(&'static str),
    /// A well-formed signature by somebody else.
    #[error("the signature is by {found}, not by {expected}")]
    Signer {
        /// Who had to sign.
        expected: Address,
        /// Who did.
        found: Address,
    },
    /// Bytes or text that do not follow their format.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// The thing that was read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// An amount that does not fit 128 bits.
    #[error("the amount does not fit 128 bits: lower the price or the token count")]
    Overflow,
    /// A Merkle proof that leads elsewhere.
    #[error("the Merkle proof leads to root {found}, not to {expected}")]
    Proof {
        /// The root that the proof had to reach.
        expected: B256,
        /// The root it reaches.
        found: B256,
    },
    /// A Merkle proof whose shape cannot belong to the sizes it claims.
    #[error("the Merkle proof is malformed: {0}")]
    ProofShape(&'static str),
    /// A text that has no canonical JSON form.
    #[error("the value has no canonical JSON form: {0}")]
    Canonical(String),
}

impl Error {
    pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        Self::Malformed { what, why: why.into() }
    }
}
