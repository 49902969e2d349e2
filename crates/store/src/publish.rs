//! The thread that sequences checkpoints: tiles first, then a durable compare-and-swap, then the
//! checkpoint is released.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use alloy_primitives::B256;
use vouch_core::log::Checkpoint;
use vouch_core::log::note::{MAX_SIGNATURES, Note, NoteSignature};
use vouch_core::log::tile::{TILE_WIDTH, Tile};
use vouch_core::planted::{Bug, planted};
use vouch_core::receipt::{ENTRY_LEN, entry_of};
use vouch_journal::Position;

use crate::api::Published;
use crate::batch::Operation;
use crate::embedded::{Queue, Shared};
use crate::error::{Error, Result};
use crate::index::{Index, Snapshot};
use crate::pending::{Pending, Reply, answer_to};
use crate::replay::{Replay, Stored};
use crate::tiles::TileStore;

/// Tiles that are written at the same time.
const PUTS_AT_ONCE: usize = 8;
/// Calls whose memory is given back under one lock.
const FORGET_AT_ONCE: usize = 1024;
/// Where the newest checkpoint is.
pub(crate) const CHECKPOINT: &str = "checkpoint";

#[derive(Debug)]
pub(crate) enum Request {
    Publish(Reply<Published>),
    Cosign { text: String, line: NoteSignature, reply: Reply<Published> },
}

/// A checkpoint that is on its way into the journal.
#[derive(Debug)]
pub(crate) struct Sequenced {
    published: Published,
    stored: Pending<()>,
}

impl Sequenced {
    /// Waits until it is durable.
    pub(crate) fn wait(self) -> Result<Published> {
        self.stored.wait().map(|()| self.published)
    }
}

#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) requests: Receiver<Request>,
    pub(crate) queue: Queue,
    /// The newest stored checkpoint. It is ahead of the released one where writing that out has
    /// failed; the next call tries again.
    pub(crate) stored: Option<Published>,
}

impl Publisher {
    pub(crate) fn run(mut self) {
        while let Ok(request) = self.requests.recv() {
            match request {
                Request::Publish(reply) => {
                    let published = self.publish();
                    self.index_if_due();
                    answer_to(reply, published);
                }
                Request::Cosign { text, line, reply } => answer_to(reply, self.cosign(&text, line)),
            }
        }
    }

    /// Moves what is durable from memory to the index, if it is much. The next call tries again
    /// what has failed: nothing but memory depends on it.
    fn index_if_due(&self) {
        let shared = &self.shared;
        let entries = {
            let log = shared.log.read();
            log.size().saturating_sub(log.index().size())
        };
        let indexed = *shared.indexed.lock();
        let applied = Position(shared.applied.load(Ordering::Acquire));
        if indexed.is_due(&shared.config, entries, applied)
            && let Err(error) = self.index()
        {
            tracing::error!(%error, "the log's index is not brought up to date");
        }
    }

    /// Moves what is durable from memory to the index.
    pub(crate) fn index(&self) -> Result<()> {
        let shared = &self.shared;
        let applied = Position(shared.applied.load(Ordering::Acquire));
        let mut replay = match Snapshot::read(&shared.disk)? {
            Some(snapshot) => {
                // Its filters are in memory already, unless a step before this one has failed
                // between its snapshot and its end.
                let known = shared.log.read().index();
                let index = match known.size() == snapshot.size {
                    true => known,
                    false => Arc::new(Index::open(Arc::clone(&shared.disk), &snapshot)?),
                };
                Replay::after(index, &snapshot, &shared.config)?
            }
            None => Replay::new(Arc::clone(&shared.disk), &shared.config)?,
        };
        replay.read(&shared.reader, applied, &shared.disk, shared.journal)?;
        replay.index(&shared.disk, shared.journal)?;
        let index = replay.log().index();
        let size = index.size();
        // In the log before the state lets go of it: nothing is ever in neither.
        shared.log.write().indexed(index);
        *shared.indexed.lock() = replay.indexed();
        while !shared.state.lock().forget(size, FORGET_AT_ONCE) {}
        Ok(())
    }

    fn publish(&mut self) -> Result<Published> {
        if let Some(sequenced) = self.sequence()? {
            self.stored = Some(sequenced.wait()?);
        }
        self.release()
    }

    /// Writes the tiles of what is new, signs a checkpoint of it and sends that to be stored; `None`
    /// if nothing is new.
    pub(crate) fn sequence(&mut self) -> Result<Option<Sequenced>> {
        if let Some(cause) = self.shared.stopped.get() {
            return Err(Error::stopped(cause));
        }
        let size = self.shared.log.read().size();
        match &self.stored {
            Some(stored) if stored.checkpoint.size >= size => Ok(None),
            _ => self.sign(size).map(Some),
        }
    }

