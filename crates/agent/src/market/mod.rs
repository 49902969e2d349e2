//! Read Uniswap pools and say exactly what a swap would give.
//!
//! ```text
//! chain ── Multicall3, one block ──▶ Snapshot { balances, pools, positions } ──▶ quotes, values
//! ```
//!
//! Quotes are the contracts' own integer arithmetic, rounding and all: `tests/trade/market.rs`
//! compares them with `QuoterV2` and the v2 router on a real chain. A snapshot is plain data, so what
//! is decided on it can be decided again from a file.
//!
//! It does not know tokens that keep a part of a transfer: a quote is then too high, and the
//! order's `min_out` makes such a swap fail rather than cost.

mod error;
pub(crate) mod math;
mod pool;
mod read;
mod snapshot;
pub mod tick;
pub mod v2;
pub mod v3;

pub use error::{Error, Result};
pub use pool::{Pool, Quote};
pub use read::{Chain, Watch};
pub use snapshot::{Position, Snapshot};
