//! C2SP tlog-witness: how a log asks for a cosignature, and when a witness gives one.

use std::fmt;

use alloy_primitives::B256;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Checkpoint, merkle,
    note::{MAX_NOTE_BYTES, Note},
};
use crate::Error;

/// Hashes of a consistency proof at most.
const MAX_PROOF: usize = 63;
/// A longer request is refused: a note, and a line of 45 bytes for each hash.
pub const MAX_SUBMISSION_BYTES: usize = MAX_NOTE_BYTES + 4096;
/// Content type of the answer that tells which size was cosigned last.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// The body of `add-checkpoint`: a checkpoint, and the proof that it continues the one of size `old`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Size that the witness is thought to have cosigned last; 0 for none.
    pub old: u64,
    /// RFC 6962 consistency path from `old` to the checkpoint; empty if `old` is 0.
    pub proof: Vec<B256>,
    /// The checkpoint with its signatures, not yet checked.
    pub note: Note,
}

impl Submission {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is not of the form.
    pub fn parse(body: &str) -> Result<Self, Error> {
        let malformed = |why: &str| Error::malformed("submission to a witness", why);
        if body.len() > MAX_SUBMISSION_BYTES {
            return Err(malformed("it is longer than 68 KiB"));
        }
        let (head, note) =
            body.split_once("\n\n").ok_or_else(|| malformed("no blank line after the proof"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old =
            old.and_then(decimal).ok_or_else(|| malformed("it does not begin with an old size"))?;
        let proof: Vec<_> = lines
            .take(MAX_PROOF.saturating_add(1))
            .map(|line| {
                let hash = STANDARD.decode(line).ok();
                hash.and_then(|hash| B256::try_from(hash.as_slice()).ok())
                    .ok_or_else(|| malformed("a line of its proof is no base64 of 32 bytes"))
            })
            .collect::<Result<_, _>>()?;
        if proof.len() > MAX_PROOF {
            return Err(malformed("its proof has more than 63 hashes"));
        }
        Ok(Self { old, proof, note: Note::parse(note)? })
    }
}

impl fmt::Display for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

/// A size as the protocol writes it: decimal, without leading zeros.
#[must_use]
pub fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|size: &u64| size.to_string() == text)
}

/// Why a witness gives no cosignature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The old size is above the checkpoint's.
    #[error("the old size is above the checkpoint's")]
    OldAboveNew,
    /// Another size was cosigned last: ask again from there.
    #[error("size {0} was cosigned last")]
    Cosigned(u64),
    /// The checkpoint is of the size that was cosigned last, with another root.
    #[error("another root was cosigned at size {0}")]
    OtherRoot(u64),
    /// The proof does not lead from the old root to the new one.
    #[error("the checkpoint is not proven to continue the one of size {0}")]
    Inconsistent(u64),
}

