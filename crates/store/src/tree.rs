//! The log's Merkle tree in memory (32 bytes a leaf), and the small tree of one batch.

use alloy_primitives::B256;
use vouch_core::log::merkle;
use vouch_core::log::tile::{TILE_BITS, TILE_WIDTH};

/// Leaf hashes, and above them one hash for each 256 of the level below: what tiles hold. Any
/// aligned subtree is hashed from at most 128 of these.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    levels: Vec<Vec<B256>>,
}

impl Tree {
    pub(crate) fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| length(leaves))
    }

    pub(crate) fn leaf(&self, index: u64) -> Option<B256> {
        self.levels.first()?.get(usize::try_from(index).ok()?).copied()
    }

    pub(crate) fn push(&mut self, leaf: B256) {
        let mut node = leaf;
        let mut height = 0_usize;
        loop {
            if height == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(height) else { return };
            hashes.push(node);
            match hashes.rchunks_exact(256).next() {
                Some(full) if hashes.len() % 256 == 0 => node = merkle::root(full),
                _ => return,
            }
            height = height.saturating_add(1);
        }
    }

    /// `width` hashes of the tile at `level` and `index`.
    pub(crate) fn tile(&self, level: u8, index: u64, width: u16) -> Option<&[B256]> {
        let start = usize::try_from(index.checked_mul(TILE_WIDTH)?).ok()?;
        let end = start.checked_add(usize::from(width))?;
        self.levels.get(usize::from(level))?.get(start..end)
    }

    /// The root of the first `size` leaves; `None` if there are fewer.
    pub(crate) fn root(&self, size: u64) -> Option<B256> {
        if size == 0 { Some(merkle::empty_root()) } else { self.range(0, size) }
    }

    /// RFC 6962 §2.1.1: the path of leaf `index` in the first `size`.
    pub(crate) fn inclusion(&self, index: u64, size: u64) -> Option<Vec<B256>> {
        if index >= size || size > self.size() {
            return None;
        }
        let (mut start, mut end) = (0, size);
        let mut path = Vec::new();
        while let Some(split) = split(start, end) {
            if index < split {
                path.push(self.range(split, end)?);
                end = split;
            } else {
                path.push(self.range(start, split)?);
                start = split;
            }
        }
        path.reverse();
        Some(path)
    }

    /// RFC 6962 §2.1.2: from the first `old` to the first `new` leaves.
    pub(crate) fn consistency(&self, old: u64, new: u64) -> Option<Vec<B256>> {
        if old > new || new > self.size() {
            return None;
        }
        let (mut start, mut end, mut known) = (0, new, true);
        let mut path = Vec::new();
        if old == 0 {
            return Some(path);
        }
        while old != end {
            let split = split(start, end)?;
            if old <= split {
                path.push(self.range(split, end)?);
                end = split;
            } else {
                path.push(self.range(start, split)?);
                (start, known) = (split, false);
            }
        }
        if !known {
            path.push(self.range(start, end)?);
        }
        path.reverse();
        Some(path)
    }

    /// The hash over leaves `start..end`, where `start` is a multiple of the largest power of two
    /// up to their number: every range that RFC 6962 asks for.
    fn range(&self, start: u64, end: u64) -> Option<B256> {
        let count = end.checked_sub(start).filter(|count| *count > 0)?;
        if !count.is_power_of_two() {
            let split = split(start, end)?;
            return Some(merkle::node_hash(&self.range(start, split)?, &self.range(split, end)?));
        }
        let height = count.trailing_zeros();
        let level = height.checked_div(TILE_BITS)?;
        let hashes = self.levels.get(usize::try_from(level).ok()?)?;
        let shift = level.checked_mul(TILE_BITS)?;
        let from = usize::try_from(start.checked_shr(shift)?).ok()?;
        let width = usize::try_from(count.checked_shr(shift)?).ok()?;
        Some(merkle::root(hashes.get(from..from.checked_add(width)?)?))
    }
}

