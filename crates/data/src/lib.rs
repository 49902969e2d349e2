//! Publish data, allow its use, find it, value it, and pay for it.
//!
//! ```text
//!  owner                          chain                        who uses it
//!  dataset ──root, card hash──▶ ConsentRegistry ──events──▶ consent (default deny)
//!    │ sealed                     ▲ grant, revoke               │ at start and at settlement
//!    └──▶ serve ──documents, proofs, under a grant──▶ search ───┤──▶ citations
//!                                                     value  ───┤──▶ weights
//!  payout ◀── data-use receipts, promised ──────────────────────┘
//!    └─▶ ContributionRoot (claims by proof)      lineage: RoyaltyVault (splits up the graph)
//! ```
//!
//! ```
//! use alloy_primitives::{Address, B256};
//! use vouch_data::{dataset::dataset_id, value::apportion};
//!
//! // A dataset's name has its owner in it: nobody can take another's root.
//! let root = B256::repeat_byte(7);
//! assert_ne!(dataset_id(Address::repeat_byte(1), root), dataset_id(Address::repeat_byte(2), root));
//! // Money is split without losing a unit.
//! assert_eq!(apportion(100, &[1, 1, 1])?, [34, 33, 33]);
//! # Ok::<(), vouch_data::Error>(())
//! ```
//!
//! # Invariants
//! - What no grant allows now, by the chain, is denied; what is not known, or was known too long
//!   ago, is denied, too. A use is checked when it starts and when it settles.
//! - On the chain: an owner's address, a root over salted leaves, a card's hash. No content, no
//!   names of documents, no personal data.
//! - Documents and indexes are sealed at rest; a sealed message opens in its own place only.
//! - Money is integers: weights sum to 10^18, a pot is split without a rest.
//! - The same input gives the same order, the same values and the same bits.
//! - A document is data: nothing in it is interpreted, and what is printed of it cannot act on a
//!   terminal.
//!
//! # What it does not do
//! Revoking a grant stops future use and future pay. It does not untrain a model that was trained
//! before, and it cannot take back what a grantee has read. This crate runs no model: it is given
//! an [`Embed`]. It keeps no money: contracts do.
#![deny(missing_docs)]

pub mod consent;
pub mod dataset;
mod decimal;
mod error;
mod files;
pub mod lineage;
pub mod payout;
pub mod seal;
pub mod search;
mod send;
pub mod serve;
pub mod value;

pub use error::{EmbedError, Error, Result};

/// Turns texts into vectors whose inner product says how near they are in meaning.
pub trait Embed: Send + Sync {
    /// One vector for each text, in order, all of one length.
    ///
    /// # Errors
    /// Whatever the model says.
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError>;
}
