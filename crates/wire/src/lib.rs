//! Speak the formats that others defined: x402 v2, OpenAI's API and server-sent events, with the
//! one extension (`vouch`) that this project adds to x402.
//!
//! ```text
//! PAYMENT-REQUIRED ──▶ offer ──┐                    ┌──▶ chunk, chunk, chunk ──▶ Assembler ─┐
//! PAYMENT-SIGNATURE ─▶ payment ┼─▶ gateway ─▶ Answer┤                                       ▼
//! PAYMENT-RESPONSE ◀── settle ─┘                    └──▶ Response  ═══ the same bytes ═══ Response
//! ```
//!
//! Invariants:
//! - What a stranger sends is bounded before it is decoded: every decoder has a size cap.
//! - One response, one canonical form: [`openai::Answer`]'s chunks, however they were cut,
//!   assemble to the object that the same call would have returned unstreamed.
//! - Field names and error codes are those of the npm packages `@x402/core` and `@x402/evm` 2.27.
//!
//! It opens no socket, checks no signature and knows no price: see `gateway` and `buyer`.
//!
//! ```
//! use vouch_wire::sse::{Parser, encode};
//!
//! let mut parser = Parser::new(1024);
//! let events = parser.push(&encode(Some("vouch.receipt"), "{}")).unwrap();
//! assert_eq!(events[0].name.as_deref(), Some("vouch.receipt"));
//! assert_eq!(events[0].data, "{}");
//! ```
#![deny(missing_docs)]

mod decimal;
mod error;
pub mod openai;
pub mod sse;
pub mod vouch;
pub mod x402;

pub use error::Error;
