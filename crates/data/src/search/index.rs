//! The index: every passage's vector, and where the passage is from.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::{dot, normalise};
use crate::{
    Embed, Error, Result,
    dataset::{Document, passages},
};

/// The most passages of an index.
const MAX_PASSAGES: usize = 1 << 22;
/// Passages that are embedded at once.
const BATCH: usize = 64;
/// Vectors closer than this are of one text.
const NEAR_DUPLICATE: f32 = 0.97;

/// Where a passage is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The dataset's id.
    pub dataset: B256,
    /// Who is paid.
    pub owner: Address,
    /// The document's leaf in the dataset's tree.
    pub leaf: B256,
    /// The document's path.
    pub path: String,
    /// The document's title.
    pub title: String,
    /// The passage's number in the document.
    pub passage: u32,
    /// [`crate::dataset::content_hash`] of the passage.
    pub hash: B256,
    /// The passage.
    pub text: String,
}

/// How to search.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// How many passages at most.
    pub count: usize,
    /// How many of them from one owner.
    pub per_owner: usize,
    /// The least inner product that counts as an answer.
    pub least: f32,
    /// Passages whose vectors are at least this close are copies: one of them is cited.
    pub near_duplicate: f32,
}

impl Default for Query {
    fn default() -> Self {
        Self { count: 4, per_owner: 2, least: 0.2, near_duplicate: NEAR_DUPLICATE }
    }
}

/// A passage that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit<'a, T> {
    /// Inner product with the question, at most about 1.
    pub score: f32,
    /// The passage.
    pub source: &'a Source,
    /// What allowed its use, such as the grant.
    pub allowed: T,
}

/// One dataset's part of the index. `order` is when it was published: of two copies, the earlier
/// is the original.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    pub(super) order: (u64, u64),
    pub(super) sources: Vec<Source>,
    /// Row by row; kept apart in a file.
    #[serde(skip)]
    pub(super) vectors: Vec<f32>,
}

/// Passages by meaning: exact, in memory.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// Of the model that embeds: vectors of two models cannot be compared.
    pub(super) model: B256,
    pub(super) dimensions: usize,
    pub(super) parts: BTreeMap<B256, Part>,
}

impl Index {
    /// An empty index for vectors of one model.
    #[must_use]
    pub fn new(model: B256, dimensions: usize) -> Self {
        Self { model, dimensions, parts: BTreeMap::new() }
    }

    /// The identity of the model whose vectors it holds.
    #[must_use]
    pub fn model(&self) -> B256 {
        self.model
    }

    /// How many passages it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.values().map(|part| part.sources.len()).sum()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The datasets in it.
    #[must_use]
    pub fn datasets(&self) -> Vec<B256> {
        self.parts.keys().copied().collect()
    }

    /// Embeds and adds a dataset's documents, each with its leaf; replaces what it had of it.
    /// `order` is when the dataset was published: block and log index. Returns how many passages.
    ///
    /// # Errors
    /// [`Error::Embed`], [`Error::Malformed`] if a vector is of another length or no number, and
    /// [`Error::TooMuch`].
    pub fn add(
        &mut self,
        dataset: B256,
        owner: Address,
        order: (u64, u64),
        documents: &[(B256, Document)],
        embed: &dyn Embed,
    ) -> Result<usize> {
        let mut sources = Vec::new();
        for (leaf, document) in documents {
            let title = document.title();
            sources.extend(passages(document).into_iter().map(|passage| Source {
                dataset,
                owner,
                leaf: *leaf,
                path: document.path.clone(),
                title: title.clone(),
                passage: passage.index,
                hash: passage.hash,
                text: passage.text,
            }));
        }
        if self.len().saturating_add(sources.len()) > MAX_PASSAGES {
            return Err(Error::TooMuch { what: "the index", limit: MAX_PASSAGES as u64 });
        }
        let mut vectors = Vec::with_capacity(sources.len() * self.dimensions);
        for batch in sources.chunks(BATCH) {
            let texts: Vec<String> = batch.iter().map(|source| source.text.clone()).collect();
            for mut vector in embedded(embed, &texts, self.dimensions)? {
                normalise(&mut vector)?;
                vectors.extend_from_slice(&vector);
            }
        }
        let count = sources.len();
        self.parts.insert(dataset, Part { order, sources, vectors });
        Ok(count)
    }