    /// Releases the newest stored checkpoint.
    pub(crate) fn release(&self) -> Result<Published> {
        let released = self.shared.published.read().clone();
        match (released, &self.stored) {
            // The released one may have cosignatures by now.
            (Some(released), Some(stored))
                if released.checkpoint.size == stored.checkpoint.size =>
            {
                Ok(released)
            }
            (_, Some(stored)) => {
                self.shared.release(stored.clone())?;
                Ok(stored.clone())
            }
            (_, None) => Err(Error::Range { asked: 0, size: 0 }),
        }
    }

    fn sign(&self, size: u64) -> Result<Sequenced> {
        let previous = self.stored.as_ref().map_or(0, |stored| stored.checkpoint.size);
        let new = Tile::of_size(size).filter(|tile| reaches_beyond(tile, previous));
        self.shared.put_tiles(&new.collect::<Vec<_>>())?;
        let root = self.shared.log.read().root(size)?;
        let checkpoint = Checkpoint { origin: self.shared.config.origin.clone(), size, root };
        let signatures = (self.shared.config.sign_checkpoint)(&checkpoint)
            .map_err(|why| Error::Signer { what: "checkpoint", why })?;
        let note = Note { text: checkpoint.text(), signatures }.to_string();
        // Durable by compare-and-swap before anyone sees it.
        let (reply, stored) = Pending::new();
        let stored_note = note.clone();
        self.queue.send(Operation::Checkpoint { previous, size, root, note: stored_note, reply });
        Ok(Sequenced { published: Published { checkpoint, note }, stored })
    }

    pub(crate) fn cosign(&self, text: &str, line: NoteSignature) -> Result<Published> {
        let current = self.shared.published.read().clone();
        let mut published = current.ok_or(Error::Cosignature("there is no checkpoint yet"))?;
        published.note = cosigned(&published.note, text, line)?;
        self.shared.release(published.clone())?;
        Ok(published)
    }
}

/// The note with a witness's line, which replaces an older one of the same key.
pub(crate) fn cosigned(note: &str, text: &str, line: NoteSignature) -> Result<String> {
    let mut note = parse(note)?;
    if note.text != text {
        return Err(Error::Cosignature("it is for a checkpoint that is not the current one"));
    }
    note.signatures.retain(|known| (&known.name, known.id) != (&line.name, line.id));
    if note.signatures.len() >= MAX_SIGNATURES {
        return Err(Error::Cosignature("the checkpoint has 32 signatures already"));
    }
    note.signatures.push(line);
    Ok(note.to_string())
}

/// Whether the tile has more hashes than it had, or is new, since the log had `previous` entries.
pub(crate) fn reaches_beyond(tile: &Tile, previous: u64) -> bool {
    let shift = u32::from(tile.level.unwrap_or(0)).saturating_mul(8);
    let before = previous.checked_shr(shift).unwrap_or(0);
    let full = TILE_WIDTH.saturating_sub(u64::from(planted(Bug::TileBoundary)));
    let width = u64::from(tile.width).min(full);
    tile.index.saturating_mul(TILE_WIDTH).saturating_add(width) > before
}

pub(crate) fn parse(note: &str) -> Result<Note> {
    Note::parse(note).map_err(|_| Error::Cosignature("the stored checkpoint is not a signed note"))
}

/// Puts a tile where the public reads it.
pub(crate) fn put_tile(tiles: &dyn TileStore, tile: &Tile, bytes: &[u8]) -> Result<()> {
    let path = tile.path();
    tiles.put(&path, bytes).map_err(|e| Error::tiles("write", &path, e))?;
    if u64::from(tile.width) == TILE_WIDTH {
        tiles.remove_partials(&path).map_err(|e| Error::tiles("remove partials of", &path, e))?;
    }
    Ok(())
}

/// The bytes of an entry tile over these digests.
pub(crate) fn entry_tile(digests: impl Iterator<Item = B256>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for digest in digests {
        bytes.extend_from_slice(&[0, 33]);
        bytes.extend_from_slice(&entry_of(&digest));
    }
    bytes
}

/// The log that a released checkpoint is of, and how far it goes.
pub(crate) fn released_checkpoint(note: &Note, origin: &str) -> Result<Option<Checkpoint>> {
    let Ok(released) = Checkpoint::parse(&note.text) else { return Ok(None) };
    if released.origin != origin {
        let found = format!("log {:.200}", released.origin);
        return Err(Error::OtherLog { found, expected: format!("log {origin}") });
    }
    Ok(Some(released))
}

