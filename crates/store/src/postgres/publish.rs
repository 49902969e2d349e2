//! Checkpoints of several gateways: one publishes at a time, any can take over.
//!
//! Tiles first, then the checkpoint by compare-and-swap in the database, then its file. Whoever has
//! the lease does all three; who has lost it in between fails at the second. A file put by a
//! gateway that was halted just before may be an older checkpoint of the same log, until the next
//! one, a second later.

use alloy_primitives::B256;
use tokio::task::block_in_place;
use tokio::time::{Duration, sleep};
use tokio_postgres::types::ToSql;
use vouch_core::bundle::LogProof;
use vouch_core::log::Checkpoint;
use vouch_core::log::note::{Note, NoteSignature};
use vouch_core::log::tile::{TILE_WIDTH, Tile};

use super::Shared;
use super::rows::{get, number, signed};
use crate::api::Published;
use crate::error::{Error, Result};
use crate::publish::{
    CHECKPOINT, cosigned, entry_tile, parse, public_checkpoint, put_tile, reaches_beyond,
    released_checkpoint, tile_size_bytes,
};

const LEASE: &str = "UPDATE checkpoint SET publisher = $1, \
                     until = clock_timestamp() + $2::bigint * interval '1 millisecond' \
                     WHERE publisher = $1 OR until < clock_timestamp() \
                     RETURNING size, note, released, stale";
const NOW: &str = "SELECT size, note, released, stale FROM checkpoint";
const STORE: &str = "UPDATE checkpoint SET size = $3, note = $4, stale = true WHERE publisher = $1 \
                     AND size IS NOT DISTINCT FROM $2 RETURNING size";
const RELEASED: &str = "UPDATE checkpoint SET released = $2, stale = note <> $2 \
                        WHERE publisher = $1 RETURNING size";
const COSIGN: &str = "UPDATE checkpoint SET note = $2, stale = true WHERE note = $1 RETURNING size";
const STALE: &str = "UPDATE checkpoint SET stale = true RETURNING size";
const WAIT: Duration = Duration::from_millis(50);

/// The checkpoint as the database has it.
struct Row {
    size: Option<u64>,
    note: Option<String>,
    released: Option<String>,
    /// The note is newer than what was released.
    stale: bool,
}

impl Shared {
    pub(super) async fn publish(&self) -> Result<Published> {
        let _one = self.publishing.lock().await;
        loop {
            if let Some(cause) = self.stopped.get() {
                return Err(Error::stopped(cause));
            }
            if let Some(row) = self.publisher().await? {
                return self.publish_as(row).await;
            }
            if let Some(published) = self.released().await? {
                return Ok(published);
            }
            // Another is about to release the log's first.
            sleep(WAIT).await;
        }
    }

    /// Takes or keeps the publisher's lease; `None` while another has it.
    async fn publisher(&self) -> Result<Option<Row>> {
        self.row(LEASE, &[&self.lease_epoch(), &self.lease_ms()]).await
    }

