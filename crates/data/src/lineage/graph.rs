//! The graph: nodes in the order in which they were registered, parents before children.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Hundredths of a percent in a whole.
pub(super) const BPS: u16 = 10_000;
const MAX_PARENTS: usize = 16;
const MAX_ANCESTORS: usize = 1024;

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
            "its parents' shares are together above 10000 (100 %): they are parts of one income"
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

    /// Whether the registry would take a node: new, after its parents, and not too far down.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the reason.
    pub fn check(&self, node: &Node) -> Result<()> {
        let id = node.id();
        let why = if self.nodes.contains_key(&id) {
            format!("{id} is registered already, with these parents and shares, and is frozen")
        } else if let Some((parent, _)) =
            node.parents.iter().find(|(parent, _)| !self.nodes.contains_key(parent))
        {
            format!(
                "its parent {parent} is not registered: parents come first, which is why a node can \
                 never descend from itself"
            )
        } else if self.paths(node) > MAX_ANCESTORS {
            format!("it has {} ancestors, more than {MAX_ANCESTORS}", self.paths(node))
        } else {
            return Ok(());
        };
        Err(Error::malformed("lineage node", why))
    }

    /// Its ancestors, one counted for each path that leads to it, as the registry does.
    fn paths(&self, node: &Node) -> usize {
        let of = |(parent, _): &(B256, u16)| self.paths_to(*parent).saturating_add(1);
        node.parents.iter().map(of).sum()
    }

    fn paths_to(&self, id: B256) -> usize {
        let mut paths: BTreeMap<B256, usize> = BTreeMap::new();
        for known in self.ancestry(id) {
            let parents = self.nodes.get(&known).into_iter().flat_map(|node| &node.parents);
            let above = parents.map(|(parent, _)| paths.get(parent).copied().unwrap_or(0) + 1);
            let above = above.sum();
            paths.insert(known, above);
        }
        paths.get(&id).copied().unwrap_or(0)
    }

    /// Names in the order of registration.
    #[must_use]
    pub fn order(&self) -> &[B256] {
        &self.order
    }

    /// These nodes, and all that was made of them.
    #[must_use]
    pub fn made_of(&self, nodes: &BTreeSet<B256>) -> BTreeSet<B256> {
        let mut made = nodes.clone();
        for (id, node) in self.order.iter().filter_map(|id| Some((id, self.nodes.get(id)?))) {
            if node.parents.iter().any(|(parent, _)| made.contains(parent)) {
                made.insert(*id);
            }
        }
        made
    }

    /// A node and all that it descends from, in the order of registration.
    #[must_use]
    pub fn ancestry(&self, id: B256) -> Vec<B256> {
        let mut wanted = BTreeSet::from([id]);
        for child in self.order.iter().rev() {
            if wanted.contains(child) {
                let parents = self.nodes.get(child).into_iter().flat_map(|node| &node.parents);
                wanted.extend(parents.map(|(parent, _)| *parent));
            }
        }
        self.order.iter().copied().filter(|node| wanted.contains(node)).collect()
    }
}
