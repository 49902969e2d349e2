//! An agent's own log: receipts in a store that the agent's key signs, bodies in a journal beside.

use std::{path::Path, sync::Arc, time::Duration};

use alloy::providers::{DynProvider, Provider as _};
use alloy_primitives::B256;
use anyhow::Context;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use vouch_agent::act::{Acknowledged, ActError, ActLog, Draft, Opening};
use vouch_core::{act::Act, domain::Domain};
use vouch_journal::Journal;
use vouch_store::{EmbeddedStore, Store};
use vouch_wallet::Wallet;

use crate::own_log;

/// One record of the journal of openings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opened {
    /// The receipt's digest.
    receipt: B256,
    opening: Opening,
}

/// The log in `data_dir/agent/NAME`.
#[derive(Debug)]
pub(crate) struct AgentLog {
    store: EmbeddedStore,
    openings: Mutex<Journal>,
    /// The chain whose blocks promises name; none where it is only read.
    provider: Option<DynProvider>,
}

impl AgentLog {
    pub(crate) fn open(
        home: &Path,
        domain: Domain,
        key: Arc<Wallet>,
        provider: Option<DynProvider>,
    ) -> anyhow::Result<Self> {
        let (store, _) = own_log::open(home, "agent", domain, key)?;
        let (openings, _) = Journal::open(&home.join("acts"), vouch_journal::Options::default())?;
        Ok(Self { store, openings: Mutex::new(openings), provider })
    }

    /// Publishes a checkpoint each second, for as long as it runs.
    pub(crate) async fn publish(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if let Err(error) = self.checkpoint().await {
                tracing::warn!(%error, "no checkpoint was published");
            }
        }
    }

    pub(crate) async fn checkpoint(&self) -> anyhow::Result<()> {
        self.store.publish_checkpoint().await.context("no checkpoint could be published")?;
        Ok(())
    }

    /// Acts, oldest first, without the first `after`, with their places in the log.
    pub(crate) async fn read(&self, after: usize, most: usize) -> anyhow::Result<Vec<Act>> {
        if after == 0 {
            self.checkpoint().await?;
        }
        let openings = self.openings.lock().await;
        let mut acts = Vec::new();
        for record in openings.iter() {
            let Opened { receipt, opening } = serde_json::from_slice(&record?.1)
                .context("the journal of openings holds something else")?;
            // An opening alone is of an act whose signer ended before it was logged.
            let Some(logged) = self.store.receipt_by_digest(&receipt)? else { continue };
            acts.push(opening.act(logged.receipt, logged.promise));
        }
        let mut acts: Vec<_> = acts.into_iter().skip(after).take(most).collect();
        for act in &mut acts {
            act.log = self.store.proof(act.promise.index)?;
        }
        Ok(acts)
    }

    async fn take(&self, act: Draft) -> anyhow::Result<Acknowledged> {
        let Draft { receipt, opening } = act;
        let opened = Opened { receipt: receipt.digest(), opening };
        {
            // First what opens it: a receipt that nobody can open proves nothing.
            let mut openings = self.openings.lock().await;
            openings.append(&serde_json::to_vec(&opened)?)?;
            openings.sync()?;
        }
        // The promise names a recent block; an act without a chain to ask keeps the last one.
        if let Some(provider) = &self.provider
            && let Ok(Some(block)) = provider.get_block(alloy::eips::BlockId::latest()).await
        {
            self.store.set_recent_block(block.header.hash);
        }
        let acknowledged = self.store.append(receipt).await?;
        let digest = acknowledged.receipt.digest();
        Ok(Acknowledged { digest, index: acknowledged.promise.index })
    }
}

impl ActLog for AgentLog {
    fn append(&self, act: Draft) -> BoxFuture<'_, Result<Acknowledged, ActError>> {
        Box::pin(
            async move { self.take(act).await.map_err(|error| ActError(format!("{error:#}"))) },
        )
    }

    fn acts(&self, after: usize, most: usize) -> BoxFuture<'_, Result<Vec<Act>, ActError>> {
        Box::pin(async move {
            self.read(after, most).await.map_err(|error| ActError(format!("{error:#}")))
        })
    }
}