    /// Takes a dataset out, as after its revocation. Returns whether it was there.
    pub fn remove(&mut self, dataset: B256) -> bool {
        self.parts.remove(&dataset).is_some()
    }

    /// The best passages for a question's vector, best first; exact.
    ///
    /// `allowed` is asked once for each dataset at every search; what it gives nothing for is not
    /// looked at.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the vector is of another length or has no direction.
    pub fn search<T: Clone>(
        &self,
        question: &[f32],
        query: &Query,
        mut allowed: impl FnMut(B256) -> Option<T>,
    ) -> Result<Vec<Hit<'_, T>>> {
        if question.len() != self.dimensions {
            let why = format!("{} numbers, the index has {}", question.len(), self.dimensions);
            return Err(Error::malformed("embedding", why));
        }
        let mut question = question.to_vec();
        normalise(&mut question)?;
        let mut candidates = Vec::new();
        for (dataset, part) in &self.parts {
            let Some(allowed) = allowed(*dataset) else { continue };
            let rows = part.vectors.chunks_exact(self.dimensions);
            for (source, vector) in part.sources.iter().zip(rows) {
                let score = dot(vector, &question);
                if score >= query.least {
                    let allowed = allowed.clone();
                    candidates.push(Candidate {
                        score,
                        order: part.order,
                        source,
                        vector,
                        allowed,
                    });
                }
            }
        }
        // A stable sort: ties stay in the order of datasets and passages.
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(choose(candidates, query))
    }
}

struct Candidate<'a, T> {
    score: f32,
    order: (u64, u64),
    source: &'a Source,
    vector: &'a [f32],
    allowed: T,
}

impl<T> Candidate<'_, T> {
    fn copies(&self, other: &Self, near: f32) -> bool {
        self.source.hash == other.source.hash || dot(self.vector, other.vector) >= near
    }
}

/// From the best down: no copies, and not too many of one owner. Of two copies the earlier dataset's
/// is cited, so that a copy, altered to score higher, earns nothing.
fn choose<'a, T>(candidates: Vec<Candidate<'a, T>>, query: &Query) -> Vec<Hit<'a, T>> {
    let mut chosen: Vec<Candidate<'a, T>> = Vec::new();
    for candidate in candidates {
        let copied = chosen.iter().position(|c| c.copies(&candidate, query.near_duplicate));
        if let Some(at) = copied {
            let owner = candidate.source.owner;
            let earlier = candidate.order < chosen[at].order;
            let same = chosen[at].source.owner == owner;
            if earlier && (same || of_owner(&chosen, owner) < query.per_owner) {
                chosen[at] = candidate;
            }
        } else if chosen.len() < query.count
            && of_owner(&chosen, candidate.source.owner) < query.per_owner
        {
            chosen.push(candidate);
        } else if chosen.len() >= query.count
            && chosen.last().is_some_and(|last| candidate.score < last.score - COPY_MARGIN)
        {
            // What follows is too far below the last to be a copy of any.
            break;
        }
    }
    let hit = |c: Candidate<'a, T>| Hit { score: c.score, source: c.source, allowed: c.allowed };
    chosen.into_iter().map(hit).collect()
}

/// How far a copy can score below its original: |q·(a - b)| <= |a - b| = sqrt(2 - 2·0.97).
const COPY_MARGIN: f32 = 0.25;

fn of_owner<T>(chosen: &[Candidate<'_, T>], owner: Address) -> usize {
    chosen.iter().filter(|candidate| candidate.source.owner == owner).count()
}

/// The vectors of texts, checked to be as many and as long as they should.
pub(crate) fn embedded(
    embed: &dyn Embed,
    texts: &[String],
    dimensions: usize,
) -> Result<Vec<Vec<f32>>> {
    let vectors = embed.embed(texts).map_err(Error::Embed)?;
    if vectors.len() != texts.len() || vectors.iter().any(|vector| vector.len() != dimensions) {
        let why = format!("expected {} vectors of {dimensions} numbers", texts.len());
        return Err(Error::malformed("embedding", why));
    }
    Ok(vectors)
}
