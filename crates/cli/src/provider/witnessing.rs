//! Asks witnesses for their cosignatures (C2SP tlog-witness), and takes their word for how long the
//! log was.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use reqwest::{Client, StatusCode};
use vouch_core::log::{
    note::{Note, Verifier},
    witness::{Submission, decimal},
};
use vouch_evidence::Witness;
use vouch_store::{Published, Store};

use crate::http::bounded;

/// Between looks for a new checkpoint, and after a failure.
const LOOK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// A witness that asks to begin elsewhere is followed so often.
const MAX_ROUNDS: usize = 3;
/// Some cosignature lines, or a size.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// A witness that is asked.
pub(super) struct Asked {
    key: Verifier,
    url: String,
    client: Client,
    /// The size that it cosigned last, as far as is known.
    cosigned: u64,
}

/// The log is not the one that the witness has seen. Never to be gone on with.
#[derive(Debug, thiserror::Error)]
#[error(
    "the witness {witness} has cosigned this log with {seen}, and this data directory has {size} \
     entries: it is an older copy, or the log was forked; going on would be a provable fault. \
     Restore the newest copy"
)]
pub(super) struct Behind {
    witness: String,
    seen: String,
    size: u64,
}

impl Asked {
    /// Those of the witnesses whose address is known.
    pub(super) fn of(witnesses: &[Witness]) -> anyhow::Result<Vec<Self>> {
        let client = Client::builder().timeout(PATIENCE).build()?;
        let asked = witnesses.iter().filter_map(|witness| {
            let url = witness.url.clone()?;
            Some(Self { key: witness.key.clone(), url, client: client.clone(), cosigned: 0 })
        });
        Ok(asked.collect())
    }

    /// Shows the witness the newest checkpoint before anything is sold.
    ///
    /// # Errors
    /// [`Behind`]. A witness that cannot be asked is a warning: others and the anchor stand too.
    pub(super) async fn check(&mut self, store: &dyn Store) -> anyhow::Result<()> {
        let published = store.publish_checkpoint().await?;
        match self.submit(store, &published).await {
            Err(error) if error.is::<Behind>() => Err(error),
            Err(error) => {
                tracing::warn!(witness = %self.key.name, error = format!("{error:#}"), "cannot be asked");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Has each new checkpoint cosigned, until it is dropped.
    pub(super) async fn follow(mut self, store: Arc<dyn Store>) {
        let mut failing = false;
        loop {
            tokio::time::sleep(LOOK).await;
            let newest = store.checkpoint().filter(|new| new.checkpoint.size > self.cosigned);
            let Some(newest) = newest else { continue };
            match self.submit(store.as_ref(), &newest).await {
                Ok(()) => failing = false,
                Err(error) if error.is::<Behind>() => {
                    tracing::error!(%error, "the log is not what its witness saw");
                }
                // Once for each time that it goes away.
                Err(error) if !failing => {
                    failing = true;
                    let error = format!("{error:#}");
                    tracing::warn!(witness = %self.key.name, error, "no cosignature; tries again");
                }
                Err(_) => {}
            }
        }
    }

    async fn submit(&mut self, store: &dyn Store, published: &Published) -> anyhow::Result<()> {
        let checkpoint = &published.checkpoint;
        for _ in 0..MAX_ROUNDS {
            let behind = |seen: String| Behind {
                witness: self.key.to_string(),
                seen,
                size: checkpoint.size,
            };
            if self.cosigned > checkpoint.size {
                bail!(behind(format!("{} entries", self.cosigned)));
            }
            let proof = store.consistency(self.cosigned, checkpoint.size)?;
            let note = Note::parse(&published.note)?;
            let submission = Submission { old: self.cosigned, proof, note };
            let (status, answer) = self.post(&submission).await?;
            match status {
                StatusCode::OK => {
                    self.cosigned = checkpoint.size;
                    return self.take(store, published, &answer).await;
                }
                StatusCode::CONFLICT => {
                    let size = decimal(answer.trim_end_matches('\n'));
                    let size = size.context("its answer names no size")?;
                    // It has this very size: then it has another root.
                    if size == self.cosigned {
                        bail!(behind(format!("another root at {size} entries")));
                    }
                    self.cosigned = size;
                }
                StatusCode::UNPROCESSABLE_ENTITY => {
                    bail!(behind(format!("{} other entries", self.cosigned)));
                }
                StatusCode::NOT_FOUND => bail!("it does not know this log: give it the log's key"),
                other => bail!("it answered {other}"),
            }
        }
        bail!("it changes its mind about what it has cosigned")
    }

    async fn post(&self, submission: &Submission) -> anyhow::Result<(StatusCode, String)> {
        let url = format!("{}/add-checkpoint", self.url);
        let sent = self.client.post(&url).body(submission.to_string()).send().await;
        let mut answer = sent.with_context(|| format!("{url} cannot be reached"))?;
        let status = answer.status();
        let body = bounded(&mut answer, &url, MAX_ANSWER_BYTES).await?;
        Ok((status, String::from_utf8(body).context("its answer is not UTF-8")?))
    }

    /// Adds the witness's lines to the checkpoint, and no others'.
    async fn take(&self, store: &dyn Store, of: &Published, answer: &str) -> anyhow::Result<()> {
        let text = of.checkpoint.text();
        let note =
            Note::parse(&format!("{text}\n{answer}")).context("its answer is no cosignature")?;
        ensure!(note.text == text, "its answer is no cosignature");
        ensure!(self.key.verify(&note).is_some(), "its cosignature is not by the key it should be");
        let line = note.signatures.into_iter().find(|line| {
            let alone = Note { text: text.clone(), signatures: vec![line.clone()] };
            self.key.verify(&alone).is_some()
        });
        let line = line.context("its answer is no cosignature")?;
        store.add_cosignature(text, line).await?;
        Ok(())
    }
}
