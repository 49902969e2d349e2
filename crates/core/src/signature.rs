//! ECDSA over secp256k1 as Ethereum has it: 65 bytes `r || s || v`, low-s (EIP-2), `v` 27 or 28.

use std::fmt;

use alloy_primitives::{Address, B256, hex, keccak256};
use secp256k1::{
    Message, SECP256K1, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::Error;

/// Half the order of the curve: the largest `s` that EIP-2 allows.
const HALF_ORDER: [u8; 32] =
    hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// A signature as it travels: `r || s || v`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 65]);

impl Signature {
    /// Reads `r || s || v`.
    ///
    /// # Errors
    /// [`Error::Signature`] if the length is not 65, `s` is high, or `v` is neither 27 nor 28.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        let bytes: [u8; 65] =
            bytes.try_into().map_err(|_| Error::Signature("it must be 65 bytes, r || s || v"))?;
        let signature = Self(bytes);
        signature.parse()?;
        Ok(signature)
    }

    /// Signs a digest.
    #[must_use]
    pub fn sign(digest: B256, key: &SecretKey) -> Self {
        let message = Message::from_digest(digest.0);
        // libsecp256k1 always returns the low-s form.
        let (id, compact) = SECP256K1.sign_ecdsa_recoverable(message, key).serialize_compact();
        let mut bytes = [0; 65];
        let (rs, v) = bytes.split_at_mut(64);
        rs.copy_from_slice(&compact);
        v.fill(if id == RecoveryId::Zero { 27 } else { 28 });
        Self(bytes)
    }

    /// The address whose key signed `digest`.
    ///
    /// # Errors
    /// [`Error::Signature`] if the signature is malformed or matches no key.
    pub fn recover(&self, digest: B256) -> Result<Address, Error> {
        let key = SECP256K1
            .recover_ecdsa(Message::from_digest(digest.0), &self.parse()?)
            .map_err(|_| Error::Signature("it matches no key"))?;
        Ok(address(&key))
    }

    /// Checks that `signer` signed `digest`.
    ///
    /// # Errors
    /// [`Error::Signature`] if the signature is malformed, [`Error::Signer`] if it is another's.
    pub fn verify(&self, digest: B256, signer: Address) -> Result<(), Error> {
        let found = self.recover(digest)?;
        if found == signer { Ok(()) } else { Err(Error::Signer { expected: signer, found }) }
    }

    fn parse(&self) -> Result<RecoverableSignature, Error> {
        let (compact, v) = self.0.split_at(64);
        let (_, s) = compact.split_at(32);
        if s > HALF_ORDER.as_slice() {
            return Err(Error::Signature("its s is in the upper half of the order (EIP-2)"));
        }
        let id = match v {
            [27] => RecoveryId::Zero,
            [28] => RecoveryId::One,
            _ => return Err(Error::Signature("its v is neither 27 nor 28")),
        };
        RecoverableSignature::from_compact(compact, id)
            .map_err(|_| Error::Signature("its r or s is out of range"))
    }
}

/// The Ethereum address of a public key.
#[must_use]
pub fn address(key: &secp256k1::PublicKey) -> Address {
    let uncompressed = key.serialize_uncompressed();
    let (_, point) = uncompressed.split_at(1);
    Address::from_slice(keccak256(point).split_at(12).1)
}

/// The Ethereum address of a secret key.
#[must_use]
pub fn address_of(key: &SecretKey) -> Address {
    address(&key.public_key(SECP256K1))
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_prefixed(self.0))
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode_prefixed(self.0))
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = hex::decode(text.as_ref()).map_err(D::Error::custom)?;
        Self::from_slice(&bytes).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_byte_array([7; 32]).unwrap()
    }

    #[test]
    fn signs_and_recovers() {
        let digest = keccak256("digest");
        let signature = Signature::sign(digest, &key());
        assert_eq!(signature.recover(digest), Ok(address_of(&key())));
        assert_ne!(signature.recover(keccak256("other")), Ok(address_of(&key())));
    }

    #[test]
    fn refuses_high_s_bad_v_and_zero() {
        let digest = keccak256("digest");
        let good = Signature::sign(digest, &key());
        let order = U256::from_be_bytes(HALF_ORDER) * U256::from(2) + U256::from(1);
        let mut high = good;
        let s = U256::from_be_slice(&good.0[32..64]);
        high.0[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
        high.0[64] = if good.0[64] == 27 { 28 } else { 27 };
        assert!(matches!(high.recover(digest), Err(Error::Signature(_))));
        let mut eip155 = good;
        eip155.0[64] = 0;
        assert!(matches!(Signature::from_slice(&eip155.0), Err(Error::Signature(_))));
        assert!(matches!(Signature([0; 65]).recover(digest), Err(Error::Signature(_))));
        assert!(Signature::from_slice(&good.0[..64]).is_err());
        let mut highest = good;
        highest.0[32..64].copy_from_slice(&HALF_ORDER);
        assert!(Signature::from_slice(&highest.0).is_ok(), "half the order is not above it");
    }

    #[test]
    fn address_of_a_known_key() {
        // The first account of the widely used development mnemonic.
        let secret = hex!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
        let key = SecretKey::from_byte_array(secret).unwrap();
        assert_eq!(
            address_of(&key),
            alloy_primitives::address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
        );
    }
}
