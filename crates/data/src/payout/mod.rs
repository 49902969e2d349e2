//! What data owners are owed by call, paid by period: totals from receipts, a Merkle root, claims.
//!
//! ```text
//!  data-use receipts (kind 5) ──▶ totals by account ──▶ tree ──root──▶ ContributionRoot
//!        │ each owner holds its own,                                    │ window, then claims
//!        │ promised by the provider's signature                        ▼
//!        └────────────────────▶ explain: owed, paid, and what was left out, with its proof
//! ```
//! An account's stream is contiguous from 1 and carries its total, so the newest receipt says all
//! that is owed. Whoever leaves it out of a root is refuted by the own signature.

mod explain;
mod series;
mod stream;
mod tree;

pub use explain::{Account, Explanation, Fault, Held, Omission, explain};
pub use series::{Contributions, History, Proposed, history};
pub use stream::{check_receipt, check_stream, totals};
pub use tree::{Leaf, Tree, verify_leaf};
