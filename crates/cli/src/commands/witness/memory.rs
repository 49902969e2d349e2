//! What a witness remembers of logs: durable before a cosignature leaves.

use std::path::Path;

use alloy_primitives::B256;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use vouch_core::log::{
    Checkpoint,
    note::{self, Note, NoteSignature, Verifier},
    witness::{Refused, admit},
};
use vouch_journal::Journal;
use vouch_wallet::LogKey;

use crate::time::unix_seconds;

/// The newest checkpoint of a log, one record for each that was cosigned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) root: B256,
    /// With its log's signatures: evidence, should the log show another one. Absent in older
    /// records.
    #[serde(default)]
    pub(super) note: String,
}

/// A witness's key and memory.
pub(super) struct Memory {
    name: String,
    key: LogKey,
    journal: Journal,
    seen: Vec<Seen>,
}

impl Memory {
    pub(super) fn open(directory: &Path, name: &str, key: LogKey) -> anyhow::Result<Self> {
        let options = vouch_journal::Options::default();
        let (journal, _) = Journal::open(&directory.join("journal"), options)?;
        let mut seen = Vec::new();
        for record in journal.iter() {
            let (_, bytes) = record?;
            let record = serde_json::from_slice(&bytes);
            remember(&mut seen, record.context("a record of the witness is unreadable")?);
        }
        Ok(Self { name: name.to_owned(), key, journal, seen })
    }

    pub(super) fn verifier(&self) -> Verifier {
        Verifier::witness(&self.name, self.key.signing_key())
    }

    /// What was cosigned last of a log.
    pub(super) fn last(&self, origin: &str) -> Option<&Seen> {
        self.seen.iter().find(|last| last.origin == origin)
    }

    /// Cosigns a checkpoint whose signatures were checked, if it continues the last one.
    ///
    /// # Errors
    /// Those of the disk; the inner error says why there is no cosignature.
    pub(super) fn cosign(
        &mut self,
        note: &Note,
        checkpoint: &Checkpoint,
        old: u64,
        proof: &[B256],
    ) -> anyhow::Result<Result<NoteSignature, Refused>> {
        let last = self.last(&checkpoint.origin).map(|last| (last.size, last.root));
        if let Err(refused) = admit(last, old, proof, checkpoint) {
            return Ok(Err(refused));
        }
        let Checkpoint { origin, size, root } = checkpoint.clone();
        if last != Some((size, root)) {
            let now = Seen { origin, size, root, note: note.to_string() };
            self.journal.append(&serde_json::to_vec(&now)?)?;
            self.journal.sync()?;
            remember(&mut self.seen, now);
        }
        Ok(Ok(note::cosign(&self.name, self.key.signing_key(), &note.text, unix_seconds())))
    }
}

fn remember(seen: &mut Vec<Seen>, now: Seen) {
    seen.retain(|last| last.origin != now.origin);
    seen.push(now);
}
