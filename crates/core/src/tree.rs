//! The tree bundle: answers, uses of data, acts and trainings, with the edges between their receipts.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{act::Act, bundle::Bundle, data_use::DataUse, receipt::Receipt, training::Training};

/// The version of [`TreeBundle`] that this crate writes.
pub const VERSION: u32 = 1;

/// Receipts that belong together, each with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TreeBundle {
    /// [`VERSION`].
    pub version: u32,
    /// Digest of the receipt that the tree is about.
    pub root: B256,
    /// All nodes, each once: the root, then the others by digest.
    pub nodes: Vec<Node>,
    /// Receipts that nodes refer to and that are not here, by digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<B256>,
}

/// One receipt with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Node {
    /// An answer.
    Answer(Box<Bundle>),
    /// A use of data, child of an answer or of a training.
    Use(Box<DataUse>),
    /// An agent's act.
    Act(Box<Act>),
    /// A training.
    Training(Box<Training>),
}

impl Node {
    /// Its receipt.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        match self {
            Self::Answer(bundle) => &bundle.receipt,
            Self::Use(used) => &used.receipt,
            Self::Act(act) => &act.receipt,
            Self::Training(training) => &training.receipt,
        }
    }
}

impl TreeBundle {
    /// A tree of one answer and the uses of data in it.
    #[must_use]
    pub fn of_answer(bundle: Bundle, uses: impl IntoIterator<Item = DataUse>) -> Self {
        let root = bundle.receipt.digest();
        let mut nodes = vec![Node::Answer(Box::new(bundle))];
        nodes.extend(uses.into_iter().map(|used| Node::Use(Box::new(used))));
        Self::new(root, nodes, Vec::new())
    }

    /// A tree, in the one order that it has.
    #[must_use]
    pub fn new(root: B256, mut nodes: Vec<Node>, mut absent: Vec<B256>) -> Self {
        nodes.sort_by_cached_key(|node| {
            let digest = node.receipt().digest();
            (digest != root, digest)
        });
        absent.sort_unstable();
        Self { version: VERSION, root, nodes, absent }
    }
}
