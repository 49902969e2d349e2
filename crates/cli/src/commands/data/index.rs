//! `vouch data index`: what this machine's provider may search.

use std::path::Path;

use anyhow::Context;
use serde_json::json;
use vouch_data::{
    consent::{Purpose, Use},
    search::Index,
};

use super::{
    fetch::{Wanted, documents},
    owner::{Place, provider_wallet},
};
use crate::{
    arguments::data,
    embedder::Embedder,
    output::Output,
    provider::sources::{index_key, index_path},
    time::unix_seconds,
};

pub(super) async fn run(
    arguments: data::Index,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let embedder = Embedder::open().await?;
    let model = embedder.identity()?;
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

    let (key, path) = (index_key(data_dir)?, index_path(data_dir));
    let mut index = match path.exists() {
        true => Index::load(&path, &key)?,
        false => Index::new(model, embedder.dimensions()),
    };
    anyhow::ensure!(
        index.model() == model,
        "the index is of another embedding model: move {} away to start anew",
        path.display()
    );
    let passages = index.add(id, dataset.owner, dataset.at, &fetched, &embedder)?;
    // What was revoked or has ended since is taken out; embedding may take longer than a look holds.
    consents.catch_up().await?;
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
