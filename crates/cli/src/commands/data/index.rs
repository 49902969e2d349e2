//! `vouch data index`: what this machine's provider may search.

use std::path::Path;

use anyhow::Context;
use serde_json::json;
use vouch_data::{
    consent::{Purpose, Use},
    seal::Key,
    search::Index,
};

use super::{
    embedder::embedder,
    fetch::{Wanted, documents},
    owner::{Place, provider_wallet},
};
use crate::{arguments::data, output::Output, time::unix_seconds};

/// The index and its key, below the provider's directory.
const INDEX: &str = "search.index";
const KEY: &str = "search-key.json";

pub(super) async fn run(
    arguments: data::Index,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let embedder = embedder()?;
    let place = Place::open(&arguments.on, data_dir).await?;
    let wallet = provider_wallet(data_dir)?
        .context("there is no provider on this machine: `vouch up` or `vouch serve` makes one")?;
    let consents = place.consents().await?;
    let usage = Use {
        grantee: wallet.address(),
        purpose: Purpose::search(),
        service: arguments.service.unwrap_or_default(),
        at: unix_seconds(),
    };
    let id = arguments.dataset;
    let dataset = consents.dataset(id).with_context(|| format!("dataset {id} is not published"))?;
    let (grant, _) = consents.find(id, &usage)?;
    let wanted = Wanted { source: &arguments.source, dataset: id, owner: dataset.owner, usage };
    let fetched = documents(&place, &wallet, &wanted).await?;

    let directory = data_dir.join("provider");
    let key = Key::open_or_create(&directory.join(KEY), &crate::passphrase())?;
    let path = directory.join(INDEX);
    let mut index = match path.exists() {
        true => Index::load(&path, &key)?,
        false => Index::new(embedder.model, embedder.dimensions),
    };
    anyhow::ensure!(
        index.model() == embedder.model,
        "the index is of another embedding model: move {} away to start anew",
        path.display()
    );
    let embed = embedder.embed.as_ref();
    let passages = index.add(id, dataset.owner, dataset.at, &fetched, embed)?;
    // What was revoked or has ended since is taken out.
    let gone: Vec<_> =
        index.datasets().into_iter().filter(|id| consents.find(*id, &usage).is_err()).collect();
    for id in &gone {
        index.remove(*id);
    }
    index.save(&path, &key)?;
    let value = json!({
        "dataset": id, "grant": grant, "documents": fetched.len(), "passages": passages,
        "removed": gone, "total": index.len(),
    });
    output.answer(&value, || {
        format!(
            "indexed {passages} passages of {} documents; {} in all, {} datasets removed",
            fetched.len(),
            index.len(),
            gone.len()
        )
    })
}
