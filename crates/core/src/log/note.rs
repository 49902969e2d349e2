//! C2SP signed notes: a text, a blank line, and signature lines.

use alloy_primitives::{Address, B256};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::{Error, signature::Signature};

/// Signature lines beyond this are refused: a note of a stranger must not cost much.
pub const MAX_SIGNATURES: usize = 32;
/// A longer note is refused.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;

/// Algorithm byte of an Ed25519 log key.
const ED25519: u8 = 0x01;
/// Algorithm byte of a timestamped Ed25519 cosignature.
const COSIGNATURE: u8 = 0x04;
/// Algorithm byte of algorithms without a registered byte; a name follows it.
const OTHER: u8 = 0xff;
/// The name that follows [`OTHER`] for EIP-712 signatures over secp256k1.
const EIP712: &[u8] = b"vouch/eip712-secp256k1/v1";

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// First four bytes of the hash of name, algorithm and key.
    pub id: [u8; 4],
    /// What the algorithm makes of the text.
    pub bytes: Vec<u8>,
}

/// A text with signatures that were read, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The text, ending in a newline.
    pub text: String,
    /// The signature lines, in order.
    pub signatures: Vec<NoteSignature>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is too large, has no signature or a malformed one.
    pub fn parse(note: &str) -> Result<Self, Error> {
        let malformed = |why: &str| Error::malformed("signed note", why);
        if note.len() > MAX_NOTE_BYTES {
            return Err(malformed("it is longer than 64 KiB"));
        }
        let end =
            note.rfind("\n\n").ok_or_else(|| malformed("no blank line before the signatures"))?;
        let (text, lines) = note.split_at(end.saturating_add(1));
        let lines = lines.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or_else(|| malformed("no newline at its end"))?;
        let signatures: Vec<_> = lines
            .split('\n')
            .take(MAX_SIGNATURES.saturating_add(1))
            .map(parse_line)
            .collect::<Result<_, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(malformed("it has more than 32 signatures"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The signatures that claim to be by the key with this name and id.
    pub fn by<'a>(&'a self, name: &'a str, id: [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
        self.signatures
            .iter()
            .filter(move |signature| signature.id == id && signature.name == name)
            .map(|signature| signature.bytes.as_slice())
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| write!(f, "{signature}"))
    }
}

impl std::fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let blob = [self.id.as_slice(), &self.bytes].concat();
        writeln!(f, "\u{2014} {} {}", self.name, STANDARD.encode(blob))
    }
}

fn parse_line(line: &str) -> Result<NoteSignature, Error> {
    let malformed = |why: &str| Error::malformed("note signature", why);
    let (name, blob) = line
        .strip_prefix("\u{2014} ")
        .and_then(|rest| rest.split_once(' '))
        .ok_or_else(|| malformed("it is not an em dash, a name and base64"))?;
    if name.is_empty() || name.contains('+') || name.chars().any(char::is_whitespace) {
        return Err(malformed("its name is empty or has white space or a plus"));
    }
    let blob = STANDARD.decode(blob).map_err(|_| malformed("it is not standard base64"))?;
    let (id, bytes) = blob.split_first_chunk().ok_or_else(|| malformed("it is too short"))?;
    Ok(NoteSignature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
}

/// `SHA-256(name || "\n" || algorithm || key)[..4]`.
fn key_id(name: &str, algorithm: u8, key: &[&[u8]]) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', algorithm]);
    key.iter().for_each(|part| hasher.update(part));
    let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
    [a, b, c, d]
}

/// The id of a secp256k1 key that signs EIP-712 digests.
#[must_use]
pub fn eip712_key_id(name: &str, signer: Address) -> [u8; 4] {
    key_id(name, OTHER, &[EIP712, signer.as_slice()])
}

/// An Ed25519 key as others know it: `name+hash+key` (C2SP signed-note verifier key).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    /// The key's name.
    pub name: String,
    key: VerifyingKey,
    algorithm: u8,
}

impl Verifier {
    /// The verifier of a log's signing key.
    #[must_use]
    pub fn log(name: &str, key: &SigningKey) -> Self {
        Self { name: name.to_owned(), key: key.verifying_key(), algorithm: ED25519 }
    }

    /// The verifier of a witness's signing key.
    #[must_use]
    pub fn witness(name: &str, key: &SigningKey) -> Self {
        Self { name: name.to_owned(), key: key.verifying_key(), algorithm: COSIGNATURE }
    }

