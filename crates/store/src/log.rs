//! The log: what is newest in memory, the rest in the index.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_primitives::B256;
use vouch_core::log::tile::TILE_WIDTH;
use vouch_journal::Part;

use crate::error::{Error, Result};
use crate::index::{Index, Row, damaged, prefix};
use crate::tree::{Tree, length};

/// Everything durable in the log. Some 150 bytes an entry that is not indexed yet, an eighth of one
/// for each that is.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) tree: Tree,
    /// Entries from `from` on: those that are not indexed, and the others of their tile.
    tail: Vec<Row>,
    from: u64,
    /// From the first eight bytes of a digest to the entry, of the tail.
    by_digest: HashMap<u64, u64>,
    /// Entries whose first eight bytes were taken already: practically none.
    more: Vec<u64>,
    index: Arc<Index>,
}

impl Log {
    /// The log as far as it is indexed, with this root.
    pub(crate) fn open(index: Arc<Index>, root: B256) -> Result<Self> {
        let size = index.size();
        let nodes = index.nodes()?;
        let from = size.saturating_sub(size % TILE_WIDTH);
        let tail = index.rows(from, size.saturating_sub(from))?;
        let mut tree = Tree::over(&nodes, index.old_rows());
        tail.iter().for_each(|row| tree.push(row.leaf()));
        if tree.root(size)? != root {
            return Err(damaged("nodes", "they have not the root of the snapshot"));
        }
        Ok(Self { tree, tail, from, by_digest: HashMap::new(), more: Vec::new(), index })
    }

    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    pub(crate) fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index)
    }

    /// Adds an entry, whose commit's promise is told by [`Self::promised`].
    pub(crate) fn push(&mut self, digest: B256, leaf: B256, receipt: Part) {
        let place = self.size();
        self.tree.push(leaf);
        self.tail.push(Row { digest, receipt, first: place, promise: Part(0), children: 0 });
        if *self.by_digest.entry(prefix(&digest)).or_insert(place) != place {
            self.more.push(place);
        }
    }

    /// Notes the commit of the entries from `first` on.
    pub(crate) fn promised(&mut self, first: u64, promise: Part) {
        for row in self.tail_from(first) {
            (row.first, row.promise) = (first, promise);
        }
    }

    /// Notes that one more of the entries that follow this one is a use of data in it.
    pub(crate) fn has_child(&mut self, parent: u64) {
        if let Some(row) = self.tail_from(parent).first_mut() {
            row.children = row.children.saturating_add(1);
        }
    }

    fn tail_from(&mut self, first: u64) -> &mut [Row] {
        let start = usize::try_from(first.saturating_sub(self.from)).unwrap_or(usize::MAX);
        self.tail.get_mut(start..).unwrap_or_default()
    }

    /// One entry; `None` if there is none.
    pub(crate) fn row(&self, place: u64) -> Result<Option<Row>> {
        if place >= self.size() {
            return Ok(None);
        }
        Ok(self.rows(place, 1)?.first().copied())
    }

    /// Entries from `first` on, as many as asked for.
    pub(crate) fn rows(&self, first: u64, count: u64) -> Result<Vec<Row>> {
        let end = first.checked_add(count).filter(|end| *end <= self.size());
        let end = end.ok_or(Error::Range { asked: first, size: self.size() })?;
        let old = self.from.saturating_sub(first).min(count);
        let mut rows = if old > 0 { self.index.rows(first, old)? } else { Vec::new() };
        let slot = |place: u64| usize::try_from(place.saturating_sub(self.from));
        let (start, end) = (slot(first).unwrap_or(usize::MAX), slot(end).unwrap_or(usize::MAX));
        rows.extend_from_slice(self.tail.get(start..end).unwrap_or_default());
        Ok(rows)
    }

    /// The entry of the tail that has this digest.
    pub(crate) fn find_new(&self, digest: &B256) -> Option<u64> {
        let first = self.by_digest.get(&prefix(digest)).copied();
        first.into_iter().chain(self.more.iter().copied()).find(|place| {
            let slot = place.checked_sub(self.from).and_then(|slot| usize::try_from(slot).ok());
            slot.and_then(|slot| self.tail.get(slot)).is_some_and(|row| row.digest == *digest)
        })
    }

    /// What is not indexed yet: entries, and hashes over 256 of them.
    pub(crate) fn new_rows(&self) -> (Vec<Row>, Vec<B256>) {
        let indexed = self.index.size();
        let slot = usize::try_from(indexed.saturating_sub(self.from)).unwrap_or(usize::MAX);
        let rows = self.tail.get(slot..).unwrap_or_default().to_vec();
        (rows, self.tree.nodes(indexed / TILE_WIDTH).to_vec())
    }

    /// Goes on with an index that has more of this log.
    pub(crate) fn indexed(&mut self, index: Arc<Index>) {
        let size = index.size();
        let from = size.saturating_sub(size % TILE_WIDTH);
        let gone = usize::try_from(from.saturating_sub(self.from)).unwrap_or(usize::MAX);
        self.tail = self.tail.get(gone..).unwrap_or_default().to_vec();
        self.from = from;
        self.tree.forget(size, index.old_rows());
        self.index = index;
        (self.by_digest, self.more) = (HashMap::new(), Vec::new());
        for (place, row) in (from..).zip(&self.tail) {
            if *self.by_digest.entry(prefix(&row.digest)).or_insert(place) != place {
                self.more.push(place);
            }
        }
    }

    pub(crate) fn root(&self, size: u64) -> Result<B256> {
        self.tree.root(size)
    }

    /// Refuses if this log does not begin with the `size` entries that have this root.
    pub(crate) fn check_extends(&self, size: u64, root: B256) -> Result<()> {
        if size > self.size() {
            return Err(Error::Behind { have: self.size(), seen: size });
        }
        let have = self.root(size)?;
        if have == root { Ok(()) } else { Err(Error::Forked { size, have, seen: root }) }
    }

    /// Entries that are in memory.
    pub(crate) fn kept(&self) -> u64 {
        length(&self.tail)
    }
}
