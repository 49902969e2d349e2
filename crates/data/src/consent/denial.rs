use alloy_primitives::{Address, B256};

/// Why a use is not allowed. What no grant allows is denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// No such grant was recorded.
    #[error("grant {0} is not in the registry")]
    Unknown(B256),
    /// Nothing is granted on a dataset for this use.
    #[error("no grant of dataset {dataset} allows {grantee} this use now")]
    NoGrant {
        /// The dataset.
        dataset: B256,
        /// Who would use it.
        grantee: Address,
    },
    /// Another's grant.
    #[error("grant {id} is {grantee}'s")]
    Grantee {
        /// The grant.
        id: B256,
        /// Whose it is.
        grantee: Address,
    },
    /// A grant for something else.
    #[error("grant {0} is for another purpose")]
    Purpose(B256),
    /// A grant for another model or service.
    #[error("grant {0} is for another service")]
    Service(B256),
    /// It has not started.
    #[error("grant {id} runs from Unix time {start}")]
    Early {
        /// The grant.
        id: B256,
        /// When it starts.
        start: u64,
    },
    /// It has ended.
    #[error("grant {id} ended at Unix time {end}")]
    Ended {
        /// The grant.
        id: B256,
        /// When it ended.
        end: u64,
    },
    /// The owner took it back.
    #[error("grant {0} was revoked by its owner")]
    Revoked(B256),
    /// What is known of the chain is too old to answer by.
    #[error("the chain was not seen for too long to know whether a grant still holds")]
    Stale,
}
