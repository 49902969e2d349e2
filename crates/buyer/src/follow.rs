//! Every buyer is a witness: receipts must come into the log, and the log must only grow.

use std::time::Duration;

use vouch_core::{
    B256,
    bundle::{Bundle, LogProof},
    log::{
        Checkpoint,
        note::{Note, Verifier},
    },
};
use vouch_evidence::{LinkName, Options, Report, fault, verify};
use vouch_model::tokenizer::Tokenizer;

use crate::{
    Buyer, Error, Misconduct, chain,
    recount::Recount,
    seller::Seller,
    state::{Entry, Record},
};

/// A receipt may come into the log so much later than promised before it counts as left out:
/// clocks differ.
const MERGE_SLACK_S: u64 = 120;
/// How often the background looks at logs and calls in flight.
const PERIOD: Duration = Duration::from_secs(5);
/// Between looks for what a bundle lacks.
const LOOK: Duration = Duration::from_millis(250);

/// What one look at the logs found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Followed {
    /// Receipts whose inclusion is now verified.
    pub logged: usize,
    /// Receipts that are promised and not logged yet.
    pub waiting: usize,
    /// What went wrong, provider by provider.
    pub problems: Vec<Error>,
}

impl Buyer {
    /// Looks at the log of each provider that owes a place in it: verifies inclusion under a signed
    /// checkpoint, and that the checkpoint continues the last one seen.
    pub async fn follow(&self) -> Followed {
        let mut followed = Followed::default();
        let unlogged: Vec<Entry> = self.state().ledger.unlogged.values().cloned().collect();
        for entry in unlogged {
            match self.log_entry(&entry).await {
                Ok(true) => followed.logged += 1,
                Ok(false) => followed.waiting += 1,
                // Reported when it was found.
                Err(Error::Distrusted { .. }) => {}
                Err(error) => followed.problems.push(error),
            }
        }
        followed
    }