/// The checkpoint that the public sees.
pub(crate) fn public_checkpoint(tiles: &dyn TileStore) -> Result<Option<Note>> {
    let released = tiles.get(CHECKPOINT).map_err(|e| Error::tiles("read", CHECKPOINT, e))?;
    Ok(released.and_then(|bytes| Note::parse(&String::from_utf8(bytes).ok()?).ok()))
}

/// A public file of the log, by its C2SP path.
pub(crate) fn log_file(tiles: &dyn TileStore, path: &str) -> Result<Option<Vec<u8>>> {
    let get = |path: &str| tiles.get(path).map_err(|e| Error::tiles("read", path, e));
    if path == CHECKPOINT {
        return get(path);
    }
    let Some(tile) = Tile::parse(path) else { return Ok(None) };
    if let Some(bytes) = get(path)? {
        return Ok(Some(bytes));
    }
    // A full tile stands in for its partial ones.
    let full = Tile { width: u16::try_from(TILE_WIDTH).unwrap_or(u16::MAX), ..tile };
    let size = usize::from(tile.width).saturating_mul(if tile.level.is_some() { 32 } else { 35 });
    Ok(get(&full.path())?.and_then(|bytes| bytes.get(..size).map(<[u8]>::to_vec)))
}

impl Shared {
    fn put_tile(&self, tile: &Tile) -> Result<()> {
        put_tile(&*self.tiles, tile, &self.tile_bytes(tile)?)
    }

    /// Puts tiles, many of them by several threads: each put waits for the storage, which takes
    /// several at once.
    fn put_tiles(&self, tiles: &[Tile]) -> Result<()> {
        let (few, many) = tiles.split_at(tiles.len().min(PUTS_AT_ONCE));
        few.iter().try_for_each(|tile| self.put_tile(tile))?;
        std::thread::scope(|scope| {
            let share = many.len().div_ceil(PUTS_AT_ONCE).max(1);
            let threads: Vec<_> = many
                .chunks(share)
                .map(|tiles| scope.spawn(|| tiles.iter().try_for_each(|tile| self.put_tile(tile))))
                .collect();
            threads.into_iter().try_for_each(|thread| {
                let ended = || Error::stopped(&Arc::from("a thread that writes tiles has ended"));
                thread.join().unwrap_or_else(|_panicked| Err(ended()))
            })
        })
    }

    fn tile_bytes(&self, tile: &Tile) -> Result<Vec<u8>> {
        let log = self.log.read();
        if let Some(level) = tile.level {
            return Ok(log.tree.tile(level, tile.index, tile.width)?.concat());
        }
        let rows = log.rows(tile.index.saturating_mul(TILE_WIDTH), tile.width.into())?;
        Ok(entry_tile(rows.iter().map(|row| row.digest)))
    }

    /// Writes the checkpoint out: from here on the world knows it.
    fn release(&self, published: Published) -> Result<()> {
        self.tiles
            .put(CHECKPOINT, published.note.as_bytes())
            .map_err(|e| Error::tiles("write", CHECKPOINT, e))?;
        *self.published.write() = Some(published);
        Ok(())
    }

    /// Refuses to go on behind a checkpoint that the world has, then puts in place again what the
    /// stored checkpoint needs.
    pub(crate) fn restore_public(&self, stored: Option<Stored>) -> Result<()> {
        let released = public_checkpoint(&*self.tiles)?;
        if let Some(note) = &released
            && let Some(checkpoint) = released_checkpoint(note, &self.config.origin)?
        {
            self.log.read().check_extends(checkpoint.size, checkpoint.root)?;
        }
        let Some(Stored { size, note, .. }) = stored else { return Ok(()) };
        let mut missing = Vec::new();
        for tile in Tile::of_size(size) {
            let path = tile.path();
            let found = self.tiles.size(&path).map_err(|e| Error::tiles("read", &path, e))?;
            if found != Some(tile_size_bytes(&tile)) {
                missing.push(tile);
            }
        }
        self.put_tiles(&missing)?;
        let parsed = parse(&note)?;
        let checkpoint = Checkpoint::parse(&parsed.text)
            .map_err(|_| Error::Cosignature("the stored checkpoint is malformed"))?;
        // The same checkpoint out there may have cosignatures that the journal has not.
        let cosigned = released.filter(|released| {
            released.text == parsed.text
                && parsed.signatures.iter().all(|own| released.signatures.contains(own))
        });
        let note = cosigned.map_or(note, |cosigned| cosigned.to_string());
        self.release(Published { checkpoint, note })
    }
}

pub(crate) fn tile_size_bytes(tile: &Tile) -> u64 {
    let each = if tile.level.is_some() { 32 } else { ENTRY_LEN.saturating_add(2) };
    u64::from(tile.width).saturating_mul(u64::try_from(each).unwrap_or(u64::MAX))
}
