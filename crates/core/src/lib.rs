//! Say, sign and check what a buyer and a provider owe each other.
//!
//! ```text
//!   Terms ──────────┐ hash                 request body, response, token ids
//!                   ▼                                   │ commitments (nonce)
//!   Voucher ──▶ Channel ──reserve/commit──▶ Receipt ◀───┘
//!   (signed)    (machine)                     │ leaf = 0x01 || keccak256(receipt)
//!                                             ▼
//!                     Promise (one signature a commit)  ──▶ Checkpoint ──▶ anchor
//! ```
//!
//! Everything here is a value or a pure function: no clock, no socket, no disk.
//!
//! Invariants:
//! - `charged + reserved <= accepted` after every step of [`channel::Channel`].
//! - Encodings are canonical: [`receipt::Receipt::decode`] accepts only bytes that
//!   [`receipt::Receipt::encode`] could have made.
//! - Signatures are 65 bytes `r || s || v`, low-s, `v` 27 or 28; anything else is refused.
//!
//! It does not hold keys, keep state, or speak any protocol: see `wallet`, `store` and `wire`.
//!
//! ```
//! use vouch_core::money::{Prices, Usage};
//!
//! let prices = Prices { input: 300_000, cached: 30_000, output: 1_200_000, request: 5 };
//! let usage = Usage { input: 10, cached: 0, output: 3 };
//! // ceil((10 * 300_000 + 3 * 1_200_000) / 10^6) + 5
//! assert_eq!(prices.charge(&usage).unwrap(), 12);
//! ```
#![deny(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "a test that overflows or misses an index fails, which is its purpose"
    )
)]

pub mod act;
pub mod bundle;
pub mod channel;
pub mod commitment;
pub mod data_use;
pub mod domain;
mod error;
pub mod inquiry;
pub mod log;
pub mod money;
pub mod planted;
pub mod promise;
pub mod receipt;
pub mod request;
mod serde_decimal;
pub mod signature;
pub mod sourced;
pub mod terms;
pub mod training;
pub mod tree;

pub use alloy_primitives::{Address, B256, Bytes, U256};
pub use error::Error;
