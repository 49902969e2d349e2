//! RFC 6962 Merkle trees over SHA-256: hashes, roots and proofs.
//!
//! Proofs are verified as RFC 9162 §2.1.3.2 and §2.1.4.2 say.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

use crate::Error;

/// `SHA-256(0x00 || entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> B256 {
    hash(&[&[0], entry])
}

/// `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &B256, right: &B256) -> B256 {
    hash(&[&[1], left.as_slice(), right.as_slice()])
}

fn hash(parts: &[&[u8]]) -> B256 {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    B256::from(<[u8; 32]>::from(hasher.finalize()))
}

/// The root of an empty tree: `SHA-256("")`.
#[must_use]
pub fn empty_root() -> B256 {
    hash(&[])
}

/// The root over leaf hashes.
#[must_use]
pub fn root(leaves: &[B256]) -> B256 {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split_point(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The audit path of leaf `index`, from the leaf up; empty if there is no such leaf.
#[must_use]
pub fn inclusion_path(leaves: &[B256], index: usize) -> Vec<B256> {
    if leaves.len() <= 1 || index >= leaves.len() {
        return Vec::new();
    }
    let split = split_point(leaves.len());
    let (left, right) = leaves.split_at(split);
    let (mut path, sibling) = match index.checked_sub(split) {
        None => (inclusion_path(left, index), root(right)),
        Some(index) => (inclusion_path(right, index), root(left)),
    };
    path.push(sibling);
    path
}

/// The consistency proof from the first `size` leaves to all; empty if `size` is 0 or all.
#[must_use]
pub fn consistency_path(leaves: &[B256], size: usize) -> Vec<B256> {
    if size == 0 || size >= leaves.len() { Vec::new() } else { subproof(leaves, size, true) }
}

/// RFC 6962 §2.1.2 `SUBPROOF(m, D[n], b)`.
fn subproof(leaves: &[B256], size: usize, known: bool) -> Vec<B256> {
    if size == leaves.len() {
        return if known { Vec::new() } else { vec![root(leaves)] };
    }
    let split = split_point(leaves.len());
    let (left, right) = leaves.split_at(split);
    let (mut path, sibling) = match size.checked_sub(split) {
        None | Some(0) => (subproof(left, size, known), root(right)),
        Some(size) => (subproof(right, size, false), root(left)),
    };
    path.push(sibling);
    path
}

/// The largest power of two below `count` (which is at least 2).
fn split_point(count: usize) -> usize {
    count.div_ceil(2).next_power_of_two()
}

/// Checks that `leaf` is at `index` of the tree of `size` leaves with `root`.
///
/// # Errors
/// [`Error::ProofShape`] if the path cannot belong to index and size, [`Error::Proof`] if it
/// leads to another root.
pub fn verify_inclusion(
    leaf: B256,
    index: u64,
    size: u64,
    path: &[B256],
    root: B256,
) -> Result<(), Error> {
    if index >= size {
        return Err(Error::ProofShape("the index is not below the size"));
    }
    let (mut node, mut last) = (index, size.saturating_sub(1));
    let mut found = leaf;
    for sibling in path {
        if last == 0 {
            return Err(Error::ProofShape("the path is too long"));
        }
        if node & 1 == 1 || node == last {
            found = node_hash(sibling, &found);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            found = node_hash(&found, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(Error::ProofShape("the path is too short"));
    }
    expect(found, root)
}

/// Checks that the tree of `new_size` leaves with `new_root` starts with the tree of `old_size`
/// leaves with `old_root`.
///
/// # Errors
/// [`Error::ProofShape`] if the path cannot belong to the sizes, [`Error::Proof`] if it leads to
/// another root: the log has rewritten its past.
pub fn verify_consistency(
    old_size: u64,
    old_root: B256,
    new_size: u64,
    new_root: B256,
    path: &[B256],
) -> Result<(), Error> {
    if old_size > new_size {
        return Err(Error::ProofShape("the old size is above the new one"));
    }
    if old_size == new_size || old_size == 0 {
        if !path.is_empty() {
            return Err(Error::ProofShape("the path must be empty"));
        }
        let (found, expected) =
            if old_size == 0 { (old_root, empty_root()) } else { (new_root, old_root) };
        return expect(found, expected);
    }
    // A power of two has its root as first node of the path; it is left out there.
    let known = old_size.is_power_of_two().then_some(old_root);
    let mut nodes = known.iter().chain(path);
    let first = *nodes.next().ok_or(Error::ProofShape("the path is empty"))?;
    let (mut node, mut last) = (old_size.saturating_sub(1), new_size.saturating_sub(1));
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let (mut old, mut new) = (first, first);
    for sibling in nodes {
        if last == 0 {
            return Err(Error::ProofShape("the path is too long"));
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(Error::ProofShape("the path is too short"));
    }
    expect(old, old_root)?;
    expect(new, new_root)
}

fn expect(found: B256, expected: B256) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Proof { expected, found }) }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: usize) -> Vec<B256> {
        (0..count).map(|index| leaf_hash(&index.to_be_bytes())).collect()
    }

    #[test]
    fn the_empty_tree_is_rfc_6962s() {
        let empty = b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(root(&[]), empty);
        let leaf = b256!("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(leaf_hash(&[]), leaf);
    }

    #[test]
    fn every_proof_up_to_40_leaves_holds_and_no_other() {
        for size in 1..=40usize {
            let leaves = leaves(size);
            let total = root(&leaves);
            for index in 0..size {
                let path = inclusion_path(&leaves, index);
                let check = |leaf, index| verify_inclusion(leaf, index, size as u64, &path, total);
                assert_eq!(check(leaves[index], index as u64), Ok(()));
                assert!(check(leaf_hash(b"other"), index as u64).is_err());
                assert!(check(leaves[index], size as u64).is_err());
            }
            for old in 0..=size {
                let path = consistency_path(&leaves, old);
                let old_root = root(&leaves[..old]);
                let check =
                    |old_root| verify_consistency(old as u64, old_root, size as u64, total, &path);
                assert_eq!(check(old_root), Ok(()), "{old} of {size}");
                assert!(check(leaf_hash(b"other")).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn a_changed_path_is_refused(size in 2usize..300, index: prop::sample::Index, at: prop::sample::Index, bit in 0usize..256) {
            let leaves = leaves(size);
            let index = index.index(size);
            let mut path = inclusion_path(&leaves, index);
            let at = at.index(path.len());
            path[at].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_inclusion(leaves[index], index as u64, size as u64, &path, root(&leaves)).is_err());
        }

        #[test]
        fn a_path_of_another_length_is_refused(size in 2usize..300, index: prop::sample::Index) {
            let leaves = leaves(size);
            let index = index.index(size);
            let mut path = inclusion_path(&leaves, index);
            let check = |path: &[B256]| verify_inclusion(leaves[index], index as u64, size as u64, path, root(&leaves));
            path.push(B256::ZERO);
            prop_assert!(check(&path).is_err());
            path.truncate(path.len() - 2);
            prop_assert!(check(&path).is_err());
        }
    }
}
