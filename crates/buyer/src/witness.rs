//! A provider's checkpoints: each must continue the last one seen.

use vouch_core::log::{
    Checkpoint,
    note::{Note, Verifier},
};
use vouch_evidence::fault;

use crate::{Buyer, Error, Misconduct, seller::Seller, state::Record};

impl Buyer {
    /// Looks at a provider's newest checkpoint: signed twice, and a continuation of the last one.
    ///
    /// # Errors
    /// [`Error::Misconduct`] if it is not; then the provider is not dealt with any more.
    pub async fn witness(&self, url: &str) -> Result<Checkpoint, Error> {
        let seller = self.seller(url).await?;
        let note = seller.checkpoint().await?;
        self.observe(&seller, &note).await
    }

    /// Takes a checkpoint in, whoever served it.
    pub(crate) async fn observe(&self, seller: &Seller, text: &str) -> Result<Checkpoint, Error> {
        let provider = seller.provider();
        let key = Verifier::parse(&seller.document.log.key)
            .map_err(|error| Error::protocol(&seller.url, error))?;
        let read = Note::parse(text)
            .and_then(|note| Ok((Checkpoint::verify(&note, &key, provider)?, note)));
        let (new, note) = match read {
            Ok(read) => read,
            Err(error) => {
                let evidence = self.keep_notes(seller, "", text)?;
                let what = Misconduct::Checkpoint(error.to_string());
                return Err(self.distrust(seller, what, Some(evidence)));
            }
        };
        loop {
            let last = self.state().ledger.checkpoints.get(&provider).cloned();
            if let Some(last) = &last {
                // It was verified before it was kept.
                let known = |error: vouch_core::Error| Error::State(error.to_string());
                let last_note = Note::parse(last).map_err(known)?;
                let old = Checkpoint::parse(&last_note.text).map_err(known)?;
                if old.size == new.size && old.root != new.root {
                    return Err(self.split(seller, &key, &last_note, &note, new.size)?);
                }
                self.continues(seller, &old, &new, last, text).await?;
                if new.size <= old.size {
                    return Ok(new);
                }
            }
            let mut state = self.state();
            // Where another task took a checkpoint in meanwhile, this one must fit that, too.
            if state.ledger.checkpoints.get(&provider) == last.as_ref() {
                state.commit([Record::Checkpoint { provider, note: text.to_owned() }])?;
                return Ok(new);
            }
        }
    }

    /// The smaller of two checkpoints is the beginning of the larger.
    async fn continues(
        &self,
        seller: &Seller,
        old: &Checkpoint,
        new: &Checkpoint,
        old_text: &str,
        new_text: &str,
    ) -> Result<(), Error> {
        let (small, large) = if old.size <= new.size { (old, new) } else { (new, old) };
        let path = if small.size == large.size || small.size == 0 {
            Vec::new()
        } else {
            match seller.consistency(small.size, large.size).await {
                // It signed both sizes: to have no path between them is to have another log.
                Err(Error::Refused { status: 404, .. }) => Vec::new(),
                path => path?,
            }
        };
        if fault::check_consistency(small, large, &path).is_ok() {
            return Ok(());
        }
        let evidence = self.keep_notes(seller, old_text, new_text)?;
        let what = Misconduct::HistoryRewritten { old: small.size, new: large.size };
        Err(self.distrust(seller, what, Some(evidence)))
    }

    /// Two roots for one size: a fault that anyone can check.
    fn split(
        &self,
        seller: &Seller,
        key: &Verifier,
        first: &Note,
        second: &Note,
        size: u64,
    ) -> Result<Error, Error> {
        let proof = fault::split_log(seller.provider(), key, first, second)
            .map_err(|error| Error::State(error.to_string()))?;
        let json = serde_json::to_vec_pretty(&proof).unwrap_or_default();
        let name = format!("split-{}-{size}", seller.provider());
        let evidence = self.state().write_evidence(&name, &json)?;
        Ok(self.distrust(seller, Misconduct::SplitLog { size }, Some(evidence)))
    }

    fn keep_notes(
        &self,
        seller: &Seller,
        old: &str,
        new: &str,
    ) -> Result<std::path::PathBuf, Error> {
        let notes = serde_json::json!({ "last": old, "now": new });
        let name = format!("log-{}", seller.provider());
        self.state().write_evidence(&name, notes.to_string().as_bytes())
    }
}
