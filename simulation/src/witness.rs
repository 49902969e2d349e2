//! A witness: follows each log, and cosigns what continues what it has seen.

use alloy_primitives::B256;
use vouch_core::log::{
    Checkpoint,
    note::{self, Note, Verifier},
};
use vouch_evidence::fault;

use crate::{
    gateway::Process,
    oracle::{Invariant, Judged, Violation},
    parties::{GATEWAYS, parties},
};

/// What the witness has of each log.
#[derive(Debug)]
pub struct Witness {
    seen: Vec<Option<Checkpoint>>,
    keys: Vec<Verifier>,
}

impl Default for Witness {
    fn default() -> Self {
        let providers = parties().providers.iter();
        let keys = providers.map(|provider| Verifier::log(&provider.origin, &provider.log));
        Self { seen: vec![None; GATEWAYS], keys: keys.collect() }
    }
}

impl Witness {
    /// Size and root of a log as it was last seen.
    #[must_use]
    pub fn knows(&self, gateway: usize) -> Option<(u64, B256)> {
        self.seen[gateway].as_ref().map(|seen| (seen.size, seen.root))
    }

    /// Looks at a gateway's checkpoint, as any buyer does: by the real rules.
    ///
    /// # Errors
    /// A checkpoint that does not continue the last one.
    pub fn look(&mut self, gateway: usize, process: &mut Process, now_s: u64) -> Judged {
        let store = process.store();
        let Ok(Some(bytes)) = store.log_file("checkpoint") else { return Ok(()) };
        let wrong = |why: String| Violation { invariant: Invariant::OneHistory, what: why };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let note = Note::parse(&text).map_err(|error| wrong(error.to_string()))?;
        let unsigned = Checkpoint::parse(&note.text).map_err(|error| wrong(error.to_string()))?;
        if self.seen[gateway].as_ref() == Some(&unsigned) {
            return Ok(());
        }
        let provider = &parties().providers[gateway];
        let new = Checkpoint::verify(&note, &self.keys[gateway], provider.party.address)
            .map_err(|error| wrong(error.to_string()))?;
        if let Some(old) = &self.seen[gateway] {
            let path = store
                .consistency(old.size, new.size)
                .map_err(|error| wrong(format!("the witness gets no path: {error}")))?;
            fault::check_consistency(old, &new, &path).map_err(|error| wrong(error.to_string()))?;
        }
        self.seen[gateway] = Some(new);
        let line = note::cosign("witness.simulation", &parties().witness, &note.text, now_s);
        process.cosign(&note.text, line);
        Ok(())
    }
}
