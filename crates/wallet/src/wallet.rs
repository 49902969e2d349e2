use std::{fmt, path::Path};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, B256};
use secp256k1::SecretKey;
use vouch_core::signature::{self, Signature};

use crate::{
    Error,
    keystore::{self, Secret},
};

/// File name of the key in its directory.
const FILE: &str = "wallet.json";

/// A secp256k1 key that signs digests. Cheap to sign with (some 40 us), erased when dropped.
pub struct Wallet {
    key: SecretKey,
    address: Address,
}

impl Wallet {
    /// The key in `dir/wallet.json`; a new one if there is none. An empty passphrase is for
    /// development only: see the crate's page.
    ///
    /// # Errors
    /// [`Error::Passphrase`] if it is another's, [`Error::Malformed`], [`Error::Io`].
    pub fn open_or_create(dir: &Path, passphrase: &str) -> Result<Self, Error> {
        Self::open_or_create_file(&dir.join(FILE), passphrase)
    }

    /// As [`Wallet::open_or_create`], for one of several keys in a directory.
    ///
    /// # Errors
    /// As [`Wallet::open_or_create`].
    pub fn open_or_create_file(path: &Path, passphrase: &str) -> Result<Self, Error> {
        Self::from_secret(&keystore::open_or_create(path, passphrase)?)
    }

    /// The key in an existing version 3 keystore, whoever made it.
    ///
    /// # Errors
    /// As [`Wallet::open_or_create`], and [`Error::Io`] if there is no such file.
    pub fn open_file(path: &Path, passphrase: &str) -> Result<Self, Error> {
        Self::from_secret(&keystore::open(path, passphrase)?)
    }

    /// Keeps a key that was made elsewhere in `dir/wallet.json`. The caller erases its copy.
    ///
    /// # Errors
    /// [`Error::Key`] if the bytes are no key, [`Error::Exists`] if the directory has a key.
    pub fn import(dir: &Path, secret: &B256, passphrase: &str) -> Result<Self, Error> {
        let secret = Secret::new(secret.0);
        let wallet = Self::from_secret(&secret)?;
        keystore::create(&dir.join(FILE), &secret, passphrase)?;
        Ok(wallet)
    }

    /// A key that is kept nowhere: for tests and for chains that live as long as the process.
    ///
    /// # Errors
    /// [`Error::Random`] if the system gives no random bytes.
    pub fn random() -> Result<Self, Error> {
        Self::from_secret(&keystore::random()?)
    }

    fn from_secret(secret: &Secret) -> Result<Self, Error> {
        let key = SecretKey::from_byte_array(**secret).map_err(|_| Error::Key)?;
        Ok(Self { address: signature::address_of(&key), key })
    }

    /// The key's Ethereum address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest, deterministically (RFC 6979): the same digest has the same signature.
    #[must_use]
    pub fn sign(&self, digest: B256) -> Signature {
        Signature::sign(digest, &self.key)
    }

    /// The key as alloy's signer, for transactions.
    ///
    /// # Errors
    /// [`Error::Key`] never, for a key that was opened.
    pub fn signer(&self) -> Result<PrivateKeySigner, Error> {
        let secret = Secret::new(self.key.secret_bytes());
        PrivateKeySigner::from_slice(secret.as_slice()).map_err(|_| Error::Key)
    }
}

impl Drop for Wallet {
    fn drop(&mut self) {
        self.key.non_secure_erase();
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallet").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address, hex, keccak256};

    use super::*;

    const SECRET: B256 =
        B256::new(hex!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"));

    #[test]
    fn a_known_key_has_its_known_address() {
        let dir = tempfile::tempdir().unwrap();
        let wallet = Wallet::import(dir.path(), &SECRET, "").unwrap();
        assert_eq!(wallet.address(), address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(wallet.signer().unwrap().address(), wallet.address());
        let again = Wallet::open_or_create(dir.path(), "").unwrap();
        let digest = keccak256("digest");
        assert_eq!(again.sign(digest), wallet.sign(digest));
        assert_eq!(again.sign(digest).recover(digest), Ok(wallet.address()));
        assert!(matches!(Wallet::import(dir.path(), &SECRET, ""), Err(Error::Exists { .. })));
    }

    #[test]
    fn debug_shows_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let wallet = Wallet::import(dir.path(), &SECRET, "").unwrap();
        assert!(!format!("{wallet:?}").to_lowercase().contains("ac0974be"));
    }

    #[test]
    fn zero_is_no_key() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Wallet::import(dir.path(), &B256::ZERO, ""), Err(Error::Key)));
    }

    /// The Web3 Secret Storage Definition's own PBKDF2 test vector.
    #[test]
    fn opens_keystores_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("theirs.json");
        std::fs::write(&path, include_str!("../tests/web3-secret-storage-pbkdf2.json")).unwrap();
        let wallet = Wallet::open_file(&path, "testpassword").unwrap();
        let secret = hex!("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d");
        assert_eq!(wallet.key.secret_bytes(), secret);
    }
}
