//! Faults that signatures alone prove: two statements of one provider that cannot both be true.
//!
//! A contract (`contracts/src/faults`) punishes those that `vectors/faults.json` lists by the same
//! proof. Here a provider's key is its address; which keys it has registered, and since when, is
//! for the contract to say. A receipt names its log and its prices by the hash of a quote, so what
//! needs terms is provable of answers and embeddings alone.
//!
//! Each function returns a [`Fault`] only once it has checked it; whoever receives one checks it
//! again with [`Fault::verify`]. That a log rewrote its past without signing two roots of one size
//! shows only to who holds both checkpoints and gets no [`check_consistency`] path: that is reason
//! to leave, not proof for others.

mod claim;
mod payout;

pub use claim::Uncovered;
pub use payout::Payout;
use serde::{Deserialize, Serialize};
use vouch_core::{
    Address, B256, data_use,
    log::{
        Checkpoint, merkle,
        note::{Note, Verifier},
    },
    promise::SignedPromise,
    receipt::{Kind, Receipt},
    terms::Terms,
};

use crate::Error;

/// A receipt that its provider cannot deny.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promised {
    /// The receipt.
    pub receipt: Receipt,
    /// The provider's signature for it.
    pub promise: SignedPromise,
    /// The terms that the receipt names: they name the log.
    pub terms: Terms,
}

impl Promised {
    /// Checks that the provider promised this receipt under these terms.
    ///
    /// # Errors
    /// [`Error::NoFault`] if the terms are not the receipt's, [`Error::Core`] if the promise is bad.
    pub fn verify(&self) -> Result<(), Error> {
        let Self { receipt, promise, terms } = self;
        receipt.check()?;
        terms.check()?;
        let quoted = matches!(receipt.kind, Kind::Inference | Kind::Embedding);
        ensure(quoted, "a receipt is of a kind that names no quote")?;
        ensure(terms.hash()? == receipt.terms, "a receipt is under other terms")?;
        let named = terms.provider == receipt.provider && terms.domain == receipt.domain;
        ensure(named, "the terms are another provider's")?;
        Ok(promise.verify(receipt.leaf_hash(), &receipt.domain, receipt.provider)?)
    }
}

/// A provider's fault with its proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// One log, one size, two roots.
    SplitLog {
        /// Whose log it is.
        provider: Address,
        /// The log's key, `name+hash+key`.
        key: String,
        /// A signed note.
        first: String,
        /// A signed note of the same size with another root.
        second: String,
    },
    /// One channel, one sequence, two receipts: the payer was charged for both or shown another.
    DoubleSequence {
        /// A receipt.
        first: Box<Promised>,
        /// Another in its place.
        second: Box<Promised>,
    },
    /// One log, one index, two receipts promised there.
    DoubleIndex {
        /// A receipt.
        first: Box<Promised>,
        /// Another in its place.
        second: Box<Promised>,
    },
    /// A payout that leaves out a use of data which its receipt counts. That the provider published
    /// the payout's root is for the chain to show.
    Omission {
        /// The data's owner holds it: the last one that should have been paid.
        receipt: Box<Receipt>,
        /// The provider's signature for it.
        promise: Box<SignedPromise>,
        /// What the payout says of this owner.
        payout: Payout,
    },
    /// A receipt was promised at an index of a log that holds something else there. The log never
    /// changes, so nobody needs to wait for the time by which the promise was to be kept.
    BrokenPromise {
        /// The receipt.
        receipt: Box<Promised>,
        /// A signed note of the log that its terms name.
        checkpoint: String,
        /// RFC 6962 hash of what is at the index. An inner node cannot pose as one: the signed size
        /// fixes how long the path is.
        leaf: B256,
        /// RFC 6962 audit path, from the leaf up.
        path: Vec<B256>,
    },
    /// A charge that does not follow from the terms.
    WrongCharge {
        /// The receipt.
        receipt: Box<Promised>,
    },
}

