//! `vouch data train`: a classifier from granted sets, and what each set earns.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use alloy_primitives::Address;
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use vouch_contracts::addresses;
use vouch_core::{
    commitment::canonical_hash,
    tree::{Node, TreeBundle},
};
use vouch_data::{
    consent::{Consents, Grant, Purpose, Use},
    dataset::{Document, Limits, read},
    value::{Config, Draft, Opening, Set, train, validation_hash},
};

use super::{
    fetch::{Wanted, documents},
    owner::Place,
    trainer::{Trainer, priceless},
};
use crate::{
    arguments::data,
    embedder::Embedder,
    money::Dollars,
    output::{Output, printable},
    time::{unix_milliseconds, unix_seconds},
};

pub(super) async fn run(
    arguments: data::Train,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    if let Some(directory) = &arguments.validation {
        let commitment = validation_hash(&read(directory, &Limits::default())?.documents);
        let value = json!({ "commitment": commitment });
        return output.answer(&value, || commitment.to_string());
    }
    let place = Place::open(&arguments.on, data_dir).await?;
    let trainer = Trainer::open(data_dir, &place)?;
    let Some(path) = arguments.classifier else {
        let account = trainer.account();
        return output.answer(&json!({ "account": account }), || account.to_string());
    };
    let text =
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let config = Config::from_toml(&text)?;
    let beside = path.parent().unwrap_or(Path::new("."));
    let validation = read(&beside.join(&config.validation.path), &Limits::default())?.documents;
    let embedder = Embedder::open().await?;
    let files = Files(arguments.out);
    let manifest = config.manifest(embedder.identity()?);
    // A pot is shared out once, however often the command is run.
    let index = match trainer.find(&manifest)? {
        Some(index) => index,
        None => {
            let draft = work(&place, &trainer, &config, &validation, &embedder, &files).await?;
            trainer.log(&place, draft).await?
        }
    };
    let tree = trainer.tree(index).await?;
    let value = files.papers(&trainer, &tree)?;
    output.answer(&value, || lines(&value))
}

/// Fetches, trains and values; the model is written before anything is promised.
async fn work(
    place: &Place,
    trainer: &Trainer,
    config: &Config,
    validation: &[Document],
    embedder: &Embedder,
    files: &Files,
) -> anyhow::Result<Draft> {
    let consents = place.consents().await?;
    let usage = || Use {
        grantee: trainer.account(),
        purpose: Purpose::train(),
        service: Default::default(),
        at: unix_seconds(),
    };
    let (mut sets, mut grants) = (Vec::new(), Vec::new());
    for named in &config.sets {
        let grant = consents.check(named.grant, &usage())?;
        ensure!(
            (grant.owner, grant.dataset) == (named.owner, named.dataset),
            "grant {} is of dataset {} of {}, the configuration names it for {} of {}",
            named.grant,
            grant.dataset,
            grant.owner,
            named.dataset,
            named.owner
        );
        priceless(&grant, named.grant)?;
        let wanted = Wanted {
            source: &named.source,
            dataset: named.dataset,
            owner: named.owner,
            usage: usage(),
        };
        let fetched = documents(place, &trainer.wallet, &wanted).await?;
        let documents = fetched.into_iter().map(|(_, document)| document).collect();
        let (owner, dataset) = (named.owner, named.dataset);
        sets.push(Set { owner, dataset, grant: named.grant, documents });
        grants.push(grant);
    }
    let (model, dimensions) = (embedder.identity()?, embedder.dimensions());
    let mut trained = train(config, &sets, validation, model, dimensions, embedder)?;
    let gone = revoked(&consents, config, usage()).await?;
    for (share, gone) in trained.report.owners.iter_mut().zip(gone) {
        share.revoked = gone;
    }
    files.write("model.json", &json!(trained.classifier))?;
    let opening = Opening::new(trained.manifest, json!(trained.report))?;
    let grants: Vec<_> = grants.iter().map(|grant: &Grant| (*grant).into()).collect();
    let (account, asset) = (trainer.account(), addresses::TOKEN);
    Ok(Draft::new(account, trainer.domain, asset, opening, &grants, unix_milliseconds())?)
}

/// Grants are checked again before anyone is paid: which no longer hold.
async fn revoked(consents: &Consents, config: &Config, usage: Use) -> anyhow::Result<Vec<bool>> {
    consents.catch_up().await?;
    Ok(config.sets.iter().map(|set| consents.check(set.grant, &usage).is_err()).collect())
}

/// Where everything goes.
struct Files(PathBuf);

impl Files {
    fn write(&self, name: &str, value: &Value) -> anyhow::Result<()> {
        let path = self.0.join(name);
        fs::create_dir_all(&self.0)
            .and_then(|()| fs::write(&path, serde_json::to_vec_pretty(value)?))
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// What a logged training leaves: manifest, report, the proof of both, and receipts for the
    /// owners.
    fn papers(&self, trainer: &Trainer, tree: &TreeBundle) -> anyhow::Result<Value> {
        let training = tree.nodes.iter().find_map(|node| match node {
            Node::Training(training) => Some(training),
            _ => None,
        });
        let training = training.context("the trainer's log holds no training there")?;
        self.write("manifest.json", &training.manifest)?;
        self.write("report.json", &training.report)?;
        self.write("training.json", &json!(tree))?;
        let owners = tree.nodes.iter().filter_map(|node| match node {
            Node::Use(used) => Some(used.receipt.payer),
            _ => None,
        });
        for owner in owners.collect::<BTreeSet<Address>>() {
            trainer.hand_out(owner, &self.0.join("receipts"))?;
        }
        Ok(json!({
            "account": trainer.account(),
            "receipt": tree.root,
            "model": training.receipt.model,
            "manifest": canonical_hash(&training.manifest)?,
            "report": training.report,
            "credited": training.receipt.charge.to_string(),
            "out": self.0,
        }))
    }
}

fn lines(value: &Value) -> String {
    let (report, text) =
        (&value["report"], |value: &Value| printable(value.as_str().unwrap_or_default()));
    let mut lines = format!(
        "{} labels {} of {} right\n  model    {}\n  receipt  {}, with what each set is credited in {}",
        text(&report["name"]),
        report["right"],
        report["validation"],
        text(&value["model"]),
        text(&value["receipt"]),
        Path::new(value["out"].as_str().unwrap_or_default()).join("training.json").display(),
    );
    for set in report["owners"].as_array().into_iter().flatten() {
        let number = |key: &str| set[key].as_f64().unwrap_or_default();
        let amount = set["amount"].as_str().and_then(|amount| amount.parse().ok());
        let earns = match set["revoked"] == true {
            true => "revoked meanwhile: earns nothing".to_owned(),
            false => format!("earns {}", Dollars(amount.unwrap_or_default())),
        };
        lines.push_str(&format!(
            "\n  {}  value {:+.4} ± {:.4}, {} examples, {} copies, {earns}",
            text(&set["owner"]),
            number("value"),
            number("error"),
            set["examples"],
            set["copies"],
        ));
    }
    lines
}
