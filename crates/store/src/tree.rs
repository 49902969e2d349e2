//! The log's Merkle tree, and the small tree of one batch.

use std::borrow::Cow;

use alloy_primitives::B256;
use vouch_core::log::merkle;
use vouch_core::log::tile::{TILE_BITS, TILE_WIDTH};

use crate::error::{Error, Result};
use crate::index::{Row, Rows};

/// Leaf hashes, and above them one hash for each 256 of the level below: what tiles hold. Any
/// aligned subtree is hashed from at most 128 of these. Older leaves are read from their rows; the
/// rest, an eighth of a byte an entry, is in memory, so that the newest root needs no disk.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    levels: Vec<Vec<B256>>,
    /// The first leaf in memory, a multiple of 256.
    from: u64,
    older: Rows,
}

impl Tree {
    /// The tree over these nodes of 256 leaves each, which are in `older`.
    pub(crate) fn over(nodes: &[B256], older: Rows) -> Self {
        let from = length(nodes).saturating_mul(TILE_WIDTH);
        let mut tree = Self { levels: vec![Vec::new()], from, older };
        nodes.iter().for_each(|node| tree.raise(1, *node));
        tree
    }

    pub(crate) fn size(&self) -> u64 {
        self.from.saturating_add(self.levels.first().map_or(0, |leaves| length(leaves)))
    }

    pub(crate) fn push(&mut self, leaf: B256) {
        self.raise(0, leaf);
    }

    fn raise(&mut self, height: usize, node: B256) {
        let (mut node, mut height) = (node, height);
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

    /// Forgets all whole tiles of leaves among the first `size`: they are in `older` now.
    pub(crate) fn forget(&mut self, size: u64, older: Rows) {
        let from = size.saturating_sub(size % TILE_WIDTH);
        if let Some(leaves) = self.levels.first_mut() {
            let gone = usize::try_from(from.saturating_sub(self.from)).unwrap_or(usize::MAX);
            *leaves = leaves.get(gone..).unwrap_or_default().to_vec();
        }
        (self.from, self.older) = (from, older);
    }

    /// Hashes over 256 leaves each, from the `first`th on.
    pub(crate) fn nodes(&self, first: u64) -> &[B256] {
        let nodes = self.levels.get(1).map(Vec::as_slice).unwrap_or_default();
        nodes.get(usize::try_from(first).unwrap_or(usize::MAX)..).unwrap_or_default()
    }

    /// `width` hashes of the tile at `level` and `index`.
    pub(crate) fn tile(&self, level: u8, index: u64, width: u16) -> Result<Cow<'_, [B256]>> {
        self.hashes(level.into(), index.saturating_mul(TILE_WIDTH), width.into())
    }

    /// `count` leaf hashes from `first` on.
    #[cfg(feature = "postgres")]
    pub(crate) fn leaves(&self, first: u64, count: u64) -> Result<Vec<B256>> {
        self.hashes(0, first, count).map(Cow::into_owned)
    }

    fn hashes(&self, level: usize, first: u64, count: u64) -> Result<Cow<'_, [B256]>> {
        let from = if level == 0 { self.from } else { 0 };
        let range = || Error::Range { asked: first, size: self.size() };
        let slice = |first: u64, count: u64| {
            let start = usize::try_from(first.checked_sub(from)?).ok()?;
            let end = start.checked_add(usize::try_from(count).ok()?)?;
            self.levels.get(level)?.get(start..end)
        };
        if first >= from {
            return slice(first, count).map(Cow::Borrowed).ok_or_else(range);
        }
        let old = count.min(from.saturating_sub(first));
        let rows = self.older.read(first, old).map_err(Error::Index)?;
        let mut leaves: Vec<B256> = rows.iter().map(Row::leaf).collect();
        leaves.extend_from_slice(slice(from, count.saturating_sub(old)).ok_or_else(range)?);
        Ok(Cow::Owned(leaves))
    }

    /// The root of the first `size` leaves.
    pub(crate) fn root(&self, size: u64) -> Result<B256> {
        if size > self.size() {
            return Err(Error::Range { asked: size, size: self.size() });
        }
        if size == 0 { Ok(merkle::empty_root()) } else { self.range(0, size) }
    }

    /// RFC 6962 §2.1.1: the path of leaf `index` in the first `size`.
    pub(crate) fn inclusion(&self, index: u64, size: u64) -> Result<Vec<B256>> {
        if index >= size || size > self.size() {
            let asked = if size > self.size() { size } else { index };
            return Err(Error::Range { asked, size: self.size().min(size) });
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
        Ok(path)
    }

    /// RFC 6962 §2.1.2: from the first `old` to the first `new` leaves.
    pub(crate) fn consistency(&self, old: u64, new: u64) -> Result<Vec<B256>> {
        if old > new || new > self.size() {
            let asked = if new > self.size() { new } else { old };
            return Err(Error::Range { asked, size: self.size().min(new) });
        }
        let (mut start, mut end, mut known) = (0, new, true);
        let mut path = Vec::new();
        if old == 0 {
            return Ok(path);
        }
        while old != end {
            let Some(split) = split(start, end) else { break };
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
        Ok(path)
    }

    /// The hash over leaves `start..end`, where `start` is a multiple of the largest power of two
    /// up to their number: every range that RFC 6962 asks for.
    fn range(&self, start: u64, end: u64) -> Result<B256> {
        let count = end.saturating_sub(start);
        if let Some(split) = split(start, end).filter(|_| !count.is_power_of_two()) {
            return Ok(merkle::node_hash(&self.range(start, split)?, &self.range(split, end)?));
        }
        let level = count.trailing_zeros().checked_div(TILE_BITS).unwrap_or(0);
        let shift = level.saturating_mul(TILE_BITS);
        let shifted = |leaves: u64| leaves.checked_shr(shift).unwrap_or(0);
        let place = usize::try_from(level).unwrap_or(usize::MAX);
        Ok(merkle::root(&self.hashes(place, shifted(start), shifted(count))?))
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
            assert_eq!(tree.root(count).unwrap(), merkle::root(&all[..count as usize]));
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
        assert!(matches!(tree.inclusion(600, 600), Err(Error::Range { asked: 600, size: 600 })));
        assert!(matches!(tree.inclusion(0, 601), Err(Error::Range { asked: 601, size: 600 })));
        assert!(matches!(tree.consistency(7, 601), Err(Error::Range { asked: 601, .. })));
        assert!(matches!(tree.root(601), Err(Error::Range { asked: 601, size: 600 })));
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
