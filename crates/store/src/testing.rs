//! A store without threads, for tests that decide what happens when: the functions that its two
//! threads would run are called by hand.

use std::sync::Arc;

use vouch_core::log::note::NoteSignature;
use vouch_journal::Disk;

use crate::api::Published;
use crate::committer::Committer;
use crate::config::Config;
use crate::embedded::{EmbeddedStore, Opened};
use crate::error::Result;
use crate::publish::{Publisher, Sequenced};
use crate::tiles::TileStore;

/// An [`EmbeddedStore`] that does nothing by itself.
///
/// Whatever gives a [`crate::Pending`] is answered by [`Self::commit`]; to wait for one before
/// that blocks for ever. Dropping it commits nothing: as if the process had been killed.
#[derive(Debug)]
pub struct SteppedStore {
    store: EmbeddedStore,
    committer: Committer,
    publisher: Publisher,
    sequenced: Option<Sequenced>,
}

impl SteppedStore {
    /// As [`EmbeddedStore::open_on`].
    ///
    /// # Errors
    /// As [`EmbeddedStore::open_on`].
    pub fn open_on(
        disk: Box<dyn Disk>,
        tiles: Arc<dyn TileStore>,
        config: Config,
    ) -> Result<(Self, Opened)> {
        let (store, committer, publisher, opened) = EmbeddedStore::open_idle(disk, tiles, config)?;
        Ok((Self { store, committer, publisher, sequenced: None }, opened))
    }

    /// The store. Its [`crate::Store::publish_checkpoint`] and [`crate::Store::add_cosignature`]
    /// are never answered: use those here.
    #[must_use]
    pub fn store(&self) -> &EmbeddedStore {
        &self.store
    }

    /// Commits what waits, in one batch; false if nothing does.
    pub fn commit(&mut self) -> bool {
        self.committer.take_waiting()
    }

    /// The first half of publishing a checkpoint: it waits to be stored by [`Self::commit`]. False
    /// if nothing is new, or one waits already.
    ///
    /// # Errors
    /// As [`crate::Store::publish_checkpoint`].
    pub fn sequence(&mut self) -> Result<bool> {
        if self.sequenced.is_some() {
            return Ok(false);
        }
        self.sequenced = self.publisher.sequence()?;
        Ok(self.sequenced.is_some())
    }

    /// The second half, to be called after [`Self::commit`]: the checkpoint is released.
    ///
    /// # Errors
    /// As [`crate::Store::publish_checkpoint`].
    pub fn release(&mut self) -> Result<Published> {
        if let Some(sequenced) = self.sequenced.take() {
            self.publisher.stored = Some(sequenced.wait()?);
        }
        self.publisher.release()
    }

    /// Moves what is durable from memory to the index, as publishing does now and then.
    ///
    /// # Errors
    /// Those of the journal's disk.
    pub fn index(&self) -> Result<()> {
        self.publisher.index()
    }

    /// Adds a witness's line, as [`crate::Store::add_cosignature`].
    ///
    /// # Errors
    /// As [`crate::Store::add_cosignature`].
    pub fn cosign(&self, text: &str, line: NoteSignature) -> Result<Published> {
        self.publisher.cosign(text, line)
    }
}
