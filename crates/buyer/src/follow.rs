//! Every buyer is a witness: receipts must come into the log, and the log must only grow.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use vouch_core::{
    B256,
    bundle::{Bundle, LogProof},
    tree::TreeBundle,
};
use vouch_evidence::{LinkName, Options, Report, verify};

use crate::{
    AnyTokenizer, Buyer, Error, Misconduct, chain,
    check::CLOCK_SLACK_S,
    recount::Recount,
    seller::Seller,
    state::{Entry, Record},
};

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
        let mut by_provider: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for entry in self.state().ledger.unlogged.values().cloned() {
            by_provider.entry(entry.url.clone()).or_default().push(entry);
        }
        // At once, so that no provider holds the others up.
        let looking = by_provider.into_values().map(|entries| self.clone().follow_one(entries));
        let mut followed = Followed::default();
        for one in join_all(looking).await {
            followed.logged += one.logged;
            followed.waiting += one.waiting;
            followed.problems.extend(one.problems);
        }
        followed
    }

    /// Looks at one provider's log, as long as it answers.
    async fn follow_one(self, entries: Vec<Entry>) -> Followed {
        let mut followed = Followed::default();
        for entry in entries {
            match self.log_entry(&entry).await {
                Ok(true) => followed.logged += 1,
                Ok(false) => followed.waiting += 1,
                // Reported when it was found.
                Err(Error::Distrusted { .. }) => break,
                Err(error) => {
                    let is_gone = matches!(error, Error::Unreachable { .. });
                    followed.problems.push(error);
                    if is_gone {
                        break;
                    }
                }
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

    /// True if the receipt is logged; false if it is not yet, in time.
    async fn log_entry(&self, entry: &Entry) -> Result<bool, Error> {
        let seller = self.seller(&entry.url).await?;
        let Some(proof) = seller.proof(entry.index).await? else {
            if self.now_s() <= entry.merge_by.saturating_add(CLOCK_SLACK_S) {
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

    /// A kept answer with the uses of data in it, completed as [`Self::complete`] does, each use
    /// with its own place in the log where the provider gives it.
    ///
    /// # Errors
    /// As [`Self::complete`].
    pub async fn tree(&self, digest: &B256, patience: Duration) -> Result<TreeBundle, Error> {
        let bundle = match patience {
            Duration::ZERO => self.bundle(digest)?,
            patience => self.complete(digest, patience).await?.0,
        };
        let (mut uses, entry) = {
            let state = self.state();
            (state.read_uses(digest)?, state.ledger.entry(digest).cloned())
        };
        if let (Some(entry), true) = (entry, bundle.log.is_some()) {
            let seller = self.seller(&entry.url).await?;
            for used in &mut uses {
                if let Some(proof) = seller.proof(used.promise.index).await? {
                    self.observe(&seller, &proof.checkpoint).await?;
                    used.log = Some(proof);
                }
            }
            self.state().write_uses(digest, &uses)?;
        }
        Ok(TreeBundle::of_answer(bundle, uses))
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
        tokenizer: Option<&AnyTokenizer>,
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
