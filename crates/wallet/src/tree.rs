//! Budgets under budgets: what sub-agents may spend. Pure: no clock, no disk.

/// A node of a [`BudgetTree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(usize);

#[derive(Debug, Clone)]
struct Entry {
    parent: Option<usize>,
    limit: u128,
    /// By the node and all under it.
    spent: u128,
}

/// A tree of limits, in atomic units of one asset. What is spent at a node counts for it and for all
/// above it. Invariant: what was spent under a node, itself included, is never above its limit.
///
/// Limits of siblings may add up to more than their parent's: it is the spending that is held.
#[derive(Debug, Clone)]
pub struct BudgetTree {
    nodes: Vec<Entry>,
}

/// Why nothing is spent or handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A limit above the parent's could never be reached.
    #[error("a budget of {limit} is above the {parent} that it is part of: lower it")]
    AboveParent {
        /// What was asked for.
        limit: u128,
        /// The parent's limit.
        parent: u128,
    },
    /// A limit on the way up does not allow it.
    #[error(
        "{asked} is asked for and {left} is left of the {limit} of a budget {levels} levels up"
    )]
    Spent {
        /// What was asked for.
        asked: u128,
        /// What is left there.
        left: u128,
        /// The limit there.
        limit: u128,
        /// How far up; 0 is the node's own.
        levels: usize,
    },
    /// More was given back than had been spent.
    #[error("{amount} is given back and {spent} was spent")]
    NotSpent {
        /// What was given back.
        amount: u128,
        /// Spent at the node and under it.
        spent: u128,
    },
    /// A node of another tree.
    #[error("the budget is not of this tree")]
    Unknown,
}

impl BudgetTree {
    /// A tree of one node.
    #[must_use]
    pub fn new(limit: u128) -> Self {
        Self { nodes: vec![Entry { parent: None, limit, spent: 0 }] }
    }

    /// The node that all others are under.
    #[must_use]
    pub fn root(&self) -> Node {
        Node(0)
    }

    /// A new node under `parent`.
    ///
    /// # Errors
    /// [`TreeError::AboveParent`], [`TreeError::Unknown`]; nothing has changed.
    pub fn hand_on(&mut self, parent: Node, limit: u128) -> Result<Node, TreeError> {
        let above = self.entry(parent)?.limit;
        if limit > above {
            return Err(TreeError::AboveParent { limit, parent: above });
        }
        self.nodes.push(Entry { parent: Some(parent.0), limit, spent: 0 });
        Ok(Node(self.nodes.len().saturating_sub(1)))
    }

    /// Spends at a node.
    ///
    /// # Errors
    /// [`TreeError::Spent`] with the first limit on the way up that does not allow it,
    /// [`TreeError::Unknown`]; nothing has changed.
    pub fn spend(&mut self, node: Node, asked: u128) -> Result<(), TreeError> {
        self.entry(node)?;
        for (levels, entry) in self.upwards(node).enumerate() {
            let left = entry.limit.saturating_sub(entry.spent);
            if asked > left {
                return Err(TreeError::Spent { asked, left, limit: entry.limit, levels });
            }
        }
        self.change(node, |spent| spent.saturating_add(asked));
        Ok(())
    }

    /// Takes back what was spent at a node and came to nothing.
    ///
    /// # Errors
    /// [`TreeError::NotSpent`], [`TreeError::Unknown`]; nothing has changed.
    pub fn give_back(&mut self, node: Node, amount: u128) -> Result<(), TreeError> {
        let spent = self.entry(node)?.spent;
        // What its children spent is theirs to give back.
        let own = self.nodes.iter().filter(|entry| entry.parent == Some(node.0));
        let own = own.fold(spent, |own, child| own.saturating_sub(child.spent));
        if amount > own {
            return Err(TreeError::NotSpent { amount, spent: own });
        }
        self.change(node, |spent| spent.saturating_sub(amount));
        Ok(())
    }

    /// Spent at a node and under it.
    #[must_use]
    pub fn spent(&self, node: Node) -> Option<u128> {
        self.nodes.get(node.0).map(|entry| entry.spent)
    }

