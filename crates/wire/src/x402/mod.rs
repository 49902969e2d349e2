//! x402 v2 with the `batch-settlement` scheme on EVM chains.
//!
//! Read from `@x402/core` and `@x402/evm` 2.27.0; where the specification and the packages differ,
//! the packages hold, because stock clients are what talks to us.

pub mod code;
mod header;
mod offer;
mod payment;
mod settle;

pub use header::{
    MAX_HEADER_BYTES, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, decode, encode,
};
pub use offer::{Extensions, Extra, Info, Offer, PaymentRequired, Resource, SCHEME, VERSION};
pub use payment::{
    Authorization3009, Batch, BatchType, Deposit, DepositAuthorization, PaymentPayload, WireVoucher,
};
pub use settle::{ChannelState, SettleExtra, SettleResponse, VoucherState};