impl Fault {
    /// Checks the proof and says whose fault it is.
    ///
    /// # Errors
    /// [`Error::NoFault`] if the statements agree or are about different things, [`Error::Core`] if
    /// a signature or proof does not hold.
    pub fn verify(&self) -> Result<Address, Error> {
        match self {
            Self::SplitLog { provider, key, first, second } => {
                let read = |text: &str| checkpoint(text, key, *provider);
                let (first, second) = (read(first)?, read(second)?);
                ensure(first.size == second.size, "the checkpoints are of different sizes")?;
                ensure(first.root != second.root, "the checkpoints have the same root")?;
                Ok(*provider)
            }
            Self::DoubleSequence { first, second } => {
                let provider = distinct(first, second)?;
                let place =
                    |of: &Promised| (of.receipt.domain, of.receipt.channel, of.receipt.sequence);
                ensure(
                    place(first) == place(second),
                    "the receipts have different places in channels",
                )?;
                ensure(first.receipt.channel != B256::ZERO, "the receipts are of no channel")?;
                Ok(provider)
            }
            Self::DoubleIndex { first, second } => {
                let provider = distinct(first, second)?;
                let place = |of: &Promised| (of.terms.log.origin.clone(), of.promise.index);
                ensure(
                    place(first) == place(second),
                    "the receipts have different places in logs",
                )?;
                Ok(provider)
            }
            Self::Omission { receipt, promise, payout } => {
                receipt.check()?;
                ensure(receipt.kind == Kind::DataUse, "the receipt is of no use of data")?;
                let stream = data_use::stream(&receipt.domain, receipt.provider, receipt.payer);
                ensure(receipt.channel == stream, "the receipt is in another stream")?;
                promise.verify(receipt.leaf_hash(), &receipt.domain, receipt.provider)?;
                ensure(payout.proves(receipt.payer), "the payout's proof leads to another root")?;
                // One that ends before this receipt may be of an earlier period.
                let counts = payout.sequence >= receipt.sequence;
                ensure(counts, "the payout ends before this receipt: it may yet be paid")?;
                ensure(payout.cumulative < receipt.cumulative, "the payout covers the receipt")?;
                Ok(receipt.provider)
            }
            Self::BrokenPromise { receipt: promised, checkpoint: note, leaf, path } => {
                promised.verify()?;
                let Promised { receipt, promise, terms } = promised.as_ref();
                let held = checkpoint(note, &terms.log.key, receipt.provider)?;
                ensure(held.origin == terms.log.origin, "the checkpoint is of another log")?;
                ensure(*leaf != receipt.leaf_hash(), "the log holds what was promised")?;
                merkle::verify_inclusion(*leaf, promise.index, held.size, path, held.root)?;
                Ok(receipt.provider)
            }
            Self::WrongCharge { receipt: promised } => {
                promised.verify()?;
                let Promised { receipt, terms, .. } = promised.as_ref();
                let owed = terms.prices.charge(&receipt.usage);
                ensure(owed != Ok(receipt.charge), "the charge follows from the terms")?;
                Ok(receipt.provider)
            }
        }
    }

    fn checked(self) -> Result<Self, Error> {
        self.verify().map(|_| self)
    }
}

/// Two different receipts that one provider promised.
fn distinct(first: &Promised, second: &Promised) -> Result<Address, Error> {
    first.verify()?;
    second.verify()?;
    let provider = first.receipt.provider;
    ensure(provider == second.receipt.provider, "the receipts are by different providers")?;
    ensure(first.receipt != second.receipt, "it is the same receipt twice")?;
    Ok(provider)
}

/// A log's checkpoint, by both of its keys.
fn checkpoint(note: &str, key: &str, provider: Address) -> Result<Checkpoint, Error> {
    Ok(Checkpoint::verify(&Note::parse(note)?, &Verifier::parse(key)?, provider)?)
}

fn ensure(holds: bool, why: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::NoFault(why)) }
}

/// Checks that the log of `new` begins with the log of `old`: what every buyer checks each time.
///
/// # Errors
/// [`Error::NoFault`] if they are of different logs, [`Error::Core`] if the path does not lead
/// from one to the other, or the log has shrunk.
pub fn check_consistency(old: &Checkpoint, new: &Checkpoint, path: &[B256]) -> Result<(), Error> {
    ensure(old.origin == new.origin, "the checkpoints are of different logs")?;
    Ok(merkle::verify_consistency(old.size, old.root, new.size, new.root, path)?)
}

/// Two signed notes of one log and size with different roots.
///
/// # Errors
/// As [`Fault::verify`].
pub fn split_log(
    provider: Address,
    key: &Verifier,
    first: &Note,
    second: &Note,
) -> Result<Fault, Error> {
    let [first, second] = [first, second].map(ToString::to_string);
    Fault::SplitLog { provider, key: key.to_string(), first, second }.checked()
}

/// Two receipts that claim one place, in a channel or in a log.
///
/// # Errors
/// As [`Fault::verify`].
pub fn double_receipt(first: &Promised, second: &Promised) -> Result<Fault, Error> {
    let boxed = || (Box::new(first.clone()), Box::new(second.clone()));
    let (one, other) = boxed();
    Fault::DoubleSequence { first: one, second: other }.checked().or_else(|_| {
        let (first, second) = boxed();
        Fault::DoubleIndex { first, second }.checked()
    })
}

/// A receipt that was promised at an index where the log of this checkpoint holds `leaf`.
///
/// # Errors
/// As [`Fault::verify`].
pub fn broken_promise(
    receipt: &Promised,
    checkpoint: &Note,
    leaf: B256,
    path: Vec<B256>,
) -> Result<Fault, Error> {
    let (receipt, checkpoint) = (Box::new(receipt.clone()), checkpoint.to_string());
    Fault::BrokenPromise { receipt, checkpoint, leaf, path }.checked()
}

/// A payout that leaves out a use of data which its receipt counts.
///
/// # Errors
/// As [`Fault::verify`].
pub fn omission(
    receipt: &Receipt,
    promise: &SignedPromise,
    payout: Payout,
) -> Result<Fault, Error> {
    let (receipt, promise) = (Box::new(receipt.clone()), Box::new(promise.clone()));
    Fault::Omission { receipt, promise, payout }.checked()
}

/// A receipt whose charge contradicts its terms.
///
/// # Errors
/// As [`Fault::verify`].
pub fn wrong_charge(receipt: &Promised) -> Result<Fault, Error> {
    Fault::WrongCharge { receipt: Box::new(receipt.clone()) }.checked()
}
