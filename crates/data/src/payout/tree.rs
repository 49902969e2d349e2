//! OpenZeppelin's standard Merkle tree: leaves `keccak256(keccak256(abi.encode(account, cumulative,
//! sequence)))`, sorted; nodes over sorted pairs, so that `MerkleProof.verify` checks its proofs.

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most bytes of leaves as evidence.
const MAX_EVIDENCE_BYTES: usize = 16 << 20;

/// What one account has earned in a series so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// Who is paid.
    pub account: Address,
    /// All that it has earned, in atomic units.
    #[serde(with = "crate::decimal")]
    pub cumulative: u128,
    /// The last receipt of its stream that is counted.
    pub sequence: u64,
}

impl Leaf {
    /// Its hash in the tree.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(keccak256((self.account, self.cumulative, self.sequence).abi_encode()))
    }
}

/// A tree over leaves, one for each account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// By account.
    leaves: Vec<Leaf>,
    /// The root first; the children of `i` are `2i + 1` and `2i + 2`; leaves from the end.
    nodes: Vec<B256>,
}

impl Tree {
    /// Builds the tree; the order of `leaves` does not matter.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there is no leaf, or an account has two.
    pub fn new(mut leaves: Vec<Leaf>) -> Result<Self> {
        leaves.sort_by_key(|leaf| leaf.account);
        if leaves.is_empty() || leaves.windows(2).any(|pair| pair[0].account == pair[1].account) {
            return Err(Error::malformed("payout", "it has no account, or one of them twice"));
        }
        let mut hashes: Vec<B256> = leaves.iter().map(Leaf::hash).collect();
        hashes.sort();
        let inner = hashes.len() - 1;
        let mut nodes = vec![B256::ZERO; inner];
        nodes.extend(hashes.into_iter().rev());
        for at in (0..inner).rev() {
            nodes[at] = pair(nodes[2 * at + 1], nodes[2 * at + 2]);
        }
        Ok(Self { leaves, nodes })
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.nodes[0]
    }

    /// The leaves, by account.
    #[must_use]
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The sum of all leaves.
    ///
    /// # Errors
    /// [`Error::Amount`] if it does not fit 128 bits.
    pub fn total(&self) -> Result<u128> {
        let mut amounts = self.leaves.iter().map(|leaf| leaf.cumulative);
        let sum = amounts.try_fold(0u128, u128::checked_add);
        sum.ok_or_else(|| Error::Amount("the leaves' sum does not fit 128 bits".into()))
    }

    /// An account's leaf and its proof, from the leaf up.
    #[must_use]
    pub fn proof(&self, account: Address) -> Option<(Leaf, Vec<B256>)> {
        let found = self.leaves.binary_search_by_key(&account, |leaf| leaf.account).ok()?;
        let leaf = self.leaves[found];
        let hash = leaf.hash();
        let first = self.leaves.len() - 1;
        let mut at = first + self.nodes[first..].iter().position(|node| *node == hash)?;
        let mut proof = Vec::new();
        while at > 0 {
            let sibling = if at % 2 == 1 { at + 1 } else { at - 1 };
            proof.push(self.nodes[sibling]);
            at = (at - 1) / 2;
        }
        Some((leaf, proof))
    }

    /// The leaves as a proposal's evidence on the chain: JSON, so that anyone can rebuild the tree.
    ///
    /// # Errors
    /// [`Error::Malformed`] never, for a tree that was built.
    pub fn evidence(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.leaves).map_err(|error| Error::malformed("evidence", error))
    }

    /// The tree of a stranger's evidence.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is none, [`Error::TooMuch`].
    pub fn from_evidence(evidence: &[u8]) -> Result<Self> {
        if evidence.len() > MAX_EVIDENCE_BYTES {
            return Err(Error::TooMuch { what: "the evidence", limit: MAX_EVIDENCE_BYTES as u64 });
        }
        let leaves = serde_json::from_slice(evidence);
        Self::new(leaves.map_err(|error| Error::malformed("evidence", error))?)
    }
}

/// Checks a leaf as OpenZeppelin's `MerkleProof.verify` does.
#[must_use]
pub fn verify_leaf(leaf: &Leaf, proof: &[B256], root: B256) -> bool {
    proof.iter().fold(leaf.hash(), |node, sibling| pair(node, *sibling)) == root
}

fn pair(a: B256, b: B256) -> B256 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    keccak256([low.as_slice(), high.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: u8) -> Vec<Leaf> {
        let leaf = |n| Leaf {
            account: Address::repeat_byte(n),
            cumulative: u128::from(n) * 1_000,
            sequence: u64::from(n),
        };
        (1..=count).map(leaf).collect()
    }

    proptest! {
        #[test]
        fn every_leaf_has_its_proof_and_no_other(count in 1u8..60, seed: u8) {
            let tree = Tree::new(leaves(count)).unwrap();
            let mut shuffled = leaves(count);
            shuffled.rotate_left(usize::from(seed % count));
            prop_assert_eq!(&Tree::new(shuffled).unwrap(), &tree);
            prop_assert_eq!(&Tree::from_evidence(&tree.evidence().unwrap()).unwrap(), &tree);
            for leaf in leaves(count) {
                let (found, proof) = tree.proof(leaf.account).unwrap();
                prop_assert_eq!(found, leaf);
                prop_assert!(verify_leaf(&leaf, &proof, tree.root()));
                let more = Leaf { cumulative: leaf.cumulative + 1, ..leaf };
                prop_assert!(!verify_leaf(&more, &proof, tree.root()));
            }
            prop_assert!(tree.proof(Address::ZERO).is_none());
        }
    }

    #[test]
    fn an_account_has_one_leaf() {
        assert!(Tree::new(Vec::new()).is_err());
        let twice = [leaves(2), leaves(1)].concat();
        assert!(Tree::new(twice).is_err());
        assert!(Tree::from_evidence(b"[]").is_err());
        assert!(Tree::from_evidence(b"ipfs://somewhere").is_err());
    }
}
