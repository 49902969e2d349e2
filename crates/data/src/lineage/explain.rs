//! Every split, computed again from the graph and from what came in.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use serde::Serialize;

use super::{Graph, Kind, Movement, graph::BPS};
use crate::{Error, Result};

/// One edge's books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeBooks {
    /// Who is owed.
    pub parent: B256,
    /// In hundredths of a percent.
    pub share_bps: u16,
    /// What was moved so far.
    pub moved: U256,
    /// What `pull` would move now.
    pub owed: U256,
}

/// One node's books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeBooks {
    /// The node.
    pub node: B256,
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub owner: Address,
    /// What came in at its own receiver, net of the fee.
    pub earned: U256,
    /// The protocol's fee on that.
    pub fee: U256,
    /// All that it received so far, its children's shares with it.
    pub received: U256,
    /// What its owner has taken.
    pub withdrawn: U256,
    /// What `withdraw` would pay now.
    pub withdrawable: U256,
    /// What its owner has a right to in all, once everything owed was moved.
    pub entitled: U256,
    /// What it owes.
    pub parents: Vec<EdgeBooks>,
}

/// Everybody's books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Royalties {
    /// In the order of registration.
    pub nodes: Vec<NodeBooks>,
}

#[derive(Default)]
struct Sums {
    earned: BTreeMap<B256, U256>,
    fee: BTreeMap<B256, U256>,
    received: BTreeMap<B256, U256>,
    withdrawn: BTreeMap<B256, U256>,
    moved: BTreeMap<(B256, B256), U256>,
}

/// Recomputes the vault's books from its movements, checking that none moved more than its rule
/// allows.
///
/// # Errors
/// [`Error::Amount`] if a movement contradicts the graph: the contract would not have made it.
pub fn explain(graph: &Graph, movements: &[Movement]) -> Result<Royalties> {
    let mut sums = Sums::default();
    for movement in movements {
        sums.apply(graph, *movement)?;
    }
    let full = entitlements(graph, &sums.earned);
    let books = |id: &B256| {
        let node = graph.get(*id)?;
        let of = |map: &BTreeMap<B256, U256>| map.get(id).copied().unwrap_or_default();
        let received = of(&sums.received);
        let edge = |(parent, share): &(B256, u16)| {
            let moved = sums.moved.get(&(*id, *parent)).copied().unwrap_or_default();
            let owed = part(received, *share) - moved;
            EdgeBooks { parent: *parent, share_bps: *share, moved, owed }
        };
        let own = |received: U256| received - part(received, node.passed_bps());
        Some(NodeBooks {
            node: *id,
            kind: node.kind,
            owner: node.owner,
            earned: of(&sums.earned),
            fee: of(&sums.fee),
            received,
            withdrawn: of(&sums.withdrawn),
            withdrawable: own(received) - of(&sums.withdrawn),
            entitled: own(of(&full)),
            parents: node.parents.iter().map(edge).collect(),
        })
    };
    Ok(Royalties { nodes: graph.order().iter().filter_map(books).collect() })
}

impl Sums {
    fn apply(&mut self, graph: &Graph, movement: Movement) -> Result<()> {
        let wrong = |node: B256, why: &str| {
            Error::Amount(format!("the vault's movement at node {node} {why}"))
        };
        match movement {
            Movement::Swept { node, amount, fee } => {
                let net = amount.checked_sub(fee);
                let net = net.ok_or_else(|| wrong(node, "kept more than came in"))?;
                *self.earned.entry(node).or_default() += net;
                *self.fee.entry(node).or_default() += fee;
                *self.received.entry(node).or_default() += net;
            }
            Movement::Pulled { child, parent, amount } => {
                let node = graph.get(child).ok_or_else(|| wrong(child, "is of no known node"))?;
                let edge = node.parents.iter().find(|(known, _)| *known == parent);
                let (_, share) = edge.ok_or_else(|| wrong(child, "is along no known edge"))?;
                let received = self.received.get(&child).copied().unwrap_or_default();
                let moved = self.moved.entry((child, parent)).or_default();
                *moved += amount;
                // `pull` moves all that is due, never more and never less.
                if *moved != part(received, *share) {
                    return Err(wrong(child, "is not its share"));
                }
                *self.received.entry(parent).or_default() += amount;
            }
            Movement::Withdrawn { node, amount } => {
                let known = graph.get(node).ok_or_else(|| wrong(node, "is of no known node"))?;
                let received = self.received.get(&node).copied().unwrap_or_default();
                let withdrawn = self.withdrawn.entry(node).or_default();
                *withdrawn += amount;
                if *withdrawn != received - part(received, known.passed_bps()) {
                    return Err(wrong(node, "is not the owner's part"));
                }
            }
        }
        Ok(())
    }
}

/// What every node will have received once all that is owed was moved: children before parents.
fn entitlements(graph: &Graph, earned: &BTreeMap<B256, U256>) -> BTreeMap<B256, U256> {
    let mut full = earned.clone();
    for id in graph.order().iter().rev() {
        let received = full.get(id).copied().unwrap_or_default();
        for (parent, share) in graph.get(*id).into_iter().flat_map(|node| &node.parents) {
            *full.entry(*parent).or_default() += part(received, *share);
        }
    }
    full
}

/// Rounded down, as the contract does.
fn part(amount: U256, share_bps: u16) -> U256 {
    amount * U256::from(share_bps) / U256::from(BPS)
}
