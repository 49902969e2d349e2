//! Keys, and transactions that they sign.

use alloy::{
    consensus::{SignableTransaction, Signed, TxEnvelope},
    eips::eip2718::Encodable2718,
    signers::{SignerSync, local::PrivateKeySigner},
};
use alloy_primitives::{Signature, hex};

/// Another one for each number, always the same.
pub(crate) fn key(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[number + 1; 32]).expect("a key")
}

/// A transaction as `eth_sendRawTransaction` takes it.
pub(crate) fn raw<T: SignableTransaction<Signature>>(
    transaction: T,
    signer: &PrivateKeySigner,
) -> String
where
    Signed<T>: Into<TxEnvelope>,
{
    let hash = transaction.signature_hash();
    let signature = signer.sign_hash_sync(&hash).expect("a signature");
    let signed: TxEnvelope = transaction.into_signed(signature).into();
    hex::encode_prefixed(signed.encoded_2718())
}