    async fn row(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>> {
        let rows = self.query(sql, parameters).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let size = get::<Option<i64>>(row, 0)?.map(|_| number(row, 0)).transpose()?;
        let (note, released, stale) = (get(row, 1)?, get(row, 2)?, get(row, 3)?);
        Ok(Some(Row { size, note, released, stale }))
    }

    async fn publish_as(&self, row: Row) -> Result<Published> {
        let size = self.log_size().await?;
        let note = match row.note {
            Some(note) if row.size == Some(size) => note,
            _ => self.sequence(row.size, size).await?,
        };
        if row.stale || row.released.as_ref() != Some(&note) {
            self.release(&note).await?;
        }
        published(note)
    }

    /// Writes the tiles, signs, and stores a checkpoint of `size` entries.
    async fn sequence(&self, previous: Option<u64>, size: u64) -> Result<String> {
        self.catch_up(size).await?;
        let from = previous.unwrap_or(0);
        for tile in Tile::of_size(size).filter(|tile| reaches_beyond(tile, from)) {
            self.put_tile(&tile).await?;
        }
        let root = self.tree.lock().await.root(size)?;
        let checkpoint = Checkpoint { origin: self.config.origin.clone(), size, root };
        let signatures = (self.config.sign_checkpoint)(&checkpoint)
            .map_err(|why| Error::Signer { what: "checkpoint", why })?;
        let note = Note { text: checkpoint.text(), signatures }.to_string();
        let (before, after) = (previous.map(signed), signed(size));
        let parameters: [&(dyn ToSql + Sync); 4] = [&self.lease_epoch(), &before, &after, &note];
        let stored = self.query(STORE, &parameters).await?;
        if stored.is_empty() {
            return Err(Error::Database("another gateway has published meanwhile".to_owned()));
        }
        Ok(note)
    }

    async fn put_tile(&self, tile: &Tile) -> Result<()> {
        let bytes = if let Some(level) = tile.level {
            self.tree.lock().await.tile(level, tile.index, tile.width)?.concat()
        } else {
            let first = tile.index.saturating_mul(TILE_WIDTH);
            let end = first.saturating_add(tile.width.into());
            entry_tile(self.digests(first, end).await?.into_iter())
        };
        block_in_place(|| put_tile(&*self.tiles, tile, &bytes))
    }

    /// Writes the checkpoint out: from here on the world knows it.
    async fn release(&self, note: &str) -> Result<()> {
        block_in_place(|| self.tiles.put(CHECKPOINT, note.as_bytes()))
            .map_err(|error| Error::tiles("write", CHECKPOINT, error))?;
        self.query(RELEASED, &[&self.lease_epoch(), &note]).await.map(drop)
    }

    /// The newest released checkpoint.
    pub(super) async fn released(&self) -> Result<Option<Published>> {
        let row = self.row(NOW, &[]).await?;
        row.and_then(|row| row.released).map(published).transpose()
    }

    pub(super) async fn cosign(&self, text: &str, line: NoteSignature) -> Result<Published> {
        let _one = self.publishing.lock().await;
        loop {
            let row = self.row(NOW, &[]).await?.filter(|row| row.released.is_some());
            let note = row.and_then(|row| row.note);
            let note = note.ok_or(Error::Cosignature("there is no checkpoint yet"))?;
            let new = cosigned(&note, text, line.clone())?;
            if self.query(COSIGN, &[&note, &new]).await?.is_empty() {
                continue; // Another line came first.
            }
            // Else whoever publishes does it, within a second.
            if self.publisher().await?.is_some() {
                self.release(&new).await?;
            }
            return published(new);
        }
    }

    /// Refuses to go on behind a checkpoint that the world has, then puts in place again what the
    /// stored checkpoint needs, if the public files are not those of this log as it is.
    pub(super) async fn restore_public(&self) -> Result<()> {
        let public = block_in_place(|| public_checkpoint(&*self.tiles))?;
        if let Some(note) = &public
            && let Some(checkpoint) = released_checkpoint(note, &self.config.origin)?
        {
            self.check_extends(checkpoint.size, checkpoint.root).await?;
        }
        let Some(row) = self.row(NOW, &[]).await? else { return Ok(()) };
        let (Some(size), Some(note)) = (row.size, row.note) else { return Ok(()) };
        if public.is_some_and(|public| public.to_string() == note) {
            return Ok(());
        }
        self.catch_up(size).await?;
        for tile in Tile::of_size(size) {
            let path = tile.path();
            let found = block_in_place(|| self.tiles.size(&path));
            let found = found.map_err(|error| Error::tiles("read", &path, error))?;
            if found != Some(tile_size_bytes(&tile)) {
                self.put_tile(&tile).await?;
            }
        }
        // Tiles are the same whoever puts them; the checkpoint is its publisher's to put.
        self.query(STALE, &[]).await?;
        if self.publisher().await?.is_some() { self.release(&note).await } else { Ok(()) }
    }

    pub(super) async fn check_extends(&self, size: u64, root: B256) -> Result<()> {
        self.catch_up(size).await?;
        let tree = self.tree.lock().await;
        if size > tree.size() {
            return Err(Error::Behind { have: tree.size(), seen: size });
        }
        let have = tree.root(size)?;
        if have == root { Ok(()) } else { Err(Error::Forked { size, have, seen: root }) }
    }

    pub(super) async fn proof(&self, index: u64) -> Result<Option<LogProof>> {
        let published = self.released().await?;
        if let Some(published) = published.filter(|at| index < at.checkpoint.size) {
            let path = self.inclusion(index, published.checkpoint.size).await?;
            return Ok(Some(LogProof { index, path, checkpoint: published.note }));
        }
        let size = self.log_size().await?;
        if index < size { Ok(None) } else { Err(Error::Range { asked: index, size }) }
    }

    pub(super) async fn inclusion(&self, index: u64, size: u64) -> Result<Vec<B256>> {
        self.catch_up(size).await?;
        self.tree.lock().await.inclusion(index, size)
    }

    pub(super) async fn consistency(&self, old: u64, new: u64) -> Result<Vec<B256>> {
        self.catch_up(new).await?;
        self.tree.lock().await.consistency(old, new)
    }
}

fn published(note: String) -> Result<Published> {
    let checkpoint = Checkpoint::parse(&parse(&note)?.text)
        .map_err(|_| Error::Cosignature("the stored checkpoint is malformed"))?;
    Ok(Published { checkpoint, note })
}
