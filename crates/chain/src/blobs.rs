//! What comes with a transaction that has blobs (EIP-4844, EIP-7594): it is checked and let go.
//!
//! Blobs are the consensus layer's to keep, of which there is none here; a block, and so whatever
//! waits for one, has their hashes alone.

use alloy::consensus::{EthereumTxEnvelope, Signed, TxEip4844WithSidecar, TxEnvelope};
use alloy::eips::eip7594::BlobTransactionSidecarVariant;
use alloy_primitives::B256;
use revm::primitives::hardfork::SpecId;

use crate::admission::Rejection;
use crate::rules::Rules;

/// A transaction as it is sent: with its blobs, where it has any.
pub(crate) type Sent = EthereumTxEnvelope<TxEip4844WithSidecar>;
/// Blobs, commitments and proofs.
pub(crate) type Sidecar = BlobTransactionSidecarVariant;

/// A transaction as a block has it, and what came with its blobs.
pub(crate) fn split(sent: Sent) -> (TxEnvelope, Option<Sidecar>) {
    match sent {
        Sent::Eip4844(signed) => {
            let (sent, signature, hash) = signed.into_parts();
            let (transaction, sidecar) = sent.into_parts();
            let signed = Signed::new_unchecked(transaction.into(), signature, hash);
            (TxEnvelope::Eip4844(signed), Some(sidecar))
        }
        other => (other.into_envelope(), None),
    }
}

/// Checks all that is cheap.
pub(crate) fn check(hashes: &[B256], sidecar: &Sidecar, rules: &Rules) -> Result<(), Rejection> {
    if !rules.are(SpecId::CANCUN) {
        return Err(Rejection::TooEarly { kind: 3, fork: "Cancun" });
    }
    // From Osaka on each cell of a blob has a proof. Clients that know only one for a whole blob
    // are served all the same, as geth does.
    if sidecar.is_eip7594() && !rules.are(SpecId::OSAKA) {
        return Err(Rejection::CellProofs);
    }
    let (have, permitted) = (hashes.len(), rules.max_blobs_per_transaction());
    if have == 0 {
        return Err(Rejection::NoBlobs);
    }
    if have as u64 > permitted {
        return Err(Rejection::TooManyBlobs { have, permitted });
    }
    match sidecar.blobs().len() {
        blobs if blobs == have => Ok(()),
        blobs => Err(Rejection::BlobCount { blobs, hashes: have }),
    }
}

/// Checks that these blobs have these hashes. The first time takes a second or two more, in which
/// the trusted setup is read.
pub(crate) fn verify(hashes: &[B256], sidecar: &Sidecar) -> Result<(), Rejection> {
    // Larger tables (up to 15) only make proofs faster, and none are made here.
    let settings = c_kzg::ethereum_kzg_settings(0);
    sidecar.validate(hashes, settings).map_err(|error| Rejection::Sidecar(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::eips::eip7594::BlobTransactionSidecarEip7594;
    use alloy::eips::eip7840::BlobParams;
    use alloy::genesis::ChainConfig;
    use alloy_primitives::U256;

    #[test]
    fn rules_say_how_many_there_may_be_and_how_they_are_proved() {
        let mut config = ChainConfig {
            terminal_total_difficulty: Some(U256::ZERO),
            shanghai_time: Some(0),
            cancun_time: Some(10),
            prague_time: Some(20),
            osaka_time: Some(30),
            ..ChainConfig::default()
        };
        let few = BlobParams { target_blob_count: 1, max_blob_count: 2, ..BlobParams::osaka() };
        config.blob_schedule.insert("osaka".to_owned(), few);
        let at = |time, blobs: usize, sidecar: &Sidecar| {
            check(&vec![B256::ZERO; blobs], sidecar, &Rules::of(&config, 1, time, true))
        };
        let (whole, cells) =
            (Sidecar::default(), Sidecar::Eip7594(BlobTransactionSidecarEip7594::default()));
        assert_eq!(at(9, 1, &whole), Err(Rejection::TooEarly { kind: 3, fork: "Cancun" }));
        assert_eq!(at(10, 0, &whole), Err(Rejection::NoBlobs));
        assert_eq!(at(10, 7, &whole), Err(Rejection::TooManyBlobs { have: 7, permitted: 6 }));
        assert_eq!(at(20, 9, &whole), Err(Rejection::BlobCount { blobs: 0, hashes: 9 }));
        assert_eq!(at(29, 1, &cells), Err(Rejection::CellProofs));
        assert_eq!(at(30, 2, &cells), Err(Rejection::BlobCount { blobs: 0, hashes: 2 }));
        let more_than_a_block_has = Err(Rejection::TooManyBlobs { have: 3, permitted: 2 });
        assert_eq!(at(30, 3, &whole), more_than_a_block_has);
    }
}