/// Where RFC 6962 splits `start..end`: after the largest power of two below their number. `None`
/// if there is nothing to split.
fn split(start: u64, end: u64) -> Option<u64> {
    let count = end.checked_sub(start).filter(|count| *count > 1)?;
    start.checked_add(count.div_ceil(2).checked_next_power_of_two()?)
}

pub(crate) fn length<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

/// All levels of a batch's tree: every path costs its length, not the batch's.
#[derive(Debug)]
pub(crate) struct BatchTree {
    levels: Vec<Vec<B256>>,
}

impl BatchTree {
    pub(crate) fn new(leaves: Vec<B256>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let pair = |pair: &[B256]| match pair {
                [left, right] => merkle::node_hash(left, right),
                // An odd node rises unchanged: the same tree as RFC 6962's.
                _ => pair.first().copied().unwrap_or_default(),
            };
            levels.push(below.chunks(2).map(pair).collect());
        }
        Self { levels }
    }

    pub(crate) fn leaves(&self) -> &[B256] {
        self.levels.first().map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn root(&self) -> B256 {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_else(merkle::empty_root)
    }

    pub(crate) fn path(&self, index: usize) -> Vec<B256> {
        let mut index = index;
        let mut path = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            path.extend(level.get(index ^ 1).filter(|_| level.len() > 1));
            index /= 2;
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u64) -> Vec<B256> {
        (0..count).map(|index| merkle::leaf_hash(&index.to_be_bytes())).collect()
    }

    #[test]
    fn every_proof_is_the_one_core_makes() {
        let all = leaves(600);
        let mut tree = Tree::default();
        for (count, leaf) in (1..).zip(&all) {
            tree.push(*leaf);
            assert_eq!(tree.root(count), Some(merkle::root(tree.levels[0].as_slice())));
        }
        for size in [1, 2, 3, 7, 255, 256, 257, 300, 511, 512, 513, 600_usize] {
            let part = &all[..size];
            for index in (0..size).step_by(7).chain([size - 1]) {
                let path = tree.inclusion(index as u64, size as u64).unwrap();
                assert_eq!(path, merkle::inclusion_path(part, index), "{index} of {size}");
            }
            for old in (0..=size).step_by(5).chain([256.min(size), size]) {
                let path = tree.consistency(old as u64, size as u64).unwrap();
                assert_eq!(path, merkle::consistency_path(part, old), "{old} to {size}");
            }
        }
        assert_eq!(tree.inclusion(600, 600), None);
        assert_eq!(tree.inclusion(0, 601), None);
        assert_eq!(tree.consistency(7, 601), None);
    }

    #[test]
    fn three_levels_of_tiles() {
        let all = leaves(65_536 + 300);
        let mut tree = Tree::default();
        all.iter().for_each(|leaf| tree.push(*leaf));
        assert_eq!(tree.levels.iter().map(Vec::len).collect::<Vec<_>>(), [65_836, 257, 1]);
        let size = all.len() as u64;
        let root = tree.root(size).unwrap();
        assert_eq!(root, merkle::root(&all));
        for index in [0, 255, 65_535, 65_536, size - 1] {
            let path = tree.inclusion(index, size).unwrap();
            merkle::verify_inclusion(all[index as usize], index, size, &path, root).unwrap();
        }
        for old in [1, 256, 65_535, 65_536, 65_700] {
            let path = tree.consistency(old, size).unwrap();
            let old_root = tree.root(old).unwrap();
            merkle::verify_consistency(old, old_root, size, root, &path).unwrap();
        }
    }

    #[test]
    fn a_batch_has_rfc_6962s_root_and_paths() {
        for count in 0..70 {
            let leaves = leaves(count);
            let batch = BatchTree::new(leaves.clone());
            assert_eq!(batch.root(), merkle::root(&leaves));
            for index in 0..leaves.len() {
                assert_eq!(batch.path(index), merkle::inclusion_path(&leaves, index));
            }
        }
    }
}
