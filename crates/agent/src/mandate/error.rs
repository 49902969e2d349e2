use alloy_primitives::{Address, TxHash};

/// Why a mandate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MandateError {
    /// The file is no mandate.
    #[error("the mandate cannot be read: {0}")]
    Malformed(String),
    /// It says two things that cannot both hold, or something that can never be used.
    #[error("the mandate contradicts itself: {0}")]
    Contradiction(String),
    /// It has no RFC 8785 form.
    #[error("the mandate has no canonical form: {0}")]
    Canonical(String),
    /// The mandate is for another chain than the contracts.
    #[error(
        "the mandate is for chain {mandate} and this is chain {chain}: make one for this chain"
    )]
    Chain {
        /// The mandate's.
        mandate: u64,
        /// The contracts'.
        chain: u64,
    },
    /// A delegation is not signed by its delegator.
    #[error("a delegation of {wanted} is signed by {signer}: have the owner sign the mandate anew")]
    Signature {
        /// Who signed, zero if nobody did.
        signer: Address,
        /// Who should have.
        wanted: Address,
    },
    /// Nothing stands where the delegation framework should.
    #[error(
        "there is no contract at {0}, where the delegation framework should stand: deploy it with `vouch contracts deploy`"
    )]
    NotDeployed(Address),
    /// What is handed on is not the sub-agent's.
    #[error("permission {0} hands nothing on to a sub-agent")]
    NotDelegable(usize),
    /// A part of a mandate that says nothing of the act that handed it on.
    #[error(
        "the part does not name the act that it was handed on in: have the agent hand it on again"
    )]
    NoAct,
    /// More is handed on than the permission allows.
    #[error("{asked} is handed on and the permission allows {limit}")]
    AboveLimit {
        /// What is handed on.
        asked: u128,
        /// The permission's limit.
        limit: u128,
    },
    /// A transaction was mined and failed.
    #[error("the transaction {0} was mined and failed: check that the owner has coin for gas")]
    Reverted(TxHash),
    /// The chain could not be asked.
    #[error(
        "the chain did not answer {what}: {source}; check the endpoint and the owner's coin for gas"
    )]
    Rpc {
        /// What was asked.
        what: &'static str,
        /// The transport's or the node's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl MandateError {
    pub(crate) fn rpc<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Rpc { what, source: Box::new(source) }
    }
}
