//! Where the log's public files are kept.

use std::fmt::Debug;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
    dir: PathBuf,
}

impl FileTiles {
    /// Files below `dir`, which is created if needed.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }
}

impl TileStore for FileTiles {
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let target = self.dir.join(path);
        let parent = target.parent().unwrap_or(&self.dir);
        fs::create_dir_all(parent)?;
        let temporary = target.with_extension("tmp");
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, &target)?;
        fs::File::open(parent)?.sync_all()
    }

    fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        absent(fs::read(self.dir.join(path)))
    }

    fn size(&self, path: &str) -> io::Result<Option<u64>> {
        absent(fs::metadata(self.dir.join(path)).map(|metadata| metadata.len()))
    }

    fn remove_partials(&self, path: &str) -> io::Result<()> {
        absent(fs::remove_dir_all(self.dir.join(format!("{path}.p")))).map(|_| ())
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