    /// What may still be spent at a node: the least that is left on the way up.
    #[must_use]
    pub fn left(&self, node: Node) -> u128 {
        self.upwards(node).map(|entry| entry.limit.saturating_sub(entry.spent)).min().unwrap_or(0)
    }

    fn entry(&self, node: Node) -> Result<&Entry, TreeError> {
        self.nodes.get(node.0).ok_or(TreeError::Unknown)
    }

    fn upwards(&self, node: Node) -> impl Iterator<Item = &Entry> {
        let parent = |entry: &&Entry| entry.parent.and_then(|parent| self.nodes.get(parent));
        std::iter::successors(self.nodes.get(node.0), parent)
    }

    fn change(&mut self, node: Node, change: impl Fn(u128) -> u128) {
        let mut next = Some(node.0);
        while let Some(entry) = next.and_then(|index| self.nodes.get_mut(index)) {
            entry.spent = change(entry.spent);
            next = entry.parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        HandOn(usize, u128),
        Spend(usize, u128),
        GiveBack(usize, u128),
    }

    fn amount() -> impl Strategy<Value = u128> {
        prop_oneof![0..200u128, Just(u128::MAX), Just(u128::MAX - 50)]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20usize, amount()).prop_map(|(node, limit)| Step::HandOn(node, limit)),
            (0..20usize, amount()).prop_map(|(node, amount)| Step::Spend(node, amount)),
            (0..20usize, amount()).prop_map(|(node, amount)| Step::GiveBack(node, amount)),
        ]
    }

    proptest! {
        /// Over any history: under no node more than its limit, by a count of the test's own.
        #[test]
        fn the_sum_under_a_node_stays_within_its_limit(
            total in amount(),
            steps in prop::collection::vec(step(), 0..80),
        ) {
            let mut tree = BudgetTree::new(total);
            // (parent, limit, spent at the node itself)
            let mut own: Vec<(Option<usize>, u128, u128)> = vec![(None, total, 0)];
            for step in steps {
                match step {
                    Step::HandOn(node, limit) => {
                        if tree.hand_on(Node(node), limit).is_ok() {
                            own.push((Some(node), limit, 0));
                        }
                    }
                    Step::Spend(node, amount) => {
                        let left = tree.left(Node(node));
                        let done = tree.spend(Node(node), amount);
                        prop_assert_eq!(done.is_ok(), node < own.len() && amount <= left);
                        if done.is_ok() {
                            own[node].2 += amount;
                        }
                    }
                    Step::GiveBack(node, amount) => {
                        if tree.give_back(Node(node), amount).is_ok() {
                            own[node].2 -= amount;
                        }
                    }
                }
                for node in 0..own.len() {
                    let mut sum = 0_u128;
                    for (mut at, (_, _, spent)) in own.iter().copied().enumerate() {
                        while at != node && let Some(parent) = own[at].0 {
                            at = parent;
                        }
                        if at == node {
                            sum = sum.checked_add(spent).unwrap();
                        }
                    }
                    prop_assert!(sum <= own[node].1);
                    prop_assert_eq!(tree.spent(Node(node)), Some(sum));
                }
            }
        }
    }

    #[test]
    fn refusals_say_which_budget() {
        let mut tree = BudgetTree::new(100);
        let child = tree.hand_on(tree.root(), 80).unwrap();
        let grandchild = tree.hand_on(child, 80).unwrap();
        assert_eq!(tree.hand_on(child, 81), Err(TreeError::AboveParent { limit: 81, parent: 80 }));
        tree.spend(tree.root(), 50).unwrap();
        let refused = TreeError::Spent { asked: 60, left: 50, limit: 100, levels: 2 };
        assert_eq!(tree.spend(grandchild, 60), Err(refused));
        tree.spend(grandchild, 50).unwrap();
        assert_eq!(tree.left(child), 0);
        assert!(tree.give_back(tree.root(), 51).is_err());
    }
}