/// Whether a witness that cosigned `last` (size and root) may cosign `new`.
///
/// # Errors
/// [`Refused`], in the order in which the specification asks.
pub fn admit(
    last: Option<(u64, B256)>,
    old: u64,
    proof: &[B256],
    new: &Checkpoint,
) -> Result<(), Refused> {
    let (size, root) = last.unwrap_or((0, merkle::empty_root()));
    if old > new.size {
        return Err(Refused::OldAboveNew);
    }
    if old != size {
        return Err(Refused::Cosigned(size));
    }
    if new.size == size && new.root != root {
        return Err(Refused::OtherRoot(size));
    }
    merkle::verify_consistency(size, root, new.size, new.root, proof)
        .map_err(|_| Refused::Inconsistent(size))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::log::note::sign_ed25519;

    fn leaves(count: u64) -> Vec<B256> {
        (0..count).map(|index| merkle::leaf_hash(&index.to_be_bytes())).collect()
    }

    fn checkpoint(leaves: &[B256]) -> Checkpoint {
        let size = leaves.len() as u64;
        Checkpoint { origin: "example.com/log".into(), size, root: merkle::root(leaves) }
    }

    fn submission(old: usize, leaves: &[B256]) -> Submission {
        let text = checkpoint(leaves).text();
        let signatures =
            vec![sign_ed25519("example.com/log", &SigningKey::from_bytes(&[1; 32]), &text)];
        let proof = if old == 0 { vec![] } else { merkle::consistency_path(leaves, old) };
        Submission { old: old as u64, proof, note: Note { text, signatures } }
    }

    #[test]
    fn only_what_continues_the_last_checkpoint_is_cosigned() {
        let (log, other) = (leaves(9), leaves(20));
        let at = |size: usize| Some((size as u64, merkle::root(&log[..size])));
        let ask = |last, submission: &Submission| {
            let new = Checkpoint::parse(&submission.note.text).unwrap();
            admit(last, submission.old, &submission.proof, &new)
        };
        assert_eq!(ask(None, &submission(0, &log[..5])), Ok(()));
        assert_eq!(ask(None, &submission(0, &[])), Ok(()));
        assert_eq!(ask(at(5), &submission(5, &log[..5])), Ok(()));
        assert_eq!(ask(at(5), &submission(5, &log)), Ok(()));
        assert_eq!(ask(None, &submission(5, &log)), Err(Refused::Cosigned(0)));
        assert_eq!(ask(at(5), &submission(4, &log)), Err(Refused::Cosigned(5)));
        assert_eq!(ask(at(9), &submission(5, &log[..6])), Err(Refused::Cosigned(9)));
        let rewritten: Vec<_> = other[10..19].to_vec();
        assert_eq!(ask(at(9), &submission(9, &rewritten)), Err(Refused::OtherRoot(9)));
        assert_eq!(ask(at(5), &submission(5, &rewritten)), Err(Refused::Inconsistent(5)));
        let back = Submission { old: 9, ..submission(5, &log[..5]) };
        assert_eq!(ask(at(9), &back), Err(Refused::OldAboveNew));
    }

    #[test]
    fn bodies_round_trip_and_others_are_refused() {
        let log = leaves(300);
        for (old, size) in [(0, 0), (0, 7), (7, 7), (5, 300)] {
            let body = submission(old, &log[..size]);
            assert_eq!(Submission::parse(&body.to_string()).unwrap(), body);
        }
        let good = submission(5, &log).to_string();
        for (from, to) in
            [("old 5", "old 05"), ("old 5", "old -5"), ("old 5", "new 5"), ("old 5", "old 5 ")]
        {
            assert!(Submission::parse(&good.replace(from, to)).is_err(), "{to}");
        }
        let line = format!("{}\n", STANDARD.encode([1; 32]));
        let long = good.replace("old 5\n", &format!("old 5\n{}", line.repeat(64)));
        assert!(Submission::parse(&long).is_err());
        let most = Submission { proof: vec![B256::ZERO; 63], ..submission(5, &log) };
        assert_eq!(Submission::parse(&most.to_string()).unwrap(), most);
    }

    #[test]
    fn a_body_may_hold_the_longest_note_and_proof_and_no_more_is_read() {
        let mut most = Submission { proof: vec![B256::ZERO; 63], ..submission(5, &leaves(300)) };
        let missing = MAX_NOTE_BYTES - most.note.to_string().len();
        most.note.text.insert_str(0, &"x".repeat(missing));
        assert_eq!(Submission::parse(&most.to_string()).unwrap(), most);
        let refused = |bytes| Submission::parse(&"x".repeat(bytes)).unwrap_err().to_string();
        assert!(refused(68 * 1024).contains("no blank line"));
        for bytes in [68 * 1024 + 1, 68 * 1024 + 2] {
            assert!(refused(bytes).contains("longer than 68 KiB"), "before anything else");
        }
    }

    proptest! {
        #[test]
        fn strangers_bodies_never_panic(body: String) {
            let _read = Submission::parse(&body);
        }
    }
}
