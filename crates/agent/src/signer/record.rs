//! The signer's journal: what was taken, what was sent, how it ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use alloy_primitives::{B256, Bytes, TxHash};
use serde::{Deserialize, Serialize};
use vouch_journal::{Journal, Options};

use super::{Ledger, Refusal, SignerError, Taken};
use crate::act::Request;

/// One record, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
enum Record {
    /// The first: whose journal it is.
    Opened {
        mandate: B256,
    },
    Taken {
        act: u64,
        taken: Taken,
    },
    /// About to be sent.
    Sent {
        act: u64,
        sent: Box<Sent>,
    },
    /// Over; what was not used is given back.
    Ended {
        act: u64,
        unused: Taken,
        /// The receipt that a question was settled by.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<B256>,
    },
}

/// A signed transaction whose fate is not known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) transaction: TxHash,
    pub(super) raw: Bytes,
    pub(super) nonce: u64,
    pub(super) taken: Taken,
    pub(super) request: Request,
}

/// The ledger and its journal.
#[derive(Debug)]
pub(super) struct Book {
    journal: Journal,
    pub(super) ledger: Ledger,
    next: u64,
    /// At most one: nothing is sent while one is open.
    pub(super) open: Option<(u64, Sent)>,
    /// Questions that no receipt has settled: act, atomic dollars set aside.
    pub(super) questions: BTreeMap<B256, (u64, u128)>,
    /// Receipts that have settled one.
    pub(super) answers: BTreeSet<B256>,
}

impl Book {
    /// Opens the journal in `dir`, which belongs to one mandate.
    pub(super) fn open(dir: &Path, mandate: B256) -> Result<Self, SignerError> {
        let (journal, _) = Journal::open(dir, Options::default())?;
        let mut book = Self {
            journal,
            ledger: Ledger::default(),
            next: 0,
            open: None,
            questions: BTreeMap::new(),
            answers: BTreeSet::new(),
        };
        let mut taken = BTreeMap::new();
        let mut owner = None;
        for record in book.journal.iter() {
            let (_, bytes) = record?;
            let record = serde_json::from_slice(&bytes)
                .map_err(|error| SignerError::Record(error.to_string()))?;
            match record {
                Record::Opened { mandate } => owner = Some(mandate),
                Record::Taken { act, taken: amount } => {
                    book.count(act, &amount);
                    book.next = act.saturating_add(1);
                    taken.insert(act, amount);
                }
                Record::Sent { act, sent } => {
                    taken.remove(&act);
                    book.open = Some((act, *sent));
                }
                Record::Ended { act, unused, answer } => {
                    taken.remove(&act);
                    book.over(act, &unused, answer);
                }
            }
        }
        match owner {
            None => book.write(&Record::Opened { mandate })?,
            Some(theirs) if theirs != mandate => return Err(SignerError::OtherMandate { theirs }),
            Some(_) => {}
        }
        // Taken and never sent: the signature had not left, so nothing can come of it.
        for (act, unused) in taken {
            if unused.calls > 0 {
                book.end(act, unused)?;
            }
        }
        Ok(book)
    }

    /// Durable before it returns.
    fn write(&mut self, record: &Record) -> Result<(), SignerError> {
        let bytes =
            serde_json::to_vec(record).map_err(|error| SignerError::Record(error.to_string()))?;
        self.journal.append(&bytes)?;
        Ok(self.journal.sync()?)
    }

    pub(super) fn take(&mut self, taken: &Taken) -> Result<u64, Refusal> {
        let act = self.next;
        self.write(&Record::Taken { act, taken: taken.clone() }).map_err(refused)?;
        self.next = act.saturating_add(1);
        self.count(act, taken);
        Ok(act)
    }

    fn count(&mut self, act: u64, taken: &Taken) {
        self.ledger.take(taken);
        if let Some(question) = taken.question {
            self.questions.insert(question, (act, taken.dollars));
        }
    }

    fn over(&mut self, act: u64, unused: &Taken, answer: Option<B256>) {
        self.ledger.give_back(unused);
        self.open = self.open.take().filter(|(open, _)| *open != act);
        self.questions.retain(|_, (open, _)| *open != act);
        self.answers.extend(answer);
    }

    pub(super) fn sent(&mut self, act: u64, sent: Sent) -> Result<(), Refusal> {
        self.write(&Record::Sent { act, sent: Box::new(sent.clone()) }).map_err(refused)?;
        self.open = Some((act, sent));
        Ok(())
    }

    pub(super) fn end(&mut self, act: u64, unused: Taken) -> Result<(), SignerError> {
        self.over(act, &unused, None);
        self.write(&Record::Ended { act, unused, answer: None })
    }

    /// A question is settled by the receipt of its answer.
    pub(super) fn answered(
        &mut self,
        act: u64,
        unused: Taken,
        answer: B256,
    ) -> Result<(), SignerError> {
        self.over(act, &unused, Some(answer));
        self.write(&Record::Ended { act, unused, answer: Some(answer) })
    }
}

fn refused(error: SignerError) -> Refusal {
    Refusal::Journal(error.to_string())
}
