//! Where a simulated log's public files are.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use vouch_store::TileStore;

use crate::random::Random;

/// Files in memory. A put is durable when it returns, as that of `FileTiles`; what is promised for
/// `checkpoint` alone is taken from all others at a power loss.
#[derive(Debug, Default)]
pub struct MemoryTiles {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl MemoryTiles {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy as it is now.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { files: Mutex::new(self.files().clone()) }
    }

    /// Takes some of the tiles away, and cuts others.
    pub fn power_loss(&self, random: &mut Random) {
        let mut files = self.files();
        files.retain(|path, bytes| {
            if path == "checkpoint" || random.chance(800) {
                return true;
            }
            bytes.truncate(random.index(bytes.len() + 1));
            random.chance(500)
        });
    }

    /// A file, as anyone may read it.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.files().get(path).cloned()
    }
}

impl TileStore for MemoryTiles {
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.files().insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.read(path))
    }

    fn size(&self, path: &str) -> io::Result<Option<u64>> {
        Ok(self.files().get(path).map(|bytes| bytes.len() as u64))
    }

    fn remove_partials(&self, path: &str) -> io::Result<()> {
        let partials = format!("{path}.p/");
        self.files().retain(|path, _| !path.starts_with(&partials));
        Ok(())
    }
}
