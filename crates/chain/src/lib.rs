//! Run an Ethereum chain inside your process, on one directory.
//!
//! ```text
//! raw transaction ─▶ admission ─▶ pool ─▶ builder thread ─▶ execute ─▶ roots, header
//!                                                                         │
//! receipts, logs, state, proofs ◀─ publish ◀─ one fdatasync ◀─ journal ◀──┘
//! ```
//!
//! [`Chain::open`] starts it, [`Chain::provider`] is an alloy provider in process,
//! [`Chain::router`] is the same JSON-RPC over HTTP and WebSocket.
//!
//! ```
//! use alloy::providers::Provider;
//! use vouch_chain::{Chain, Genesis, Options, SystemClock, random_chain_id};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let genesis = Genesis::development(random_chain_id()?, 1_700_000_000);
//! let chain = Chain::open(dir.path(), Options::new(genesis, SystemClock))?;
//! assert_eq!(chain.provider().get_chain_id().await?, chain.chain_id());
//! chain.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! - Nothing is visible before it is durable: a receipt, a block or a new balance can be read only
//!   after the block's sync, so `kill -9` and a power cut lose nothing that anyone was shown.
//! - A block is what Ethereum would have made of these transactions under the rules that its
//!   genesis sets, from Frontier to Osaka: state, transactions and receipts roots, logs bloom, base
//!   fee and hash are the real ones. Blocks of other networks can be imported: one that is not what
//!   its header says is refused, and leaves nothing behind.
//! - The journal is the truth. A start goes on from a snapshot whose state comes to its root, and
//!   executes what follows again, comparing every root; a difference is refused.
//! - There are no reorganisations: `latest`, `safe` and `finalized` are the same block. Only who
//!   develops takes blocks back (`evm_revert`), where [`Options::by_hand`] allows it.
//! - Timestamps never go back, and may repeat: blocks can be mined faster than one a second, and
//!   contracts that count on the clock must not see it run ahead.
//!
//! # What it does not do
//! No peers and no consensus layer: the blocks that it makes have no withdrawals, and blobs are
//! checked against the transaction that they come with and kept by nobody. Work (ethash) is not
//! checked, and no block is made before the merge. It signs for [`Options::accounts`] alone.
//! The state, its tries and the newest blocks are in memory; older blocks, where transactions are and
//! what accounts were at each block are on disk, and nothing of that is ever removed. Proofs of old
//! blocks look through all that has changed since, up to 16 MiB of it.

mod accounts;
mod admission;
mod blobs;
mod block;
mod builder;
mod chain;
mod clock;
mod compact;
mod edit;
mod error;
mod exchange;
mod execute;
mod genesis;
mod index;
mod keeper;
mod node;
mod pool;
mod record;
mod replay;
mod rpc;
mod rules;
mod sender;
mod snapshots;
mod state;
mod status;
pub mod testing;
mod transport;

pub use chain::{ByHand, Chain, Mining, Options, Progress, check};
pub use clock::{Clock, ManualClock, SystemClock};
pub use compact::{Compacted, compact};
pub use error::{Error, Result};
pub use genesis::{Genesis, GenesisAccount, random_chain_id};
pub use index::{check_index, known_record, remove_index};
pub use record::is_genesis_record;
pub use rpc::BODY_LIMIT_BYTES;
pub use status::{Monitor, Status};
