//! Encryption at rest: XChaCha20-Poly1305, a random nonce a message, the place as associated data.

use std::{fmt, path::Path};

use alloy_primitives::{B256, Keccak256};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use vouch_wallet::Wallet;
use zeroize::Zeroizing;

use crate::{Error, Result};

const NONCE_LEN: usize = 24;
/// What sealing adds to a message: nonce and authentication tag.
pub const OVERHEAD: usize = NONCE_LEN + 16;

/// 32 random bytes that seal one dataset or index; erased when dropped.
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// A new key that is kept nowhere.
    ///
    /// # Errors
    /// [`Error::Random`] if the system gives no random bytes.
    pub fn random() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// The key in a version 3 keystore file under `passphrase`; a new one if there is no file.
    ///
    /// The file is an ordinary Web3 Secret Storage keystore, so any wallet's tools can recover it.
    ///
    /// # Errors
    /// [`Error::Wallet`] if the passphrase is another's or the file is damaged.
    pub fn open_or_create(path: &Path, passphrase: &str) -> Result<Self> {
        Self::of(&Wallet::open_or_create_file(path, passphrase)?)
    }

    /// The key in an existing keystore file.
    ///
    /// # Errors
    /// [`Error::Wallet`] if there is no file, or as [`Key::open_or_create`].
    pub fn open(path: &Path, passphrase: &str) -> Result<Self> {
        Self::of(&Wallet::open_file(path, passphrase)?)
    }

    fn of(secret: &Wallet) -> Result<Self> {
        Ok(Self(Zeroizing::new(secret.signer()?.to_bytes().0)))
    }

    /// A secret of its own for another purpose, from which this key cannot be found.
    pub(crate) fn derive(&self, purpose: &str, index: u64) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update(b"vouch data key: ");
        hasher.update(self.0.as_slice());
        hasher.update(purpose.as_bytes());
        hasher.update(index.to_be_bytes());
        hasher.finalize()
    }

    /// `nonce || ciphertext || tag`; `place` is authenticated and not kept.
    ///
    /// # Errors
    /// [`Error::Random`] if the system gives no random bytes.
    pub fn seal(&self, message: &[u8], place: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        fill(&mut nonce)?;
        let sealed = self
            .cipher()
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: message, aad: place })
            .map_err(|_| Error::TooMuch { what: "a message to seal", limit: 1 << 38 })?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// What [`Key::seal`] sealed for the same `place`.
    ///
    /// # Errors
    /// [`Error::Sealed`] with `what` if a bit, the key or the place differs.
    pub fn unseal(&self, sealed: &[u8], place: &[u8], what: &'static str) -> Result<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(Error::Sealed(what))?;
        self.cipher()
            .decrypt(XNonce::from_slice(nonce), Payload { msg: body, aad: place })
            .map_err(|_| Error::Sealed(what))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        let key = Zeroizing::new(self.derive("encryption", 0).0);
        XChaCha20Poly1305::new(key.as_slice().into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Random bytes of the system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Error::Random(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_sealed_opens_for_its_place_alone(message: Vec<u8>, place: Vec<u8>, flip: usize) {
            let key = Key::random().unwrap();
            let mut sealed = key.seal(&message, &place).unwrap();
            prop_assert_eq!(sealed.len(), message.len() + OVERHEAD);
            prop_assert_eq!(&key.unseal(&sealed, &place, "it").unwrap(), &message);
            prop_assert!(key.unseal(&sealed, &[&place[..], b"x"].concat(), "it").is_err());
            prop_assert!(Key::random().unwrap().unseal(&sealed, &place, "it").is_err());
            let at = flip % sealed.len();
            sealed[at] ^= 1;
            prop_assert!(key.unseal(&sealed, &place, "it").is_err());
        }

        #[test]
        fn short_input_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..OVERHEAD)) {
            prop_assert!(Key::random().unwrap().unseal(&bytes, b"", "it").is_err());
        }
    }

    #[test]
    fn the_same_message_never_looks_the_same() {
        let key = Key::random().unwrap();
        assert_ne!(key.seal(b"a", b"").unwrap(), key.seal(b"a", b"").unwrap());
    }

    #[test]
    fn a_key_file_opens_with_its_passphrase_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.json");
        let sealed = Key::open_or_create(&path, "one").unwrap().seal(b"text", b"").unwrap();
        assert_eq!(Key::open(&path, "one").unwrap().unseal(&sealed, b"", "it").unwrap(), b"text");
        assert!(Key::open(&path, "two").is_err());
    }
}
