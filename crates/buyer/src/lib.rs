//! Buy answers from providers that are not trusted: pay as they come, check what came, keep proof.
//!
//! ```text
//!  any OpenAI client ──▶ Connect ──┐             ┌──▶ provider (x402 session, docs/PROTOCOL.md)
//!          vouch ask ──▶ Buyer ────┼── call ─────┤      402, answer, vouch.voucher, vouch.receipt
//!                                  │             └──▶ its log, its chain
//!     wallet, budget ──▶ pay ──────┤
//!                                  ▼
//!              journal (one record a fact) ─▶ ledger        bundles/<receipt digest>.json
//! ```
//!
//! Invariants:
//! - Durable first: a channel, deposit, request or voucher is in the journal before it leaves the
//!   machine. After any crash the same channel goes on, no lower voucher is signed, and a call in
//!   flight is repeated with the nonce it had, which is never charged twice.
//! - `spent + ahead <= total` over all channels, whatever providers do: `ahead` is what is signed
//!   for and not charged, all that they could take without giving anything. For a stream it is its
//!   input and [`Policy::ahead_quanta`] quanta of output; for a call that is not streamed its
//!   maximum.
//! - What is signed ahead is free again only when a chain says that the channel is settled, and what
//!   was claimed there above the receipts is spent. Where the only chain known is the provider's own
//!   JSON-RPC, that is its word: name another in [`Policy::rpc`].
//! - No answer is given out as checked that was not: [`vouch_evidence::verify`] over its bundle,
//!   its place among the channel's receipts, and its ids against its text. A stream's chunks are
//!   passed on before that, and end in an error if a check fails.
//! - A provider that broke its word is not dealt with again, and the evidence is kept.
//!
//! What it does not do: hold keys open to others, judge an answer's quality, or run a model again
//! to see whether it says the same (see `vouch verify`). One process has a data directory at a time.
#![deny(missing_docs)]

mod ask;
mod buyer;
mod call;
mod chain;
mod check;
mod close;
mod connect;
mod error;
mod follow;
mod pay;
mod policy;
mod recount;
mod seller;
mod state;
mod status;
mod witness;

pub use ask::{Answer, Question};
pub use buyer::Buyer;
pub use call::{Answered, Event, Running};
pub use connect::Connect;
pub use error::{Error, Misconduct};
pub use follow::Followed;
pub use policy::{Clock, Policy, system_clock};
pub use recount::{AnyTokenizer, Recount};
pub use seller::kept_tokenizer;
pub use state::{Amiss, Phase, check};
pub use status::{ChannelStatus, ReceiptStatus, Spending, Status};