    /// Reads `name+hash+key`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is not of that form, or the hash is not the key's.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed = |why: &str| Error::malformed("verifier key", why);
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_hash), Some(key)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it is not name+hash+key"));
        };
        let blob = STANDARD.decode(key).map_err(|_| malformed("its key is not standard base64"))?;
        let (algorithm, key) = match blob.split_first() {
            Some((algorithm @ (&ED25519 | &COSIGNATURE), key)) => (*algorithm, key),
            _ => return Err(malformed("its algorithm is unknown")),
        };
        let bytes = key.try_into().map_err(|_| malformed("its key is not 32 bytes"))?;
        let key =
            VerifyingKey::from_bytes(bytes).map_err(|_| malformed("its key is no Ed25519 key"))?;
        let verifier = Self { name: name.to_owned(), key, algorithm };
        if verifier.to_string() == text {
            Ok(verifier)
        } else {
            Err(malformed("its hash is not its key's"))
        }
    }

    /// Whether both are one public key, whatever it is called.
    #[must_use]
    pub fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, self.algorithm, &[self.key.as_bytes()])
    }

    /// Whether the note carries a valid signature of this key; for a witness, the Unix seconds of
    /// the newest valid cosignature.
    #[must_use]
    pub fn verify(&self, note: &Note) -> Option<u64> {
        note.by(&self.name, self.id()).filter_map(|bytes| self.verify_one(&note.text, bytes)).max()
    }

    fn verify_one(&self, text: &str, bytes: &[u8]) -> Option<u64> {
        let (time, signature, message) = if self.algorithm == COSIGNATURE {
            let (time, signature) = bytes.split_first_chunk()?;
            let time = u64::from_be_bytes(*time);
            (time, signature, cosigned(time, text))
        } else {
            (0, bytes, text.to_owned())
        };
        let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
        self.key.verify_strict(message.as_bytes(), &signature).ok().map(|()| time)
    }
}

impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let blob = [&[self.algorithm], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{id:08x}+{}", self.name, STANDARD.encode(blob))
    }
}

/// A log's Ed25519 signature line over a note's text.
#[must_use]
pub fn sign_ed25519(name: &str, key: &SigningKey, text: &str) -> NoteSignature {
    let bytes = key.sign(text.as_bytes()).to_bytes().to_vec();
    NoteSignature { name: name.to_owned(), id: Verifier::log(name, key).id(), bytes }
}

/// A witness's timestamped cosignature line over a checkpoint's text (C2SP tlog-cosignature).
#[must_use]
pub fn cosign(name: &str, key: &SigningKey, text: &str, time: u64) -> NoteSignature {
    let signature = key.sign(cosigned(time, text).as_bytes()).to_bytes();
    let bytes = [time.to_be_bytes().as_slice(), &signature].concat();
    NoteSignature { name: name.to_owned(), id: Verifier::witness(name, key).id(), bytes }
}

/// A secp256k1 signature line over the EIP-712 digest that belongs to a note's text.
#[must_use]
pub fn sign_eip712(name: &str, signer: Address, signature: &Signature) -> NoteSignature {
    NoteSignature {
        name: name.to_owned(),
        id: eip712_key_id(name, signer),
        bytes: signature.0.to_vec(),
    }
}

/// Checks that the note carries `signer`'s secp256k1 signature over `digest`.
///
/// # Errors
/// [`Error::Malformed`] if there is none, [`Error::Signature`] or [`Error::Signer`] if it is bad.
pub fn verify_eip712(note: &Note, name: &str, signer: Address, digest: B256) -> Result<(), Error> {
    let bytes = note.by(name, eip712_key_id(name, signer)).next().ok_or_else(|| {
        Error::malformed("signed note", format!("no secp256k1 signature by {signer}"))
    })?;
    Signature::from_slice(bytes)?.verify(digest, signer)
}

fn cosigned(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str) -> NoteSignature {
        NoteSignature { name: name.into(), id: [1, 2, 3, 4], bytes: vec![5; 64] }
    }

    fn read(text: String, signatures: Vec<NoteSignature>) -> Result<Note, Error> {
        let note = Note { text, signatures };
        Note::parse(&note.to_string()).inspect(|found| assert_eq!(*found, note))
    }

    #[test]
    fn a_note_costs_at_most_64_kib_and_32_signatures() {
        let around = Note { text: "\n".into(), signatures: vec![line("a")] }.to_string().len();
        let of_size = |bytes: usize| read("x".repeat(bytes - around) + "\n", vec![line("a")]);
        assert!(of_size(65_536).is_ok());
        assert!(of_size(65_537).is_err());
        assert!(read("text\n".into(), vec![line("a"); 32]).is_ok());
        for count in [33, 34] {
            assert!(read("text\n".into(), vec![line("a"); count]).is_err(), "{count}");
        }
    }

    #[test]
    fn a_keys_name_is_a_word_without_a_plus() {
        for name in ["", "+", "a+b", "a\tb", "a\u{a0}b"] {
            assert!(read("text\n".into(), vec![line(name)]).is_err(), "{name:?}");
        }
    }
}
