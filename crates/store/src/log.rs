//! The log in memory: the tree, and where receipts and promises are in the journal.

use std::collections::HashMap;

use alloy_primitives::B256;
use vouch_core::log::merkle;
use vouch_core::log::tile::TILE_WIDTH;
use vouch_core::receipt::entry_of;
use vouch_journal::Part;

use crate::error::{Error, Result};
use crate::tree::{Tree, length};

/// Everything durable in the log: 32 bytes of hash, 8 of place and some 20 of index an entry.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) tree: Tree,
    /// Where each receipt's item is.
    receipts: Vec<Part>,
    /// First index of each batch, and where its promise is.
    batches: Vec<(u64, Part)>,
    /// From the first eight bytes of a digest to the index.
    by_digest: HashMap<u64, u64>,
    /// Indexes whose first eight bytes were taken already: practically none.
    more: Vec<u64>,
    /// Digests from `recent_from` on: those whose entry tile is not full and released yet.
    recent: Vec<B256>,
    recent_from: u64,
}

impl Log {
    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    pub(crate) fn push(&mut self, digest: B256, leaf: B256, receipt: Part) {
        let index = self.size();
        self.tree.push(leaf);
        self.receipts.push(receipt);
        self.recent.push(digest);
        if *self.by_digest.entry(prefix(&digest)).or_insert(index) != index {
            self.more.push(index);
        }
    }

    pub(crate) fn push_batch(&mut self, first: u64, promise: Part) {
        self.batches.push((first, promise));
    }

    pub(crate) fn receipt(&self, index: u64) -> Option<Part> {
        self.receipts.get(usize::try_from(index).ok()?).copied()
    }

    /// The batch that holds `index`: its first index, its leaves, where its promise is.
    pub(crate) fn batch(&self, index: u64) -> Option<(u64, Vec<B256>, Part)> {
        let after = self.batches.partition_point(|(first, _)| *first <= index);
        let (first, promise) = *self.batches.get(after.checked_sub(1)?)?;
        let end = self.batches.get(after).map_or(self.size(), |(first, _)| *first);
        let leaves = (first..end).map(|index| self.tree.leaf(index)).collect::<Option<_>>()?;
        Some((first, leaves, promise))
    }

    pub(crate) fn find(&self, digest: &B256) -> Option<u64> {
        let leaf = merkle::leaf_hash(&entry_of(digest));
        let first = self.by_digest.get(&prefix(digest)).copied();
        first
            .into_iter()
            .chain(self.more.iter().copied())
            .find(|index| self.tree.leaf(*index) == Some(leaf))
    }

    pub(crate) fn recent_digest(&self, index: u64) -> Option<B256> {
        self.recent.get(usize::try_from(index.checked_sub(self.recent_from)?).ok()?).copied()
    }

    /// Forgets the digests whose entry tile is full at a released size.
    pub(crate) fn released(&mut self, size: u64) {
        let from = size.saturating_sub(size % TILE_WIDTH);
        let gone = from.saturating_sub(self.recent_from).min(length(&self.recent));
        self.recent.drain(..usize::try_from(gone).unwrap_or(usize::MAX));
        self.recent_from = self.recent_from.saturating_add(gone);
    }

    pub(crate) fn root(&self, size: u64) -> Result<B256> {
        self.tree.root(size).ok_or(Error::Range { asked: size, size: self.size() })
    }

    /// Refuses if this log does not begin with the `size` entries that have this root.
    pub(crate) fn check_extends(&self, size: u64, root: B256) -> Result<()> {
        if size > self.size() {
            return Err(Error::Behind { have: self.size(), seen: size });
        }
        let have = self.root(size)?;
        if have == root { Ok(()) } else { Err(Error::Forked { size, have, seen: root }) }
    }
}

fn prefix(digest: &B256) -> u64 {
    digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
