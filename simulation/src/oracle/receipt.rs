//! The receipt's canonical bytes, from the design's table.

use alloy_primitives::{B256, keccak256};
use vouch_core::receipt::Receipt;

/// keccak-256 of the canonical bytes: fixed width, big-endian, in the table's order.
pub(crate) fn digest(receipt: &Receipt) -> B256 {
    let mut bytes = Vec::with_capacity(518);
    bytes.push(receipt.version);
    bytes.extend(receipt.domain.chain.to_be_bytes());
    bytes.extend(receipt.domain.settlement);
    bytes.extend([receipt.kind as u8, receipt.status as u8, receipt.tier as u8]);
    bytes.extend(receipt.flags.to_be_bytes());
    bytes.extend(receipt.provider);
    bytes.extend(receipt.agent.to_be_bytes::<32>());
    bytes.extend(receipt.payer);
    bytes.extend(receipt.channel);
    bytes.extend(receipt.sequence.to_be_bytes());
    bytes.extend([receipt.request, receipt.response, receipt.tokens].concat());
    for count in [receipt.usage.input, receipt.usage.cached, receipt.usage.output] {
        bytes.extend(count.to_be_bytes());
    }
    bytes.extend([receipt.model, receipt.sampling, receipt.seed].concat());
    bytes.extend([receipt.commitment, receipt.terms].concat());
    bytes.extend(receipt.charge.to_be_bytes());
    bytes.extend(receipt.cumulative.to_be_bytes());
    bytes.extend(receipt.asset);
    bytes.extend(receipt.parent);
    bytes.extend(receipt.time.to_be_bytes());
    keccak256(bytes)
}
