//! What can go wrong between a pool and a price.

use alloy_primitives::Address;

/// Result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no quote, or no pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The node could not be asked.
    #[error("the chain did not answer {what}: {source}; check the node's address and try again")]
    Rpc {
        /// Such as `for its newest block`.
        what: &'static str,
        /// The transport's or the node's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What stands at an address does not answer as a pool, token or position manager does.
    #[error("{address} is not {expected}: check the address and the network")]
    NotA {
        /// Where.
        address: Address,
        /// Such as `a Uniswap v3 pool`.
        expected: &'static str,
    },
    /// Nothing stands at an address.
    #[error(
        "there is no contract at {address}, where {what} should stand: check the address and the \
         network"
    )]
    NoCode {
        /// Where.
        address: Address,
        /// Such as `the policy's governor`.
        what: &'static str,
    },
    /// A pool does not trade this token.
    #[error("pool {pool} does not trade {token}")]
    OtherToken {
        /// The pool.
        pool: Address,
        /// What was to be sold or valued.
        token: Address,
    },
    /// A pool cannot take this much, at any price.
    #[error("pool {pool} has too little liquidity for this amount")]
    Liquidity {
        /// The pool.
        pool: Address,
    },
    /// The swap would leave the ticks that were read.
    #[error("pool {pool}: the swap would move the price beyond the ticks that were read")]
    Beyond {
        /// The pool.
        pool: Address,
    },
    /// Numbers that no pool of real tokens has.
    #[error("pool {pool}: the amount overflows the contracts' arithmetic")]
    Overflow {
        /// The pool.
        pool: Address,
    },
}

impl Error {
    pub(crate) fn rpc<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Rpc { what, source: Box::new(source) }
    }
}
