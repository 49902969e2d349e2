//! The public files recomputed from the receipts, held against what is there.

use alloy_primitives::{B256, keccak256};
use vouch_core::log::note::Note;
use vouch_core::log::tile::{TILE_WIDTH, Tile};
use vouch_core::log::{Checkpoint, merkle};
use vouch_core::receipt::{ENTRY_LEN, entry_of};
use vouch_journal::Journal;

use super::audit::{Audited, Frontier, signed};
use super::{Damage, Remedy, wrong};
use crate::error::{Error, Result};
use crate::publish::CHECKPOINT;
use crate::record::{Item, items};
use crate::replay::Stored;
use crate::tiles::TileStore;

/// An entry in its tile: two bytes of length before it.
const ENTRY_BYTES: usize = ENTRY_LEN + 2;

/// Compares the tiles of the newest stored checkpoint, then the checkpoint itself.
pub(super) fn check(
    journal: &Journal,
    tiles: &dyn TileStore,
    audited: &Audited,
    rebuild: bool,
    damage: &mut Vec<Damage>,
) -> Result<()> {
    let size = audited.stored.as_ref().map_or(0, |stored| stored.size);
    let mut view = View { tiles, rebuild, damage };
    let released = match view.read(CHECKPOINT)? {
        Some(bytes) => released(&bytes, audited),
        None => Released::None,
    };
    let mut made = Made::default();
    let mut tree = Frontier::default();
    let mut then = None;
    for record in journal.iter() {
        let (position, bytes) = record?;
        for (_, item) in items(position.0, &bytes)? {
            let Item::Receipt { receipt, .. } = item else { continue };
            let digest = keccak256(receipt);
            tree.push(merkle::leaf_hash(&entry_of(&digest)));
            made.count = made.count.saturating_add(1);
            if let Released::Genuine(checkpoint) = &released
                && checkpoint.size == made.count
            {
                then = Some(tree.root());
            }
            if made.count <= size {
                made.push(&digest, &mut view)?;
            }
        }
    }
    made.finish(&mut view)?;
    view.checkpoint(audited, &released, then)
}

/// What the public checkpoint file holds.
enum Released {
    None,
    /// Signed by the provider for this log.
    Genuine(Checkpoint),
    /// Nothing that the provider has said.
    Broken,
}

fn released(bytes: &[u8], audited: &Audited) -> Released {
    let read = || {
        let text = std::str::from_utf8(bytes).ok()?;
        let note = Note::parse(text).ok()?;
        let checkpoint = Checkpoint::parse(&note.text).ok()?;
        signed(text, &checkpoint, audited.provider).ok()?;
        // It may have gained cosignatures, and has lost nothing of what was stored.
        let stored = audited.stored.as_ref().and_then(|stored| Note::parse(&stored.note).ok());
        let own = stored.filter(|stored| stored.text == note.text);
        let lines = own.map(|own| own.signatures).unwrap_or_default();
        let whole = lines.iter().all(|line| note.signatures.contains(line));
        (whole && checkpoint.origin == audited.origin).then_some(checkpoint)
    };
    read().map_or(Released::Broken, Released::Genuine)
}

struct View<'a> {
    tiles: &'a dyn TileStore,
    rebuild: bool,
    damage: &'a mut Vec<Damage>,
}