    /// Follows the logs and resolves calls in flight until it is dropped.
    pub async fn background(self) {
        loop {
            if let Err(error) = self.resolve().await {
                tracing::error!(%error, "the buyer's state cannot be written");
                return;
            }
            for problem in self.follow().await.problems {
                tracing::warn!(error = %problem, "following a log");
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Looks at a provider's newest checkpoint: signed twice, and a continuation of the last one.
    ///
    /// # Errors
    /// [`Error::Misconduct`] if it is not; then the provider is not dealt with any more.
    pub async fn witness(&self, url: &str) -> Result<Checkpoint, Error> {
        let seller = self.seller(url).await?;
        let note = seller.checkpoint().await?;
        self.observe(&seller, &note).await
    }

    /// True if the receipt is logged; false if it is not yet, in time.
    async fn log_entry(&self, entry: &Entry) -> Result<bool, Error> {
        let seller = self.seller(&entry.url).await?;
        let Some(proof) = seller.proof(entry.index).await? else {
            if self.now_s() <= entry.merge_by.saturating_add(MERGE_SLACK_S) {
                return Ok(false);
            }
            let what = Misconduct::PromiseBroken { index: entry.index };
            let evidence = self.state().bundle_path(&entry.digest);
            return Err(self.distrust(&seller, what, Some(evidence)));
        };
        let mut bundle = self.bundle(&entry.digest)?;
        self.include(&seller, &mut bundle, proof).await?;
        Ok(true)
    }

    /// Takes a log proof into a bundle, if it holds.
    async fn include(
        &self,
        seller: &Seller,
        bundle: &mut Bundle,
        proof: LogProof,
    ) -> Result<(), Error> {
        self.observe(seller, &proof.checkpoint).await?;
        bundle.log = Some(proof);
        let require = vec![LinkName::Inclusion, LinkName::Checkpoint];
        let report = verify(bundle, &Options { require, ..Options::default() });
        let digest = bundle.receipt.digest();
        if let Some(broken) =
            report.links.iter().find(|l| l.status == vouch_evidence::Status::Broken)
        {
            let (link, finding) = (broken.link, broken.finding.clone());
            let json = serde_json::to_vec_pretty(bundle).unwrap_or_default();
            let evidence = self.state().write_evidence(&digest.to_string(), &json)?;
            let what = Misconduct::Evidence { link, finding };
            return Err(self.distrust(seller, what, Some(evidence)));
        }
        let mut state = self.state();
        state.write_bundle(bundle)?;
        match state.ledger.unlogged.contains_key(&digest) {
            true => state.commit([Record::Logged { digest }]),
            false => Ok(()),
        }
    }

    /// Takes a checkpoint in, whoever served it.
    async fn observe(&self, seller: &Seller, text: &str) -> Result<Checkpoint, Error> {
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

    /// Completes a kept bundle: waits up to `patience` for its place in the log, and adds the
    /// newest anchor that covers it, where the provider names a contract and a chain that this
    /// machine may ask. What cannot be had stays out; the report says so.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Misconduct`] where the log does not hold.
    pub async fn complete(
        &self,
        digest: &B256,
        patience: Duration,
    ) -> Result<(Bundle, Report), Error> {
        let mut bundle = self.bundle(digest)?;
        let entry = self.state().ledger.entry(digest).cloned();
        let entry = entry.ok_or(Error::NotFound { what: "receipt", id: *digest })?;
        let seller = self.seller(&entry.url).await?;
        let deadline = tokio::time::Instant::now() + patience;
        while bundle.anchor.is_none() {
            // Also where it is logged: a newer checkpoint has the cosignatures that came since.
            if self.log_entry(&entry).await? {
                bundle = self.bundle(digest)?;
            }
            let anchored = self.add_anchor(&seller, &mut bundle).await;
            let ended = anchored.unwrap_or_else(|error| {
                tracing::warn!(%error, "the anchor cannot be had");
                bundle.log.is_some()
            });
            if ended || tokio::time::Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let tokenizer = seller.tokenizer(&bundle.model).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the ids are not decoded: the tokenizer cannot be had");
            None
        });
        let report = self.report(&seller, &bundle, tokenizer.as_deref());
        Ok((bundle, report))
    }

    /// False if an anchor may come later; true if it is there, or none can be had.
    async fn add_anchor(&self, seller: &Seller, bundle: &mut Bundle) -> Result<bool, Error> {
        let (Some(contract), Some(rpc)) =
            (seller.document.anchor, chain::rpc_of(self.policy(), seller))
        else {
            return Ok(bundle.log.is_some());
        };
        let anchor = chain::anchor_proof(self.chain_http(), &rpc, contract, seller, bundle).await?;
        let Some(anchor) = anchor else { return Ok(false) };
        let anchored = Bundle { anchor: Some(anchor), ..bundle.clone() };
        let require = vec![LinkName::Anchor];
        if !verify(&anchored, &Options { require, ..Options::default() }).verdict.holds() {
            return Err(Error::protocol(&seller.url, "the anchor does not fit the log"));
        }
        self.state().write_bundle(&anchored)?;
        *bundle = anchored;
        Ok(true)
    }

    /// Checks a bundle with the tokenizer that its model's identity names: where there is one, its
    /// engine has ids, and a receipt without them only hides how many they were.
    pub(crate) fn report(
        &self,
        seller: &Seller,
        bundle: &Bundle,
        tokenizer: Option<&Tokenizer>,
    ) -> Report {
        let recount = tokenizer.map(|t| Recount::new(t, &bundle.response));
        let mut require = vec![LinkName::Authorization, LinkName::Promise];
        require.extend(tokenizer.map(|_| LinkName::Tokens));
        let options = Options {
            provider: Some(seller.provider()),
            payer: Some(self.address()),
            require,
            detokenizer: recount.as_ref().map(|recount| recount as _),
            ..Options::default()
        };
        verify(bundle, &options)
    }
}
