//! What was made from what, and which part of its income goes back: read from the chain and computed
//! again, to the last unit.
//!
//! ```text
//!  dataset ◀─share─ base model ◀─share─ fine-tune ◀─share─ service ◀── channels pay its receiver
//!     └──────────── LineageRegistry events ──▶ Graph ──▶ explain ◀── RoyaltyVault events
//! ```
//! With r = all that a node received, net of the protocol's fee: a parent with share s is owed
//! floor(r·s/10000) in all, the owner r - floor(r·sum(s)/10000). What each gets depends on r alone.

mod collect;
mod explain;
mod graph;
mod registry;

pub use collect::{Step, Vault, plan};
pub use explain::{EdgeBooks, NodeBooks, Royalties, explain};
pub use graph::{Graph, Kind, Node};
pub use registry::{Lineage, Movement, movements, read};
