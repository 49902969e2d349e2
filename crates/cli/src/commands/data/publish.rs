//! `vouch data publish`.

use std::path::Path;

use anyhow::Context;
use serde_json::json;
use vouch_data::dataset::{Facts, Limits, read};

use super::owner::Owner;
use crate::{
    arguments::data::Publish,
    output::{Output, printable},
    time::unix_seconds,
};

/// Skipped files that are shown to people.
const SHOWN: usize = 10;

pub(super) async fn run(arguments: Publish, data_dir: &Path, output: Output) -> anyhow::Result<()> {
    let directory = &arguments.directory;
    let reading = read(directory, &Limits::default())?;
    let name = match arguments.name {
        Some(name) => name,
        None => {
            let path = directory.canonicalize().with_context(|| directory.display().to_string())?;
            path.file_name().and_then(|name| name.to_str()).unwrap_or("dataset").to_owned()
        }
    };
    let owner = Owner::open(&arguments.on, data_dir).await?;
    let describe = |facts: Facts| Facts {
        licence: arguments.licence,
        description: arguments.description.unwrap_or(facts.description.clone()),
        creator: arguments.creator.unwrap_or_default(),
        published: unix_seconds(),
        ..facts
    };
    let account = owner.wallet.address();
    let dataset = owner.library.add(account, &name, &reading.documents, describe)?;
    let card = dataset.card.hash()?;
    let consents = owner.place.consents().await?;
    let known = consents.dataset(dataset.id).is_some_and(|known| known.card == card);
    let transaction = if known {
        None
    } else {
        let registry = owner.registry(data_dir).await?;
        Some(registry.publish(dataset.root, card).await?.transaction_hash)
    };
    let value = json!({
        "dataset": dataset.id,
        "owner": account,
        "root": dataset.root,
        "card": card,
        "documents": reading.documents.len(),
        "skipped": reading.skipped,
        "transaction": transaction,
    });
    output.answer(&value, || {
        let skipped = reading.skipped.iter().take(SHOWN);
        let skipped: String =
            skipped.map(|s| format!("\n  skipped    {}: {}", printable(&s.path), s.why)).collect();
        let more = reading.skipped.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        let done = if known { "was published before" } else { "published" };
        format!(
            "{} {done}\n  dataset    {}\n  owner      {account}\n  documents  {}, sealed{skipped}{more}",
            printable(&name),
            dataset.id,
            reading.documents.len(),
        )
    })
}
