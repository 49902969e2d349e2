//! The graph: nodes in the order in which they were registered, parents before children.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Hundredths of a percent in a whole.
pub(super) const BPS: u16 = 10_000;
const MAX_PARENTS: usize = 16;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    /// Data.
    Dataset = 1,
    /// A base model.
    Model = 2,
    /// A model made from another.
    FineTune = 3,
    /// What is sold.
    Service = 4,
}

impl TryFrom<u8> for Kind {
    type Error = Error;

    fn try_from(byte: u8) -> Result<Self> {
        match byte {
            1 => Ok(Self::Dataset),
            2 => Ok(Self::Model),
            3 => Ok(Self::FineTune),
            4 => Ok(Self::Service),
            _ => Err(Error::malformed("lineage", format!("kind {byte} is unknown"))),
        }
    }
}

/// A node, frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Who has its own part.
    pub owner: Address,
    /// What it is.
    pub kind: Kind,
    /// A dataset's id, a model's identity.
    pub content: B256,
    /// In ascending order, each with its share in hundredths of a percent.
    pub parents: Vec<(B256, u16)>,
}

impl Node {
    /// A node with its parents in the order that the registry wants.
    ///
    /// # Errors
    /// [`Error::Malformed`] if a share is 0, a parent is named twice, there are more than 16, or the
    /// shares are above all.
    pub fn new(
        owner: Address,
        kind: Kind,
        content: B256,
        mut parents: Vec<(B256, u16)>,
    ) -> Result<Self> {
        parents.sort();
        let sum: u32 = parents.iter().map(|(_, share)| u32::from(*share)).sum();
        let why = if parents.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            "a parent is named twice"
        } else if parents.iter().any(|(_, share)| *share == 0) {
            "a parent has a share of nothing"
        } else if parents.len() > MAX_PARENTS {
            "it has more than 16 parents"
        } else if sum > u32::from(BPS) {
            "its parents' shares are above all"
        } else {
            return Ok(Self { owner, kind, content, parents });
        };
        Err(Error::malformed("lineage node", why))
    }

    /// Its name on the chain.
    #[must_use]
    pub fn id(&self) -> B256 {
        let (parents, shares): (Vec<B256>, Vec<u16>) = self.parents.iter().copied().unzip();
        // Any unsigned integer is 32 bytes in the ABI.
        let kind = u16::from(self.kind as u8);
        let name = (self.owner, kind, self.content, parents, shares);
        keccak256(name.abi_encode_params())
    }

    /// The sum of its parents' shares.
    #[must_use]
    pub fn passed_bps(&self) -> u16 {
        self.parents.iter().map(|(_, share)| *share).sum()
    }
}

/// Every node that was registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    nodes: BTreeMap<B256, Node>,
    order: Vec<B256>,
}

impl Graph {
    /// Adds a node whose parents are known: so there is no cycle.
    ///
    /// # Errors
    /// [`Error::Malformed`] if a parent is not known.
    pub fn insert(&mut self, node: Node) -> Result<B256> {
        if node.parents.iter().any(|(parent, _)| !self.nodes.contains_key(parent)) {
            return Err(Error::malformed("lineage", "a node's parent is not registered"));
        }
        let id = node.id();
        if self.nodes.insert(id, node).is_none() {
            self.order.push(id);
        }
        Ok(id)
    }

    /// One node.
    #[must_use]
    pub fn get(&self, id: B256) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// Names in the order of registration.
    #[must_use]
    pub fn order(&self) -> &[B256] {
        &self.order
    }

    /// A node and all that it descends from, in the order of registration.
    #[must_use]
    pub fn ancestry(&self, id: B256) -> Vec<B256> {
        let mut wanted = std::collections::BTreeSet::from([id]);
        for child in self.order.iter().rev() {
            if wanted.contains(child) {
                let parents = self.nodes.get(child).into_iter().flat_map(|node| &node.parents);
                wanted.extend(parents.map(|(parent, _)| *parent));
            }
        }
        self.order.iter().copied().filter(|node| wanted.contains(node)).collect()
    }
}
