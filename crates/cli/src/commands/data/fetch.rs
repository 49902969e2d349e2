//! Fetches a granted dataset from its owner's server: page by page, each with its own signature, and
//! every document checked against the dataset's id.

use alloy_primitives::{Address, B256};
use anyhow::{bail, ensure};
use serde::Deserialize;
use vouch_data::{
    consent::Use,
    dataset::Document,
    serve::{Access, Page},
};
use vouch_wallet::Wallet;

use super::owner::Place;
use crate::{
    http::{get_json, post_json},
    output::printable,
};

/// A reply of more bytes is not one of ours: content, with JSON's escapes and proofs.
const MAX_PAGE_BYTES: usize = 512 << 20;
const PAGE: u32 = 128;
const MAX_DOCUMENTS: u64 = 1_000_000;

#[derive(Deserialize)]
struct Challenge {
    challenge: B256,
    server: String,
}

/// Whom to ask for what.
pub(super) struct Wanted<'a> {
    pub(super) source: &'a str,
    pub(super) dataset: B256,
    pub(super) owner: Address,
    pub(super) usage: Use,
}

/// All documents, each with its leaf.
pub(super) async fn documents(
    place: &Place,
    wallet: &Wallet,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Vec<(B256, Document)>> {
    let client = reqwest::Client::new();
    let source = wanted.source.trim_end_matches('/');
    let base = format!("{source}/datasets/{}", wanted.dataset);
    let mut documents = Vec::new();
    loop {
        let grantee = wanted.usage.grantee;
        let url = format!("{base}/challenge?grantee={grantee}");
        let given: Challenge = get_json(&client, &url).await?;
        // A server that passes on another's challenge would have us sign in to that one.
        ensure!(
            given.server.trim_end_matches('/') == source,
            "{source} calls itself {}: name it as it does",
            printable(&given.server)
        );
        let access = Access {
            server: given.server,
            dataset: wanted.dataset,
            grantee,
            purpose: wanted.usage.purpose,
            service: wanted.usage.service,
            first: documents.len() as u64,
            count: PAGE,
            challenge: given.challenge,
        };
        let signed = access.clone().sign(wallet, place.chain, place.economy.consent);
        let page: Page =
            post_json(&client, &format!("{base}/documents"), &signed, MAX_PAGE_BYTES).await?;
        ensure!(page.size <= MAX_DOCUMENTS, "the dataset has more than {MAX_DOCUMENTS} documents");
        let mut items = page.verify(&access, wanted.owner)?;
        if items.is_empty() && (documents.len() as u64) < page.size {
            bail!("{source} stops at document {} of {}", documents.len(), page.size);
        }
        documents.append(&mut items);
        if documents.len() as u64 >= page.size {
            return Ok(documents);
        }
    }
}
