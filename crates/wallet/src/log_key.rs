use std::{fmt, path::Path};

use ed25519_dalek::SigningKey;
use vouch_core::log::note::{self, NoteSignature, Verifier};

use crate::{Error, keystore};

/// File name of the key in its directory.
const FILE: &str = "log.json";

/// A transparency log's Ed25519 key. One key per role: it signs notes of one log, nothing else.
pub struct LogKey(SigningKey);

impl LogKey {
    /// The key in `dir/log.json`; a new one if there is none. The file has the form of a wallet's,
    /// with the seed (RFC 8032) as its secret.
    ///
    /// # Errors
    /// [`Error::Passphrase`] if it is another's, [`Error::Malformed`], [`Error::Io`].
    pub fn open_or_create(dir: &Path, passphrase: &str) -> Result<Self, Error> {
        let seed = keystore::open_or_create(&dir.join(FILE), passphrase)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The key as others know it, for a log of this name.
    #[must_use]
    pub fn verifier(&self, name: &str) -> Verifier {
        Verifier::log(name, &self.0)
    }

    /// The key itself, for `core`'s functions that sign notes.
    #[must_use]
    pub fn signing_key(&self) -> &SigningKey {
        &self.0
    }

    /// The signature line over a note's text.
    #[must_use]
    pub fn sign(&self, name: &str, text: &str) -> NoteSignature {
        note::sign_ed25519(name, &self.0, text)
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogKey").field(&self.0.verifying_key()).finish()
    }
}

#[cfg(test)]
mod tests {
    use vouch_core::log::note::Note;

    use super::*;

    #[test]
    fn the_same_file_is_the_same_log() {
        let dir = tempfile::tempdir().unwrap();
        let key = LogKey::open_or_create(dir.path(), "").unwrap();
        let again = LogKey::open_or_create(dir.path(), "").unwrap();
        let text = "vouch.example/log\n0\nroot\n".to_owned();
        let note = Note { signatures: vec![again.sign("vouch.example/log", &text)], text };
        assert!(key.verifier("vouch.example/log").verify(&note).is_some());
        assert!(key.verifier("another.example/log").verify(&note).is_none());
    }
}
