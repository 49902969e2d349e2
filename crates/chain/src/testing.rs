//! What a fuzzer asks without a chain.

use alloy::eips::eip2718::Encodable2718;
use alloy_primitives::B256;

use crate::rules::Rules;
use crate::{Genesis, admission, blobs};

/// A raw transaction that could be read, written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// As it is sent.
    pub sent: Vec<u8>,
    /// As a block has it: without blobs.
    pub mined: Vec<u8>,
    /// Its hash.
    pub hash: B256,
}

/// Reads a raw transaction as `eth_sendRawTransaction` does, and checks all that needs no state;
/// `None` if it cannot be read, whatever the checks say.
pub fn rewritten(raw: &[u8]) -> Option<Rewritten> {
    const CHAIN_ID: u64 = 7;
    let genesis = Genesis::development(CHAIN_ID, 0);
    let rules = Rules::of(genesis.config(), 1, 0, true);
    // A refusal is as good as another: it has to end.
    drop(admission::decode(raw, &rules, u64::MAX));
    let read = admission::read(raw).ok()?;
    let sent = read.encoded_2718();
    let (transaction, _) = blobs::split(read);
    Some(Rewritten { sent, mined: transaction.encoded_2718(), hash: *transaction.hash() })
}
