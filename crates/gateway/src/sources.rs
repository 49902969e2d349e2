use std::sync::Arc;

use alloy_primitives::B256;
use futures_util::future::BoxFuture;
use vouch_core::data_use::Grant;

/// The name of a sourced model: its model's with this behind it.
pub const SUFFIX: &str = "+sources";

/// Data that may be quoted, as the gateway needs it.
///
/// - **Durability**: none; what is credited is the store's.
/// - **Consistency**: both may be behind the chain by what the settlement's health allows.
/// - **Concurrency**: any number of tasks.
/// - **Retries**: the implementation's. A retrieval that fails refuses its call uncharged.
pub trait Sources: Send + Sync + std::fmt::Debug {
    /// The passages that answer a question best, best first, and only such that a grant in force
    /// lets this provider use for [`vouch_core::data_use::SEARCH`] in this service. The gateway
    /// checks of each grant what needs no chain, and takes those that fit its terms.
    fn retrieve<'a>(
        &'a self,
        asked: &'a Retrieval,
    ) -> BoxFuture<'a, Result<Vec<Passage>, SourcesError>>;

    /// Which of these grants still hold, in their order; asked when an answer settles. What was
    /// revoked meanwhile is not credited.
    fn still_allowed<'a>(
        &'a self,
        grants: &'a [B256],
        service: B256,
    ) -> BoxFuture<'a, Result<Vec<bool>, SourcesError>>;
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrieval {
    /// The last message of the user.
    pub question: String,
    /// Identity of the model that will read the passages.
    pub service: B256,
    /// How many sources an answer may have at most; some more passages do no harm.
    pub limit: usize,
}

/// A passage that may be quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Leaf of its document in the tree of the grant's dataset.
    pub document: B256,
    /// The permission: owner, dataset, price and share.
    pub grant: Grant,
    /// What people call the document: its citation.
    pub title: String,
    /// The passage, as it stands in the document. A stranger's words.
    pub text: String,
}

/// Why there are no passages, as a clause that strangers may read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourcesError(pub String);

/// Sourced answers on sale: each model that has token ids gets an entry of its own beside it.
#[derive(Debug, Clone)]
pub struct Sourcing {
    /// Where passages come from.
    pub sources: Arc<dyn Sources>,
    /// Atomic units that a sourced request costs more, whatever it uses. Sources whose credits do
    /// not fit the price of the request are not quoted.
    pub price: u128,
    /// The most sources of one answer.
    pub max_sources: u32,
    /// The most bytes that they add to the prompt. The payer reserves a token for each.
    pub max_bytes: u32,
}
