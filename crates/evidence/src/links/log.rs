//! What the provider is bound to: promise, inclusion, checkpoint, witnesses.

use vouch_core::{
    Address, B256,
    bundle::{Bundle, LogProof},
    log::{
        Checkpoint, merkle,
        note::{Note, Verifier},
    },
};

use super::{Broken, Outcome, absent, ensure, proven};
use crate::{Options, policy::Cosigned};

/// Between a receipt's time and its promise a commit may take this long.
const COMMIT_SLACK_S: u64 = 60;

pub(crate) fn promise(bundle: &Bundle, _: &Options<'_>) -> Outcome {
    let Bundle { receipt, terms, promise, .. } = bundle;
    promise.verify(receipt.leaf_hash(), &receipt.domain, receipt.provider)?;
    let merge_by = promise.promise.merge_by;
    let made = receipt.time / 1000;
    let latest = made.saturating_add(terms.log.merge_delay_s.into()).saturating_add(COMMIT_SLACK_S);
    ensure(merge_by >= made, "the promise was due before the receipt was made")?;
    ensure(merge_by <= latest, "the promise is due later than the terms say")?;
    proven(
        format!("the provider signed this receipt and promised log index {}", promise.index),
        "the provider's clock; a receipt that never comes into the log is a provable fault",
    )
}

pub(crate) fn inclusion(bundle: &Bundle, _: &Options<'_>) -> Outcome {
    let Bundle { receipt, promise, log: Some(log), .. } = bundle else {
        ensure(bundle.anchor.is_none(), "there is an anchor, but no place in the log")?;
        return absent("not in the log yet", "the promise");
    };
    included(receipt.leaf_hash(), promise.index, log)
}

/// That a leaf is where it was promised.
pub(crate) fn included(leaf: B256, promised: u64, log: &LogProof) -> Outcome {
    ensure(log.index == promised, "it is at another index of the log than promised")?;
    let (_, checkpoint) = stated(log)?;
    merkle::verify_inclusion(leaf, log.index, checkpoint.size, &log.path, checkpoint.root)?;
    proven(format!("it is entry {} of {}, as promised", log.index, checkpoint.size), "")
}

/// The checkpoint as its text says, signatures not yet checked.
pub(crate) fn stated(log: &LogProof) -> Result<(Note, Checkpoint), Broken> {
    let note = Note::parse(&log.checkpoint)?;
    let checkpoint = Checkpoint::parse(&note.text)?;
    Ok((note, checkpoint))
}

pub(crate) fn checkpoint(bundle: &Bundle, _: &Options<'_>) -> Outcome {
    let Bundle { receipt, terms, log: Some(log), .. } = bundle else {
        return absent("no checkpoint", "");
    };
    let key = Verifier::parse(&terms.log.key)?;
    ensure(key.name == terms.log.origin, "the terms name a key of another log")?;
    signed(log, &key, receipt.provider)
}

/// That log and provider signed a checkpoint.
pub(crate) fn signed(log: &LogProof, key: &Verifier, provider: Address) -> Outcome {
    let (note, _) = stated(log)?;
    let checkpoint = Checkpoint::verify(&note, key, provider)?;
    proven(
        format!("the log's key and the provider signed the log at size {}", checkpoint.size),
        "that others are shown the same log: witnesses and the anchor stand for that",
    )
}

pub(crate) fn witnesses(bundle: &Bundle, options: &Options<'_>) -> Outcome {
    let policy = &options.witnesses;
    let key = Verifier::parse(&bundle.terms.log.key)?;
    ensure(policy.takes(&key), "the log is none of those that the policy names")?;
    let trust = "that the provider shows everyone the same log";
    let Some(log) = &bundle.log else {
        ensure(policy.is_none(), "no checkpoint, so no witness has seen it")?;
        return absent("no checkpoint to witness", trust);
    };
    let (note, _) = stated(log)?;
    let Cosigned { known, found, newest, is_enough } = policy.cosigned(&note);
    if !is_enough {
        let of = format!("{found} of {known} known witnesses cosigned");
        return Err(format!("{of}, which is not what the policy requires").into());
    }
    match newest {
        None => absent("cosigned by no witness that you know", trust),
        Some(newest) => proven(
            format!("{found} of {known} known witnesses cosigned, last at Unix time {newest}"),
            "these witnesses, that they do not all collude with the provider",
        ),
    }
}
