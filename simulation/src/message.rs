//! What goes over the wire.

use alloy_primitives::B256;
use vouch_core::{channel::SignedVoucher, request::Request, signature::Signature};
use vouch_store::Acknowledged;

use crate::chain::{Channel, Transaction};

/// The one paid resource.
pub const RESOURCE: &str = "POST /v1/chat/completions";

/// A call with its payment.
#[derive(Debug, Clone)]
pub struct Payment {
    /// Who pays.
    pub payer: usize,
    /// The channel that pays.
    pub channel: Channel,
    /// The voucher.
    pub voucher: SignedVoucher,
    /// In session mode, the nonce and the signed request.
    pub session: Option<(B256, Request, Signature)>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// The most tokens that are wanted: the call's body.
    pub max_tokens: u64,
    /// The payer's name for it, which comes back with what is said about it.
    pub call: B256,
}

impl Payment {
    /// The call's body.
    #[must_use]
    pub fn body(&self) -> [u8; 8] {
        self.max_tokens.to_be_bytes()
    }
}

/// What a gateway says to a payer about a call.
#[derive(Debug, Clone)]
pub enum Said {
    /// It runs, and `held` is set aside for it.
    Started {
        /// Atomic units.
        held: u128,
    },
    /// A part of the answer is given out: what it is worth by now, and what is set aside.
    Served {
        /// Atomic units.
        worth: u128,
        /// Atomic units.
        held: u128,
    },
    /// A stream stands still for want of a higher voucher.
    VoucherNeeded {
        /// The least total.
        required: u128,
    },
    /// It does not run.
    Refused {
        /// The total that a stock voucher should be for, where that is why.
        expected: Option<u128>,
        /// The total that must be signed for, where that is why.
        required: Option<u128>,
        /// Nothing will ever run on this channel again.
        gone: bool,
    },
    /// It ended before anything was served: nothing is charged.
    Left,
    /// The receipt and the promise.
    Answer(Box<Acknowledged>),
}

/// A message on its way.
#[derive(Debug, Clone)]
pub enum Message {
    /// To a gateway.
    Pay(usize, Box<Payment>),
    /// To a gateway: a higher voucher.
    Voucher(usize, Channel, SignedVoucher),
    /// To a gateway: the payer leaves.
    Leave(usize, B256),
    /// To a gateway: claim what was charged, refund the rest; with the best voucher.
    Close(usize, Channel, SignedVoucher),
    /// From a gateway to a payer about a call.
    Said(usize, B256, Said),
    /// To the chain.
    Transaction(Transaction),
}
