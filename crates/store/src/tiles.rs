//! Where the log's public files are kept.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::Path;

use vouch_journal::{Directory, Disk, File};

use crate::publish::CHECKPOINT;

/// The log's public files, by C2SP path (`checkpoint`, `tile/0/x001/067`, ...).
///
/// - **Durability**: none is relied on but that of `checkpoint`: everything else is a view, and
///   what is missing or short is put again when the store opens.
/// - **Consistency**: a put replaces a whole file; a reader sees the old one or the new one.
/// - **Concurrency**: one writer; any number of readers, of other processes too.
/// - **Retries**: the store, at the next checkpoint; a checkpoint is released only after its tiles.
pub trait TileStore: Send + Sync + Debug {
    /// Writes a file whole.
    ///
    /// # Errors
    /// Those of the storage.
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Reads a file; `None` if there is none.
    ///
    /// # Errors
    /// Those of the storage.
    fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// A file's size; `None` if there is none.
    ///
    /// # Errors
    /// Those of the storage.
    fn size(&self, path: &str) -> io::Result<Option<u64>>;

    /// Removes the partial tiles of a full tile, which stands in for them. May do nothing.
    ///
    /// # Errors
    /// Those of the storage.
    fn remove_partials(&self, path: &str) -> io::Result<()>;
}

/// Files in a directory, ready to be served by any web server.
#[derive(Debug)]
pub struct FileTiles {
    disk: Box<dyn Disk>,
}

impl FileTiles {
    /// Files below `dir`, which is created if needed.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self::on(Box::new(Directory::unlocked(dir))))
    }

    /// Files on any disk.
    #[must_use]
    pub fn on(disk: Box<dyn Disk>) -> Self {
        Self { disk }
    }

    fn file(&self, path: &str) -> io::Result<Option<Box<dyn File>>> {
        absent(self.disk.open(path, false))
    }
}

impl TileStore for FileTiles {
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let disk = self.disk.as_ref();
        if path == CHECKPOINT {
            return vouch_journal::replace(disk, path, bytes);
        }
        // A tile's name is made durable with that of the checkpoint over it.
        let temporary = format!("{path}.tmp");
        vouch_journal::write(disk, &temporary, bytes)?;
        disk.rename(&temporary, path)
    }

    fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        absent(vouch_journal::read(self.disk.as_ref(), path))
    }

    fn size(&self, path: &str) -> io::Result<Option<u64>> {
        self.file(path)?.map(|file| file.size()).transpose()
    }

    fn remove_partials(&self, path: &str) -> io::Result<()> {
        let directory = format!("{path}.p");
        for name in self.disk.list(&directory)? {
            self.disk.remove(&format!("{directory}/{name}"))?;
        }
        Ok(())
    }
}

fn absent<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        // A file where a path has a directory is no such file either.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
