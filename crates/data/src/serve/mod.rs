//! Serve an owner's documents to those who hold a grant now, and to nobody else.
//!
//! ```text
//!  grantee                                   owner
//!  GET  /datasets                            cards: public
//!  GET  /datasets/{id}/challenge?grantee=    a fresh challenge; nothing is kept of it
//!  POST /datasets/{id}/documents             signature (EIP-712, for this server and dataset, once)
//!                                              ▼ consent by the chain's newest block
//!       ◀── documents, salts, proofs ──      opened for this reply
//! ```
//! The sealed file stays sealed: a document is opened in memory for the reply that carries it.
//! Put TLS in front of it where the network is not yours.

mod access;
mod challenge;
mod refusal;
mod routes;

pub use access::{Access, Item, Page, Signed};
pub use routes::{Server, router};
