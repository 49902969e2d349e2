//! The trainer on this machine: a key of its own, to which owners grant and which pays them, and a
//! log of its own, in which each training and what it credits stands.

use std::{fs, path::Path, sync::Arc};

use alloy::{eips::BlockId, providers::Provider as _};
use alloy_primitives::{Address, B256};
use anyhow::{Context, ensure};
use serde_json::Value;
use vouch_contracts::Deployment;
use vouch_core::{
    data_use::{self, DataUse, WHOLE},
    domain::Domain,
    receipt::{Kind, Receipt},
    training::Training,
    tree::{Node, TreeBundle},
};
use vouch_data::value::{Draft, Opening, UseOpening};
use vouch_store::{Child, EmbeddedStore, Store, StoredAnswer};
use vouch_wallet::Wallet;

use super::owner::Place;
use crate::own_log;

/// Receipts of one owner that are read at once.
const PAGE: usize = 1_000;

pub(super) struct Trainer {
    pub(super) wallet: Arc<Wallet>,
    pub(super) domain: Domain,
    store: EmbeddedStore,
    log_key: String,
}

impl Trainer {
    /// The trainer in `data_dir/trainer`; a new one if there is none.
    pub(super) fn open(data_dir: &Path, place: &Place) -> anyhow::Result<Self> {
        let home = data_dir.join("trainer");
        let wallet = Arc::new(Wallet::open_or_create(&home, &crate::passphrase())?);
        let settlement = Deployment::genesis(place.chain).settlement;
        let domain = Domain { chain: place.chain, settlement };
        let (store, log_key) = own_log::open(&home, "trainer", domain, wallet.clone())?;
        Ok(Self { wallet, domain, store, log_key })
    }

    pub(super) fn account(&self) -> Address {
        self.wallet.address()
    }

    /// The training by this manifest that is logged, if there is one.
    pub(super) fn find(&self, manifest: &Value) -> anyhow::Result<Option<u64>> {
        for index in 0..self.store.size() {
            let is_training = self.receipt(index)?.kind == Kind::TrainingRound;
            if is_training && self.opening::<Opening>(index)?.1.manifest == *manifest {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Logs a training and what it credits, durably and in one commit; returns its place.
    pub(super) async fn log(&self, place: &Place, draft: Draft) -> anyhow::Result<u64> {
        // The promise names a recent block; without a chain to ask it keeps the last one.
        if let Ok(Some(block)) = place.provider.get_block(BlockId::latest()).await {
            self.store.set_recent_block(block.header.hash);
        }
        let children = draft.uses.iter().map(|used| {
            let opening = serde_json::to_vec(&used.opening)?;
            Ok(Child { draft: used.receipt.clone(), opening })
        });
        let children = children.collect::<Result<Vec<_>, serde_json::Error>>()?;
        let opening = serde_json::to_vec(&draft.opening)?;
        let logged = self.store.append_with(draft.receipt, opening, children).await;
        Ok(logged.context("the training could not be logged")?.promise.index)
    }

    /// The training at a place with the uses under it, for whoever checks it.
    pub(super) async fn tree(&self, index: u64) -> anyhow::Result<TreeBundle> {
        self.store.publish_checkpoint().await.context("no checkpoint could be published")?;
        let (stored, opening) = self.opening::<Opening>(index)?;
        let Opening { nonce, manifest, report } = opening;
        let logged = stored.acknowledged;
        let root = logged.receipt.digest();
        let mut nodes = Vec::new();
        for child in &logged.children {
            nodes.push(Node::Use(Box::new(self.used(child.promise.index)?)));
        }
        nodes.push(Node::Training(Box::new(Training {
            receipt: logged.receipt,
            promise: logged.promise,
            log: self.store.proof(index)?,
            log_key: self.log_key.clone(),
            nonce,
            manifest,
            report,
        })));
        Ok(TreeBundle::new(root, nodes, Vec::new()))
    }

    /// Every data-use receipt of this trainer.
    pub(super) fn receipts(&self) -> anyhow::Result<Vec<Receipt>> {
        let all = (0..self.store.size()).map(|index| self.receipt(index));
        let uses = all.filter(|receipt| match receipt {
            Ok(receipt) => receipt.kind == Kind::DataUse,
            Err(_) => true,
        });
        uses.collect()
    }

    /// An owner's receipts, of every training, into a file to hand to that owner.
    pub(super) fn hand_out(&self, owner: Address, directory: &Path) -> anyhow::Result<()> {
        let stream = data_use::stream(&self.domain, self.account(), owner);
        let mut uses = Vec::new();
        loop {
            let page = self.store.receipts_of(&stream, uses.len() as u64, PAGE)?;
            if page.is_empty() {
                break;
            }
            for stored in page {
                uses.push(self.used(stored.acknowledged.promise.index)?);
            }
        }
        let path = directory.join(format!("{owner}.json"));
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&path, serde_json::to_vec(&uses)?))
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    fn used(&self, index: u64) -> anyhow::Result<DataUse> {
        let (stored, opening) = self.opening::<UseOpening>(index)?;
        let UseOpening { nonce, dataset, grant } = opening;
        let StoredAnswer { acknowledged, .. } = stored;
        let (receipt, promise) = (acknowledged.receipt, acknowledged.promise);
        let log = self.store.proof(index)?;
        Ok(DataUse { receipt, promise, log, nonce, dataset, document: WHOLE, grant })
    }

    fn receipt(&self, index: u64) -> anyhow::Result<Receipt> {
        let found = self.store.receipt(index)?.context("the trainer's log has a gap")?;
        Ok(found.receipt)
    }

    fn opening<T: for<'de> serde::Deserialize<'de>>(
        &self,
        index: u64,
    ) -> anyhow::Result<(StoredAnswer, T)> {
        let stored = self.store.stored(index)?.context("the trainer's log has a gap")?;
        let opening = serde_json::from_slice(&stored.answer)
            .context("the trainer's log holds something else beside a receipt")?;
        Ok((stored, opening))
    }
}

/// What a set may be trained on for: its worth, and no price beside.
pub(super) fn priceless(grant: &vouch_data::consent::Grant, id: B256) -> anyhow::Result<()> {
    ensure!(
        grant.price == 0 && grant.share_bps == 0,
        "grant {id} asks a price for each use, but a training pays what a set is worth: its owner \
         can grant `--purpose train` without a price"
    );
    Ok(())
}
