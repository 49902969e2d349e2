//! `vouch data train`: a classifier from granted sets, and what each set earns.

use std::{collections::BTreeMap, fs, path::Path};

use alloy_primitives::Address;
use anyhow::Context;
use serde_json::json;
use vouch_core::commitment::canonical_hash;
use vouch_data::{
    consent::{Consents, Purpose, Use},
    dataset::{Limits, read},
    payout::{Leaf, Tree},
    value::{Config, Report, Set, train},
};

use super::{
    fetch::{Wanted, documents},
    owner::{Place, provider_wallet},
};
use crate::{
    arguments::data, embedder::Embedder, money::Dollars, output::Output, time::unix_seconds,
};

pub(super) async fn run(
    arguments: data::Train,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let path = &arguments.config;
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let config = Config::from_toml(&text)?;
    let embedder = Embedder::open().await?;
    let place = Place::open(&arguments.on, data_dir).await?;
    let wallet = provider_wallet(data_dir)?
        .context("there is no provider on this machine: `vouch up` or `vouch serve` makes one")?;
    let consents = place.consents().await?;
    let usage = || Use {
        grantee: wallet.address(),
        purpose: Purpose::train(),
        service: Default::default(),
        at: unix_seconds(),
    };
    let mut sets = Vec::new();
    for named in &config.sets {
        consents.check(named.grant, &usage())?;
        let wanted = Wanted {
            source: &named.source,
            dataset: named.dataset,
            owner: named.owner,
            usage: usage(),
        };
        let fetched = documents(&place, &wallet, &wanted).await?;
        let documents = fetched.into_iter().map(|(_, document)| document).collect();
        let (owner, dataset, grant) = (named.owner, named.dataset, named.grant);
        sets.push(Set { owner, dataset, grant, documents });
    }
    let beside = path.parent().unwrap_or(Path::new("."));
    let validation = read(&beside.join(&config.validation.path), &Limits::default())?.documents;
    let (model, dimensions) = (embedder.identity()?, embedder.dimensions());
    let trained = train(&config, &sets, &validation, model, dimensions, &embedder)?;
    let unpaid = settle(&consents, &config, usage()).await?;

    let leaves = leaves(&trained.report, &unpaid);
    let tree = (!leaves.is_empty()).then(|| Tree::new(leaves)).transpose()?;
    let payout = tree.as_ref().map(|tree| json!({ "root": tree.root(), "leaves": tree.leaves() }));
    let report = json!({ "report": trained.report, "revoked": unpaid, "payout": payout });
    let out = &arguments.out;
    fs::create_dir_all(out).with_context(|| format!("{} cannot be created", out.display()))?;
    let classifier = json!(trained.classifier);
    let files = [
        ("model.json", &classifier),
        ("manifest.json", &trained.manifest),
        ("report.json", &report),
    ];
    for (name, value) in files {
        let path = out.join(name);
        fs::write(&path, serde_json::to_vec_pretty(value)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let value = json!({
        "model": trained.report.model,
        "manifest": canonical_hash(&trained.manifest)?,
        "report": canonical_hash(&report)?,
        "owners": trained.report.owners,
        "revoked": unpaid,
        "payout": payout,
        "out": out,
    });
    output.answer(&value, || lines(&trained.report))
}

/// Grants are checked again before anyone is paid: the owners whose grants no longer hold.
async fn settle(consents: &Consents, config: &Config, usage: Use) -> anyhow::Result<Vec<Address>> {
    consents.catch_up().await?;
    let gone = config.sets.iter().filter(|set| consents.check(set.grant, &usage).is_err());
    Ok(gone.map(|set| set.owner).collect())
}

/// One leaf for each owner who is paid.
fn leaves(report: &Report, unpaid: &[Address]) -> Vec<Leaf> {
    let mut amounts: BTreeMap<Address, u128> = BTreeMap::new();
    for owner in report.owners.iter().filter(|owner| !unpaid.contains(&owner.owner)) {
        *amounts.entry(owner.owner).or_default() += owner.amount;
    }
    let paid = amounts.into_iter().filter(|(_, amount)| *amount > 0);
    paid.map(|(account, cumulative)| Leaf { account, cumulative, sequence: 0 }).collect()
}

fn lines(report: &Report) -> String {
    let mut text = format!(
        "{} labels {} of {} right\n  model  {}",
        report.name, report.right, report.validation, report.model
    );
    for owner in &report.owners {
        text.push_str(&format!(
            "\n  {}  value {:+.4} ± {:.4}, {} examples, {} copies, earns {}",
            owner.owner,
            owner.value,
            owner.error,
            owner.examples,
            owner.copies,
            Dollars(owner.amount)
        ));
    }
    text
}
