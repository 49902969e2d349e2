//! C2SP checkpoints: how large a log is and which root it has, signed twice in one note.

use alloy_primitives::{Address, B256};
use alloy_sol_types::sol;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::note::{self, Note, Verifier};
use crate::{
    Error,
    domain::{digest, log_domain},
};

mod typed {
    #![allow(missing_docs, reason = "the public twin below is documented")]
    super::sol! {
        struct Checkpoint {
            string origin;
            uint64 size;
            bytes32 root;
        }
    }
}

/// A log's size and root (EIP-712 `Checkpoint(string origin,uint64 size,bytes32 root)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: B256,
}

impl Checkpoint {
    /// The text that notes sign: `origin\nsize\nbase64(root)\n`.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// The digest that the provider's secp256k1 key signs, for contracts.
    #[must_use]
    pub fn digest(&self) -> B256 {
        let message =
            typed::Checkpoint { origin: self.origin.clone(), size: self.size, root: self.root };
        digest(&message, log_domain())
    }

    /// Reads a note's text; extension lines are refused, because the secp256k1 signature would
    /// not cover them.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the text is not in the canonical form.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed = |why: &str| Error::malformed("checkpoint", why);
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("it has fewer than three lines"));
        };
        let size = size.parse().map_err(|_| malformed("its size is no number"))?;
        let root =
            STANDARD.decode(root).map_err(|_| malformed("its root is not standard base64"))?;
        let root =
            B256::try_from(root.as_slice()).map_err(|_| malformed("its root is not 32 bytes"))?;
        let checkpoint = Self { origin: origin.to_owned(), size, root };
        if origin.is_empty() || checkpoint.text() != text {
            return Err(malformed("it is not in the canonical form of three lines"));
        }
        Ok(checkpoint)
    }

    /// Reads a note and checks both of the log's signatures: Ed25519 by `key`, whose name must be
    /// the origin, and secp256k1 by `provider`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if a signature is missing or the origin is another,
    /// [`Error::Signature`] or [`Error::Signer`] if one is bad.
    pub fn verify(note: &Note, key: &Verifier, provider: Address) -> Result<Self, Error> {
        let checkpoint = Self::parse(&note.text)?;
        if checkpoint.origin != key.name {
            return Err(Error::malformed(
                "checkpoint",
                "its origin is not the name of the log's key",
            ));
        }
        key.verify(note)
            .ok_or(Error::Signature("the log's Ed25519 signature is missing or bad"))?;
        note::verify_eip712(note, &checkpoint.origin, provider, checkpoint.digest())?;
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;
    use secp256k1::SecretKey;

    use super::*;
    use crate::signature::{self, Signature};

    fn signed() -> (Note, Verifier, Address) {
        let checkpoint =
            Checkpoint { origin: "vouch.example/log".into(), size: 7, root: B256::repeat_byte(3) };
        let ed25519 = SigningKey::from_bytes(&[1; 32]);
        let secp256k1 = SecretKey::from_byte_array([2; 32]).unwrap();
        let provider = signature::address_of(&secp256k1);
        let signature = Signature::sign(checkpoint.digest(), &secp256k1);
        let text = checkpoint.text();
        let note = Note {
            signatures: vec![
                note::sign_ed25519(&checkpoint.origin, &ed25519, &text),
                note::sign_eip712(&checkpoint.origin, provider, &signature),
            ],
            text,
        };
        (note, Verifier::log(&checkpoint.origin, &ed25519), provider)
    }

    #[test]
    fn both_signatures_are_required() {
        let (note, key, provider) = signed();
        let note = Note::parse(&note.to_string()).unwrap();
        assert_eq!(Checkpoint::verify(&note, &key, provider).unwrap().size, 7);
        for missing in 0..2 {
            let mut note = note.clone();
            note.signatures.remove(missing);
            assert!(Checkpoint::verify(&note, &key, provider).is_err());
        }
        assert!(Checkpoint::verify(&note, &key, Address::ZERO).is_err());
    }

    #[test]
    fn a_log_has_a_name() {
        let nameless = Checkpoint { origin: String::new(), size: 7, root: B256::ZERO };
        assert!(Checkpoint::parse(&nameless.text()).is_err());
        let named = Checkpoint { origin: "vouch.example/log".into(), ..nameless };
        assert_eq!(Checkpoint::parse(&named.text()), Ok(named));
    }

    #[test]
    fn verifier_keys_round_trip_and_refuse_changes() {
        let (_, key, _) = signed();
        let text = key.to_string();
        assert_eq!(Verifier::parse(&text).unwrap(), key);
        assert!(Verifier::parse(&text.replace("example", "exbmple")).is_err());
        let key_of = |seed| SigningKey::from_bytes(&[seed; 32]);
        assert!(key.same_key(&Verifier::witness("another.example", &key_of(1))));
        assert!(!key.same_key(&Verifier::log(&key.name, &key_of(2))));
    }

    #[test]
    fn a_cosignature_carries_its_time() {
        let (mut note, _, _) = signed();
        let key = SigningKey::from_bytes(&[9; 32]);
        let cosignature = note::cosign("witness.example", &key, &note.text, 1_700_000_000);
        note.signatures.push(cosignature);
        let witness = Verifier::witness("witness.example", &key);
        assert_eq!(witness.verify(&note), Some(1_700_000_000));
        note.text.push('x');
        assert_eq!(witness.verify(&note), None);
    }

    proptest! {
        #[test]
        fn any_changed_character_is_refused(at: prop::sample::Index, byte in 32u8..127) {
            let (note, key, provider) = signed();
            let mut text = note.to_string().into_bytes();
            let at = at.index(text.len());
            prop_assume!(text[at] != byte);
            text[at] = byte;
            let verdict = String::from_utf8(text)
                .map_err(|_| ())
                .and_then(|text| Note::parse(&text).map_err(|_| ()))
                .and_then(|note| Checkpoint::verify(&note, &key, provider).map_err(|_| ()));
            prop_assert!(verdict.is_err());
        }

        #[test]
        fn strangers_text_never_panics(text: String) {
            if let Ok(note) = Note::parse(&text) {
                let _checkpoint = Checkpoint::parse(&note.text);
            }
            let _verifier = Verifier::parse(&text);
        }
    }
}
