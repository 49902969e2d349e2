//! Which node hangs on which: all edges lead to nodes that are there, or are named as absent.

use std::collections::{BTreeMap, BTreeSet};

use vouch_core::{
    B256,
    act::{self, Act},
    bundle::Bundle,
    data_use::DataUse,
    training::Training,
    tree::{Node, TreeBundle, VERSION},
};

use crate::{
    Link, LinkName, Options,
    links::{Broken, conclude, ensure, proven},
};

/// More nodes are refused.
const MAX_NODES: usize = 4096;

/// A tree whose edges hold.
pub(super) struct Shape<'a> {
    nodes: &'a [Node],
    by_digest: BTreeMap<B256, usize>,
    /// Of each node, those made under it.
    children: Vec<Vec<usize>>,
    /// Every node with its depth, in the order in which a tree is printed.
    pub(super) order: Vec<(usize, usize)>,
    absent: usize,
}

pub(super) fn shape(tree: &TreeBundle) -> Result<Shape<'_>, Broken> {
    let TreeBundle { version, root, nodes, absent } = tree;
    ensure(*version == VERSION, "the tree's version is unknown")?;
    ensure(nodes.len() <= MAX_NODES, "the tree has more nodes than are read")?;
    let digests: Vec<_> = nodes.iter().map(|node| node.receipt().digest()).collect();
    ensure(digests.first() == Some(root), "the tree does not begin with its root")?;
    let others = digests.get(1..).unwrap_or_default();
    ensure(
        ascends(others) && !others.contains(root),
        "the nodes are not in order, or one is twice",
    )?;
    ensure(ascends(absent), "the absent receipts are not in order, or one is twice")?;
    let by_digest: BTreeMap<_, _> = digests.iter().copied().zip(0..).collect();
    let (children, relied) = edges(nodes, &by_digest, absent)?;
    let order = walk(top(nodes, &by_digest), &children, &relied, nodes);
    ensure(order.len() == nodes.len(), "a node hangs on nothing in the tree")?;
    Ok(Shape { nodes, by_digest, children, order, absent: absent.len() })
}

fn ascends(digests: &[B256]) -> bool {
    digests.windows(2).all(|pair| matches!(pair, [one, next] if one < next))
}

type Edges = (Vec<Vec<usize>>, Vec<Vec<usize>>);

/// From each node to those under it, and to those that it relied on.
fn edges(
    nodes: &[Node],
    by_digest: &BTreeMap<B256, usize>,
    absent: &[B256],
) -> Result<Edges, Broken> {
    let mut children = vec![Vec::new(); nodes.len()];
    let mut relied = vec![Vec::new(); nodes.len()];
    let mut missed = BTreeSet::new();
    let mut find = |digest: &B256| match by_digest.get(digest) {
        Some(at) => Ok(Some(*at)),
        None if absent.binary_search(digest).is_ok() => {
            missed.insert(*digest);
            Ok(None)
        }
        None => Err(Broken::from("a receipt that a node refers to is neither here nor absent")),
    };
    for (at, node) in nodes.iter().enumerate() {
        let parent = node.receipt().parent;
        if !parent.is_zero()
            && let Some(parent) = find(&parent)?
            && let Some(children) = children.get_mut(parent)
        {
            children.push(at);
        }
        let Node::Act(act) = node else { continue };
        for digest in act::relied_on(&act.intent)? {
            if let (Some(other), Some(relied)) = (find(&digest)?, relied.get_mut(at)) {
                relied.push(other);
            }
        }
    }
    ensure(missed.len() == absent.len(), "a receipt is named as absent that nothing refers to")?;
    Ok((children, relied))
}

/// The first of what the root was made under, as far as that is here. Receipts cannot be in
/// circles: each has its parent's hash in its own.
fn top(nodes: &[Node], by_digest: &BTreeMap<B256, usize>) -> usize {
    let above = |at: usize| by_digest.get(&nodes.get(at)?.receipt().parent).copied();
    let mut at = 0;
    while let Some(parent) = above(at) {
        at = parent;
    }
    at
}

/// From the top down.
fn walk(
    top: usize,
    children: &[Vec<usize>],
    relied: &[Vec<usize>],
    nodes: &[Node],
) -> Vec<(usize, usize)> {
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    let mut waiting = vec![(top, 0_usize)];
    while let Some((at, depth)) = waiting.pop() {
        if !seen.insert(at) {
            continue;
        }
        order.push((at, depth));
        let next = |edges: &[Vec<usize>]| edges.get(at).cloned().unwrap_or_default();
        let mut under = [next(relied), next(children)].concat();
        under.sort_by_key(|at| {
            let receipt = nodes.get(*at).map(Node::receipt);
            receipt.map(|receipt| (receipt.time, receipt.sequence, *at))
        });
        let under = under.into_iter().rev();
        waiting.extend(under.map(|other| (other, depth.saturating_add(1))));
    }
    order
}

impl<'a> Shape<'a> {
    pub(super) fn link(&self) -> Link {
        let (nodes, absent) = (self.nodes.len(), self.absent);
        let trust = match absent {
            0 => String::new(),
            _ => format!("{absent} receipts that are referred to and are not here"),
        };
        let finding = format!("{nodes} receipts hang together");
        conclude(LinkName::Tree, proven(finding, trust), &Options::default())
    }

    /// The answer of that digest.
    pub(super) fn answer(&self, digest: &B256) -> Option<&Bundle> {
        match self.nodes.get(*self.by_digest.get(digest)?)? {
            Node::Answer(bundle) => Some(bundle),
            _ => None,
        }
    }

    /// The act of that digest.
    pub(super) fn act(&self, digest: &B256) -> Option<&Act> {
        match self.nodes.get(*self.by_digest.get(digest)?)? {
            Node::Act(act) => Some(act),
            _ => None,
        }
    }

    /// The training of that digest.
    pub(super) fn training(&self, digest: &B256) -> Option<&Training> {
        match self.nodes.get(*self.by_digest.get(digest)?)? {
            Node::Training(training) => Some(training),
            _ => None,
        }
    }

    /// Whether there is a node of that digest.
    pub(super) fn has(&self, digest: &B256) -> bool {
        self.by_digest.contains_key(digest)
    }

    pub(super) fn children(&self, at: usize) -> impl Iterator<Item = &'a Node> {
        let children = self.children.get(at).map(Vec::as_slice).unwrap_or_default();
        children.iter().filter_map(|at| self.nodes.get(*at))
    }

    /// Uses of data under a node.
    pub(super) fn uses(&self, at: usize) -> Vec<&'a DataUse> {
        let used = |node: &'a Node| match node {
            Node::Use(used) => Some(used.as_ref()),
            _ => None,
        };
        self.children(at).filter_map(used).collect()
    }

    /// All that was made under a node, at any depth.
    pub(super) fn descendants(&self, at: usize) -> Vec<&Node> {
        let mut found = Vec::new();
        let mut waiting = vec![at];
        while let Some(at) = waiting.pop() {
            let children = self.children.get(at).map(Vec::as_slice).unwrap_or_default();
            waiting.extend(children);
            found.extend(children.iter().filter_map(|at| self.nodes.get(*at)));
        }
        found
    }
}
