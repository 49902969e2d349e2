//! Trains, values and shares out, in one go, with everything a receipt needs.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use serde::Serialize;
use serde_json::Value;

use super::{
    Classifier, Config, Examples, apportion, knn_shapley, remove_copies, validation_hash, weights,
};
use crate::{
    Embed, Error, Result,
    dataset::{Document, content_hash},
    search::embedded,
};

/// Texts that are embedded at once.
const BATCH: usize = 64;

/// One owner's granted set, as it was received.
#[derive(Debug, Clone)]
pub struct Set {
    /// Whose it is.
    pub owner: Address,
    /// Its id.
    pub dataset: B256,
    /// What allowed its use when work began.
    pub grant: B256,
    /// Labelled documents; those without a label are counted and not used.
    pub documents: Vec<Document>,
}

/// What one owner's set came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReport {
    /// Whose it is.
    pub owner: Address,
    /// The set.
    pub dataset: B256,
    /// What allowed it.
    pub grant: B256,
    /// Labelled examples in it.
    pub examples: usize,
    /// Documents without a label.
    pub unlabelled: usize,
    /// How many of the examples were copies of earlier ones.
    pub copies: usize,
    /// Shapley value of the rest, in parts of the validation accuracy.
    pub value: f64,
    /// Half of its 95 % interval.
    pub error: f64,
    /// In parts of 10^18.
    #[serde(with = "crate::decimal")]
    pub weight: u128,
    /// Of the pot, in atomic units.
    #[serde(with = "crate::decimal")]
    pub amount: u128,
    /// Whether its grant no longer held at the end: then the amount is not credited. [`train`]
    /// leaves it false; the caller asks the registry again.
    pub revoked: bool,
}

/// How the training went.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The classifier's.
    pub name: String,
    /// Identity of the trained model.
    pub model: B256,
    /// Examples that it was trained on.
    pub examples: usize,
    /// Examples of the validation set.
    pub validation: usize,
    /// How many of those the classifier labels right.
    pub right: usize,
    /// What all sets together are worth to nearest neighbours above a guess: the sum of all values.
    pub total: f64,
    /// How often the best guess without data is right.
    pub guess: f64,
    /// By set, in the stated order.
    pub owners: Vec<OwnerReport>,
}

/// A trained model with its papers.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The model.
    pub classifier: Classifier,
    /// What it was to be trained on: what a receipt's `request` commits to.
    pub manifest: Value,
    /// How it went: what a receipt's `response` commits to.
    pub report: Report,
}

/// Trains a classifier on `sets`, in the order of `config`, and values each.
///
/// The caller has checked every grant, and checks it again before anyone is paid.
///
/// # Errors
/// [`Error::Malformed`] if sets or validation are not those of `config` or hold no labels,
/// [`Error::Embed`], [`Error::Amount`].
pub fn train(
    config: &Config,
    sets: &[Set],
    validation: &[Document],
    embedding: B256,
    dimensions: usize,
    embed: &dyn Embed,
) -> Result<Trained> {
    let same = |(set, named): (&Set, &super::SetConfig)| {
        (set.owner, set.dataset, set.grant) == (named.owner, named.dataset, named.grant)
    };
    if sets.len() != config.sets.len() || !sets.iter().zip(&config.sets).all(same) {
        return Err(Error::malformed("training sets", "they are not those of classifier.toml"));
    }
    if validation_hash(validation) != config.validation.commitment {
        let why = "it is not the one that classifier.toml commits to";
        return Err(Error::malformed("validation set", why));
    }
    let labels = labels(sets, validation);
    let mut rows = Rows { labels: &labels, embed, examples: Examples::new(dimensions) };
    let mut hashes = Vec::new();
    let mut of_set = Vec::new();
    for (number, set) in sets.iter().enumerate() {
        for hash in rows.add(&set.documents)? {
            hashes.push(hash);
            of_set.push(number);
        }
    }
    let all = std::mem::replace(&mut rows.examples, Examples::new(dimensions));
    rows.add(validation)?;
    let copies = remove_copies(&all, &hashes, config.near_duplicate);
    let kept = all.select(&copies.kept);
    let owners: Vec<usize> = copies.kept.iter().map(|index| of_set[*index]).collect();
    let values = knn_shapley(&kept, &rows.examples, &owners, sets.len(), config.k)?;
    let classifier = Classifier::train(embedding, &labels, &kept)?;

    let worth: Vec<f64> = values.owners.iter().map(|owner| owner.value).collect();
    let weights = weights(&worth)?;
    let amounts = apportion(config.pot, &weights)?;
    let owner_report = |number: usize| {
        let set = &sets[number];
        let examples = of_set.iter().filter(|of| **of == number).count();
        OwnerReport {
            owner: set.owner,
            dataset: set.dataset,
            grant: set.grant,
            examples,
            unlabelled: set.documents.len() - examples,
            copies: copies.copies.iter().filter(|(copy, _)| of_set[*copy] == number).count(),
            value: values.owners[number].value,
            error: values.owners[number].error,
            weight: weights[number],
            amount: amounts[number],
            revoked: false,
        }
    };
    let report = Report {
        name: config.name.clone(),
        model: classifier.identity()?,
        examples: kept.len(),
        validation: rows.examples.len(),
        right: classifier.right(&rows.examples),
        total: values.total,
        guess: values.guess,
        owners: (0..sets.len()).map(owner_report).collect(),
    };
    Ok(Trained { classifier, manifest: config.manifest(embedding), report })
}

/// Every label that occurs, sorted.
fn labels(sets: &[Set], validation: &[Document]) -> Vec<String> {
    let documents = sets.iter().flat_map(|set| &set.documents).chain(validation);
    documents.filter_map(Document::label).collect::<BTreeSet<_>>().into_iter().collect()
}

struct Rows<'a> {
    labels: &'a [String],
    embed: &'a dyn Embed,
    examples: Examples,
}

impl Rows<'_> {
    /// Adds labelled documents; returns the hash of each that was added.
    fn add(&mut self, documents: &[Document]) -> Result<Vec<B256>> {
        let labelled: Vec<(String, u32)> = documents
            .iter()
            .filter_map(|document| {
                let label = self.labels.binary_search(&document.label()?).ok()?;
                Some((document.text(), label as u32))
            })
            .collect();
        for batch in labelled.chunks(BATCH) {
            let texts: Vec<String> = batch.iter().map(|(text, _)| text.clone()).collect();
            let vectors = embedded(self.embed, &texts, self.examples.dimensions())?;
            for (vector, (_, label)) in vectors.iter().zip(batch) {
                self.examples.push(vector, *label)?;
            }
        }
        Ok(labelled.iter().map(|(text, _)| content_hash(text)).collect())
    }
}