impl View<'_> {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.tiles.get(path).map_err(|e| Error::tiles("read", path, e))
    }

    /// Notes what is wrong with a file, and puts the right one in its place if that is wanted.
    fn wrong(&mut self, path: &str, problem: String, right: &[u8]) -> Result<()> {
        if self.rebuild {
            self.tiles.put(path, right).map_err(|e| Error::tiles("write", path, e))?;
        }
        let remedy = if self.rebuild { Remedy::Rebuilt } else { Remedy::Rebuild };
        self.damage.push(Damage { place: format!("log/{path}"), problem, remedy });
        Ok(())
    }

    fn tile(&mut self, tile: Tile, right: &[u8]) -> Result<()> {
        let path = tile.path();
        match self.read(&path)? {
            Some(found) if found == right => Ok(()),
            None => self.wrong(&path, "it is missing".to_owned(), right),
            Some(found) => self.wrong(&path, difference(&found, right), right),
        }
    }

    /// A partial tile: the first of `right`, `each` bytes an item. One of a smaller checkpoint may
    /// be missing: which there were, no record says.
    fn part(&mut self, tile: Tile, right: &[u8], each: usize, must: bool) -> Result<()> {
        let size = usize::from(tile.width).saturating_mul(each);
        let right = right.get(..size).unwrap_or_default();
        let there = self.tiles.size(&tile.path());
        if must || there.map_err(|e| Error::tiles("read", &tile.path(), e))?.is_some() {
            self.tile(tile, right)?;
        }
        Ok(())
    }

    fn checkpoint(
        &mut self,
        audited: &Audited,
        released: &Released,
        root_then: Option<B256>,
    ) -> Result<()> {
        let stored = audited.stored.as_ref();
        let mend = |view: &mut Self, problem: &str| match stored {
            Some(Stored { note, .. }) => {
                view.wrong(CHECKPOINT, problem.to_owned(), note.as_bytes())
            }
            None => Ok(()),
        };
        let checkpoint = match released {
            Released::None => return mend(self, "it is missing"),
            Released::Broken => return mend(self, "it is not a checkpoint signed by the provider"),
            Released::Genuine(checkpoint) => checkpoint,
        };
        let known = stored.map_or(0, |stored| stored.size);
        let root_then = if checkpoint.size == 0 { Some(merkle::empty_root()) } else { root_then };
        if checkpoint.size > audited.entries {
            self.damage.push(wrong(
                format!("log/{CHECKPOINT}"),
                Error::Behind { have: audited.entries, seen: checkpoint.size },
            ));
        } else if let Some(have) = root_then.filter(|root| *root != checkpoint.root) {
            let forked = Error::Forked { size: checkpoint.size, have, seen: checkpoint.root };
            self.damage.push(wrong(format!("log/{CHECKPOINT}"), forked));
        } else if checkpoint.size < known && self.rebuild {
            // A crash came between storing and releasing; the next start would do the same.
            let note = stored.map_or("", |stored| stored.note.as_str());
            let put = self.tiles.put(CHECKPOINT, note.as_bytes());
            put.map_err(|e| Error::tiles("write", CHECKPOINT, e))?;
        }
        Ok(())
    }
}

fn difference(found: &[u8], right: &[u8]) -> String {
    let at = found.iter().zip(right).position(|(found, right)| found != right);
    match at {
        Some(at) if found.len() == right.len() => format!("it differs from byte {at} on"),
        _ => format!("it has {} bytes, not {}", found.len(), right.len()),
    }
}

/// The tiles in the making: of each level only the last.
#[derive(Debug, Default)]
struct Made {
    count: u64,
    entries: Vec<u8>,
    /// Index of the last tile of each level, and its hashes so far.
    levels: Vec<(u64, Vec<B256>)>,
}

impl Made {
    fn push(&mut self, digest: &B256, view: &mut View<'_>) -> Result<()> {
        let entry = entry_of(digest);
        self.entries.extend_from_slice(&[0, 33]);
        self.entries.extend_from_slice(&entry);
        self.hash(0, merkle::leaf_hash(&entry), view)
    }

    fn hash(&mut self, level: usize, hash: B256, view: &mut View<'_>) -> Result<()> {
        if level == self.levels.len() {
            self.levels.push((0, Vec::new()));
        }
        let Some((_, hashes)) = self.levels.get_mut(level) else { return Ok(()) };
        hashes.push(hash);
        if crate::tree::length(hashes) < TILE_WIDTH {
            return Ok(());
        }
        let above = merkle::root(hashes);
        self.tile(level, view)?;
        if let Some((index, hashes)) = self.levels.get_mut(level) {
            *index = index.saturating_add(1);
            hashes.clear();
        }
        self.hash(level.saturating_add(1), above, view)
    }

    /// The last tile of a level, and beside level 0 that of the entries.
    fn tile(&mut self, level: usize, view: &mut View<'_>) -> Result<()> {
        let Some((index, hashes)) = self.levels.get(level) else { return Ok(()) };
        let width = u16::try_from(hashes.len()).unwrap_or(u16::MAX);
        let tile = Tile { level: u8::try_from(level).ok(), index: *index, width };
        if level == 0 {
            view.tile(Tile { level: None, ..tile }, &self.entries)?;
            self.entries.clear();
        }
        view.tile(tile, &hashes.concat())
    }

    /// The unfinished tiles, and what is left of them from smaller checkpoints.
    fn finish(&mut self, view: &mut View<'_>) -> Result<()> {
        for level in 0..self.levels.len() {
            let Some((index, hashes)) = self.levels.get(level) else { continue };
            let count = u16::try_from(hashes.len()).unwrap_or(u16::MAX);
            let hashes = hashes.concat();
            for width in 1..=count {
                let tile = Tile { level: u8::try_from(level).ok(), index: *index, width };
                let must = width == count;
                view.part(tile, &hashes, 32, must)?;
                if level == 0 {
                    view.part(Tile { level: None, ..tile }, &self.entries, ENTRY_BYTES, must)?;
                }
            }
        }
        Ok(())
    }
}
