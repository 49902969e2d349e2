//! A provider's log and promises, as anyone sees them.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use vouch_core::promise::SignedPromise;
use vouch_store::Store;

use super::{
    Invariant, Judged, ensure,
    primitives::{self, PromiseFields, Signed},
};
use crate::parties::{Provider, parties};

/// Hashes in a full tile.
const TILE: u64 = 256;
/// By how much a provider's clock may be off, in seconds.
const SKEW_S: u64 = 60;

/// A receipt with its promise, as its payer holds it.
#[derive(Debug, Clone, Copy)]
struct Held {
    digest: B256,
    promise: B256,
    merge_by: u64,
}

/// What is known of one log.
#[derive(Debug)]
pub(crate) struct LogBook {
    provider: &'static Provider,
    note: String,
    last: Signed,
    /// Digests of the entries that the last checkpoint covers.
    entries: Vec<B256>,
    leaves: Vec<B256>,
    held: BTreeMap<u64, Held>,
    /// Promises whose signature was checked.
    promises: BTreeMap<B256, PromiseFields>,
}

impl LogBook {
    pub(crate) fn new(gateway: usize) -> Self {
        Self {
            provider: &parties().providers[gateway],
            note: String::new(),
            last: Signed { size: 0, root: primitives::tree(&[]) },
            entries: Vec::new(),
            leaves: Vec::new(),
            held: BTreeMap::new(),
            promises: BTreeMap::new(),
        }
    }

    /// A receipt is acknowledged with a promise.
    pub(crate) fn promised(
        &mut self,
        domain: B256,
        digest: B256,
        promised: &SignedPromise,
    ) -> Judged {
        let said = &promised.promise;
        let fields = PromiseFields {
            root: said.root,
            first: said.first,
            count: said.count,
            not_before: said.not_before,
            merge_by: said.merge_by,
        };
        let promise = primitives::promise(domain, &fields);
        if !self.promises.contains_key(&promise) {
            let signer = primitives::signer(promise, &promised.signature.0);
            let right = signer == Some(self.provider.party.address);
            ensure(right, Invariant::ProofsHold, || "a promise is another's".into())?;
            self.promises.insert(promise, fields);
        }
        let index = promised.index;
        let place = index.wrapping_sub(said.first);
        let root = primitives::climb(leaf(digest), place, said.count.into(), &promised.path);
        ensure(root == Some(said.root), Invariant::ProofsHold, || {
            format!("the promise of index {index} does not lead to its receipt")
        })?;
        let held = Held { digest, promise, merge_by: said.merge_by };
        let known = *self.held.entry(index).or_insert(held);
        ensure(known.digest == digest, Invariant::OneHistory, || {
            format!("index {index} of {} is promised to two receipts", self.provider.origin)
        })?;
        ensure(known.promise == promise, Invariant::AcknowledgedIsKept, || {
            format!("the receipt at {index} comes back with another promise")
        })?;
        self.logged(index, digest)
    }

    /// Whether the log holds what it should, where a checkpoint covers it.
    fn logged(&self, index: u64, digest: B256) -> Judged {
        let entry = usize::try_from(index).ok().and_then(|index| self.entries.get(index));
        ensure(entry.is_none_or(|entry| *entry == digest), Invariant::AcknowledgedIsKept, || {
            format!("index {index} of {} holds another receipt", self.provider.origin)
        })
    }

