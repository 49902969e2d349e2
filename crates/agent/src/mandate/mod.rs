//! Mandates: what an agent may do for an owner, said once and enforced by a chain.
//!
//! ```text
//! mandate.toml ─check─▶ Mandate ─compile─▶ delegations ─owner signs─▶ Grant ──▶ the agent's signer
//!                          └ hash = `terms` of every act = salt of every delegation
//! ```
//!
//! What the chain holds, whoever has the agent's key: which contracts and methods, to whom tokens
//! go, how much of each token in a period, how often, until when. What only the signer holds: the
//! price of a swap (slippage, impact), which of the owner's positions is touched, and the dollars
//! paid for answers. A stolen key can so make the owner trade badly, up to the cap on what is sold.

pub(crate) mod abi;
mod check;
mod compile;
mod contracts;
mod delegation;
mod error;
mod grant;
mod hand;
mod install;
mod status;
mod terms;

pub use compile::{Compiled, Leaf, Use};
pub use contracts::{Contracts, Enforcers};
pub use delegation::{Caveat, Delegation, ROOT_AUTHORITY, hash_of, redeem, redeem_all, signed};
pub use error::MandateError;
pub use grant::Grant;
pub use hand::{Hand, MadeIn, Part};
pub use install::{install, revoke};
pub use status::{CapStatus, Status, status};
pub use terms::{Cap, Mandate, Permission, Venue};
