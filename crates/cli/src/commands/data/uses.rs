//! An owner's data-use receipts: fetched from a provider's gateway, checked, and kept.

use std::{collections::BTreeMap, fs, path::Path};

use alloy_primitives::{Address, B256};
use anyhow::{Context, ensure};
use vouch_core::{
    data_use::{self, DataUse},
    domain::Domain,
    inquiry::{Inquiry, MAX_LIFE_S},
};
use vouch_data::payout::check_receipt;
use vouch_wallet::Wallet;
use vouch_wire::vouch::{ProviderDocument, UsesBody, UsesPage};

use super::owner::Place;
use crate::{
    http::{get_json, post_json},
    time::unix_seconds,
};

const PAGE: u32 = 100;
/// A page of receipts with their proofs is a fraction of this.
const MAX_PAGE_BYTES: usize = 4 << 20;
/// What a stranger's gateway may make a command read.
const MAX_USES: usize = 100_000;

/// A provider's gateway, where owners' receipts are.
pub(super) struct Gateway {
    client: reqwest::Client,
    url: String,
    pub(super) document: ProviderDocument,
    pub(super) domain: Domain,
}

/// Receipts of one owner that hold, and what is wrong with others, each in a sentence.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) uses: Vec<DataUse>,
    pub(super) faults: Vec<String>,
}

impl Gateway {
    /// Asks a gateway who it is; it must settle on the chain of `place`.
    pub(super) async fn open(url: &str, place: &Place) -> anyhow::Result<Self> {
        let client = reqwest::Client::new();
        let url = url.trim_end_matches('/').to_owned();
        let document: ProviderDocument =
            get_json(&client, &format!("{url}/.well-known/vouch.json")).await?;
        let domain = Domain { chain: place.chain, settlement: document.settlement };
        ensure!(
            document.network == domain.network(),
            "{url} settles on {:?}, --chain is {}: name the chain that it settles on",
            document.network,
            domain.network()
        );
        Ok(Self { client, url, document, domain })
    }

    /// Every receipt of `owner`'s data, from the first one on, each checked; asked for by the owner's
    /// wallet, or the provider's own.
    pub(super) async fn uses(&self, owner: Address, wallet: &Wallet) -> anyhow::Result<Found> {
        let mut found = Found::default();
        let (mut after, mut total) = (0u64, 0u128);
        loop {
            let page = self.page(owner, wallet, after).await?;
            if page.uses.is_empty() {
                return Ok(found);
            }
            for usage in page.uses {
                let seen = found.uses.len().saturating_add(found.faults.len());
                ensure!(seen < MAX_USES, "more than {MAX_USES} receipts of {owner}");
                let receipt = &usage.receipt;
                let sequence = receipt.sequence;
                if sequence <= after {
                    let fault = format!("{} repeats receipt {sequence} of {owner}", self.url);
                    found.faults.push(fault);
                    return Ok(found);
                }
                if let Err(error) = self.check(&usage, owner) {
                    found.faults.push(format!(
                        "receipt {sequence} of {owner} was changed or is not this provider's: \
                         {error:#}"
                    ));
                    after = sequence;
                    continue;
                }
                if sequence != after + 1 {
                    found.faults.push(format!(
                        "a gap: receipt {sequence} of {owner} follows {after}, what is between is \
                         kept back"
                    ));
                } else if total.checked_add(receipt.charge) != Some(receipt.cumulative) {
                    found.faults.push(format!(
                        "the total of receipt {sequence} of {owner} does not follow from the one \
                         before"
                    ));
                }
                (total, after) = (receipt.cumulative, sequence);
                found.uses.push(usage);
            }
        }
    }

    async fn page(&self, owner: Address, wallet: &Wallet, after: u64) -> anyhow::Result<UsesPage> {
        let provider = self.document.provider;
        let expiry = unix_seconds().saturating_add(MAX_LIFE_S / 2);
        let inquiry = Inquiry { provider, owner, after, limit: PAGE, expiry };
        let signature = Some(wallet.sign(inquiry.digest(&self.domain)));
        let url = format!("{}/vouch/uses", self.url);
        post_json(&self.client, &url, &UsesBody { inquiry, signature }, MAX_PAGE_BYTES).await
    }

    fn check(&self, usage: &DataUse, owner: Address) -> anyhow::Result<()> {
        let receipt = &usage.receipt;
        check_receipt(receipt, &self.domain, self.document.provider)?;
        ensure!(receipt.payer == owner, "it is of {}", receipt.payer);
        usage.promise.verify(receipt.leaf_hash(), &self.domain, self.document.provider)?;
        let opened = data_use::request(&usage.nonce, &usage.dataset, &usage.document);
        ensure!(
            receipt.request == opened && receipt.model == usage.dataset,
            "what stands beside it does not open it"
        );
        ensure!(
            receipt.terms == usage.grant.id() && usage.grant.owner == owner,
            "its grant is another"
        );
        Ok(())
    }

    /// Adds what was found to the file of this provider's receipts in `directory`. What was held
    /// before stays: both of two receipts in one place are the proof of a fault.
    pub(super) fn keep(&self, directory: &Path, found: &mut Found) -> anyhow::Result<()> {
        let path = directory.join(format!("{}.json", self.document.provider));
        let shown = path.display();
        let mut kept: BTreeMap<(u64, B256), DataUse> = BTreeMap::new();
        let key = |usage: &DataUse| (usage.receipt.sequence, usage.receipt.digest());
        if path.exists() {
            let bytes = fs::read(&path).with_context(|| format!("{shown} cannot be read"))?;
            let held: Vec<DataUse> =
                serde_json::from_slice(&bytes).with_context(|| format!("{shown} is damaged"))?;
            kept.extend(held.into_iter().map(|usage| (key(&usage), usage)));
        }
        let newest = found.uses.last().map_or(0, |usage| usage.receipt.sequence);
        let sequences: BTreeMap<u64, B256> = found.uses.iter().map(key).collect();
        for (sequence, digest) in kept.keys() {
            let fault = match sequences.get(sequence) {
                Some(now) if now != digest => "is another one now than when it was fetched before",
                None if *sequence > newest => "was fetched before and is kept back now",
                _ => continue,
            };
            found.faults.push(format!("receipt {sequence} {fault}"));
        }
        kept.extend(found.uses.iter().map(|usage| (key(usage), usage.clone())));
        let kept: Vec<&DataUse> = kept.values().collect();
        fs::create_dir_all(directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec(&kept)?)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("{shown} cannot be written"))
    }
}