    /// Judges the newest checkpoint, which was begun at `begun_s`, and what it covers; true if it is
    /// a new one.
    pub(crate) fn read(
        &mut self,
        store: &dyn Store,
        begun_s: u64,
    ) -> Result<bool, super::Violation> {
        let Some(note) = file(store, "checkpoint") else { return Ok(false) };
        let note = String::from_utf8_lossy(&note).into_owned();
        if note == self.note {
            return Ok(false);
        }
        let (origin, address) = (&self.provider.origin, self.provider.party.address);
        let key = self.provider.log.verifying_key();
        let signed = primitives::read_note(&note, origin, &key, address);
        ensure(signed.is_some(), Invariant::ProofsHold, || {
            format!("the checkpoint of {origin} is not signed by both its keys")
        })?;
        let Some(signed) = signed else { return Ok(false) };
        ensure(signed.size >= self.last.size, Invariant::OneHistory, || {
            format!("{origin} shrank from {} to {}", self.last.size, signed.size)
        })?;
        let same = signed.size > self.last.size || signed.root == self.last.root;
        ensure(same, Invariant::OneHistory, || {
            format!("{origin} has two roots at {}", signed.size)
        })?;
        self.take_entries(store, signed.size)?;
        ensure(primitives::tree(&self.leaves) == signed.root, Invariant::OneHistory, || {
            format!("the entries of {origin} at {} do not lead to its root", signed.size)
        })?;
        for (index, held) in self.held.range(self.last.size..signed.size) {
            self.logged(*index, held.digest)?;
        }
        for (index, held) in self.held.range(signed.size..) {
            ensure(held.merge_by + SKEW_S >= begun_s, Invariant::MergedInTime, || {
                format!(
                    "index {index} was to be merged by {}, the checkpoint is of {begun_s}",
                    held.merge_by
                )
            })?;
        }
        (self.last, self.note) = (signed, note);
        Ok(true)
    }

    /// Reads the entries behind those that are known, and the hashes of the last tile.
    fn take_entries(&mut self, store: &dyn Store, size: u64) -> Judged {
        let missing = |what: &str| {
            let what = format!("{what} of {} at {size} is missing or short", self.provider.origin);
            Err(super::Violation { invariant: Invariant::OneHistory, what })
        };
        let first = self.entries.len() as u64 / TILE;
        for tile in first..size.div_ceil(TILE) {
            let width = (size - tile * TILE).min(TILE);
            let Some(bytes) = file(store, &path("entries", tile, width)) else {
                return missing("a tile of entries");
            };
            let Some(hashes) = file(store, &path("0", tile, width)) else {
                return missing("a tile of hashes");
            };
            if bytes.len() as u64 != width * 35 || hashes.len() as u64 != width * 32 {
                return missing("a tile");
            }
            for (place, entry) in bytes.chunks_exact(35).enumerate() {
                let index = (tile * TILE) as usize + place;
                let digest = B256::from_slice(&entry[3..]);
                let leaf = primitives::leaf(&entry[2..]);
                let whole = entry[..3] == [0, 33, 1] && hashes[place * 32..][..32] == leaf[..];
                let same = self.entries.get(index).is_none_or(|known| *known == digest);
                if !whole || !same {
                    return missing("the same entry");
                }
                if index == self.entries.len() {
                    self.entries.push(digest);
                    self.leaves.push(leaf);
                }
            }
        }
        Ok(())
    }

    /// A receipt that the provider shows has its place in the log.
    pub(crate) fn holds(&self, index: u64, digest: B256) -> Judged {
        let entry = self.entries.get(index as usize);
        ensure(entry == Some(&digest), Invariant::AcknowledgedIsKept, || {
            format!("{} does not hold at {index} what its provider shows", self.provider.origin)
        })
    }

    /// At the end, when a checkpoint covers everything: all that was promised is there.
    pub(crate) fn all_kept(&self, store: &dyn Store) -> Judged {
        ensure(store.size() == self.last.size, Invariant::MergedInTime, || {
            format!("{} is not published to its end", self.provider.origin)
        })?;
        self.held.iter().try_for_each(|(index, held)| self.holds(*index, held.digest))
    }
}

/// The leaf of a receipt: `0x01 || digest`.
fn leaf(digest: B256) -> B256 {
    primitives::leaf(&[&[1], digest.as_slice()].concat())
}

/// A tile's path (C2SP tlog-tiles), for the first 256,000 entries.
fn path(level: &str, tile: u64, width: u64) -> String {
    if width == TILE {
        format!("tile/{level}/{tile:03}")
    } else {
        format!("tile/{level}/{tile:03}.p/{width}")
    }
}

/// A file by the log's public route.
fn file(store: &dyn Store, path: &str) -> Option<Vec<u8>> {
    store.log_file(path).ok().flatten()
}
