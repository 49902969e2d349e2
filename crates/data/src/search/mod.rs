//! Find passages by meaning, among those that a grant allows now.
//!
//! ```text
//!  question ──embed──▶ inner products with every passage (exact, fixed order)
//!                          │ best first
//!                          ▼
//!            allowed? ── at most n an owner? ── no copy of one cited? ──▶ citations
//! ```

mod file;
mod index;
mod vector;

pub(crate) use index::embedded;
pub use index::{Hit, Index, Query, Source};
pub(crate) use vector::{dot, normalise};
