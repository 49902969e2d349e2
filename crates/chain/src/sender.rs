//! Who signed: public key recovery with libsecp256k1.
//!
//! This is the most expensive step of a transaction (about 50 us), so it runs on the thread that
//! received it, never on the builder's, and once: blocks are stored with their senders.

use std::thread;

use alloy::consensus::TxEnvelope;
use alloy::consensus::transaction::Recovered;
use alloy::eips::eip7702::{RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Signature, U256, keccak256, uint};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

/// Half the order of secp256k1: a larger `s` is a malleable copy of another signature (EIP-2).
const HALF_ORDER: U256 =
    uint!(0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0_U256);

/// Fewer signatures are not worth another thread.
const LEAST_PER_THREAD: usize = 16;

/// The signer of `transaction`, or `None` if the signature is not one (or has a high `s`).
pub(crate) fn recover(transaction: &TxEnvelope) -> Option<Address> {
    recover_digest(transaction.signature_hash(), transaction.signature(), false)
}

/// The signers of a block's transactions, on as many threads as there are processors. `any_s`: also
/// a high `s` is one, as it was until Homestead.
///
/// # Errors
/// The hash of a transaction whose signature is none.
pub(crate) fn recover_all(
    transactions: Vec<TxEnvelope>,
    any_s: bool,
) -> Result<Vec<Recovered<TxEnvelope>>, B256> {
    let one = |transaction: &TxEnvelope| {
        recover_digest(transaction.signature_hash(), transaction.signature(), any_s)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = transactions.len().div_ceil(threads).max(LEAST_PER_THREAD);
    let mut shares = transactions.chunks(share);
    let first = shares.next().unwrap_or_default();
    let signers: Vec<Option<Address>> = thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|share| scope.spawn(move || share.iter().map(one).collect::<Vec<_>>()))
            .collect();
        let mut signers: Vec<_> = first.iter().map(one).collect();
        for other in others {
            // A thread that has panicked has found nobody.
            signers.extend(other.join().unwrap_or_default());
        }
        signers
    });
    let mut signers = signers.into_iter();
    let recovered = transactions.into_iter().map(|transaction| match signers.next().flatten() {
        Some(signer) => Ok(Recovered::new_unchecked(transaction, signer)),
        None => Err(*transaction.hash()),
    });
    recovered.collect()
}

/// The authority of an EIP-7702 authorization. A bad one is kept, as the EVM skips it by rule.
pub(crate) fn recover_authorization(signed: &SignedAuthorization) -> RecoveredAuthorization {
    let authority = signed
        .signature()
        .ok()
        .and_then(|signature| recover_digest(signed.signature_hash(), &signature, false))
        .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
    RecoveredAuthorization::new_unchecked(signed.inner().clone(), authority)
}

fn recover_digest(digest: B256, signature: &Signature, any_s: bool) -> Option<Address> {
    if !any_s && signature.s() > HALF_ORDER {
        return None;
    }
    let mut compact = [0; 64];
    compact[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
    compact[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
    let id = RecoveryId::try_from(i32::from(signature.v())).ok()?;
    let signature = RecoverableSignature::from_compact(&compact, id).ok()?;
    let key = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature).ok()?;
    let hash = keccak256(&key.serialize_uncompressed()[1..]);
    Some(Address::from_slice(&hash[12..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::consensus::{SignableTransaction, TxEip1559};
    use alloy::signers::SignerSync;
    use alloy::signers::local::PrivateKeySigner;

    /// The order of secp256k1.
    const ORDER: U256 =
        uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);

    #[test]
    fn the_signer_is_found_and_its_high_s_twin_refused() {
        let signer = PrivateKeySigner::random();
        let transaction = TxEip1559 { chain_id: 7, nonce: 3, ..TxEip1559::default() };
        let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
        let good = TxEnvelope::from(transaction.clone().into_signed(signature));
        assert_eq!(recover(&good), Some(signer.address()));

        let twin = Signature::new(signature.r(), ORDER - signature.s(), !signature.v());
        let twin = TxEnvelope::from(transaction.clone().into_signed(twin));
        assert_eq!(recover(&twin), None);
        let mut many = vec![good; 50];
        let signers = recover_all(many.clone(), false).unwrap();
        assert!(signers.iter().all(|found| found.signer() == signer.address()));
        assert_eq!(signers.len(), 50);
        many[40] = twin.clone();
        assert_eq!(recover_all(many.clone(), false).unwrap_err(), *twin.hash());
        assert_eq!(recover_all(many, true).unwrap()[40].signer(), signer.address());
        let zero = Signature::new(U256::ZERO, U256::ZERO, false);
        assert_eq!(recover(&TxEnvelope::from(transaction.into_signed(zero))), None);
    }
}
