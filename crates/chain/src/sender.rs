//! Who signed: public key recovery with libsecp256k1.
//!
//! This is the most expensive step of a transaction (about 50 us), so it runs on the thread that
//! received it, never on the builder's, and once: blocks are stored with their senders.

use alloy::consensus::TxEnvelope;
use alloy::eips::eip7702::{RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Signature, U256, keccak256, uint};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

/// Half the order of secp256k1: a larger `s` is a malleable copy of another signature (EIP-2).
const HALF_ORDER: U256 =
    uint!(0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0_U256);

/// The signer of `transaction`, or `None` if the signature is not one (or has a high `s`).
pub(crate) fn recover(transaction: &TxEnvelope) -> Option<Address> {
    recover_digest(transaction.signature_hash(), transaction.signature())
}

/// The authority of an EIP-7702 authorization. A bad one is kept, as the EVM skips it by rule.
pub(crate) fn recover_authorization(signed: &SignedAuthorization) -> RecoveredAuthorization {
    let authority = signed
        .signature()
        .ok()
        .and_then(|signature| recover_digest(signed.signature_hash(), &signature))
        .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
    RecoveredAuthorization::new_unchecked(signed.inner().clone(), authority)
}

fn recover_digest(digest: B256, signature: &Signature) -> Option<Address> {
    if signature.s() > HALF_ORDER {
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
        assert_eq!(recover(&TxEnvelope::from(transaction.clone().into_signed(twin))), None);
        let zero = Signature::new(U256::ZERO, U256::ZERO, false);
        assert_eq!(recover(&TxEnvelope::from(transaction.into_signed(zero))), None);
    }
}
