//! Looking at a journal without touching it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::file::{Disk, File};

/// A disk that is only read. What opening a journal cuts or removes is gone in memory alone; any
/// other change fails.
#[derive(Debug)]
pub struct ReadOnly {
    disk: Arc<dyn Disk>,
    removed: Mutex<BTreeSet<String>>,
}

impl ReadOnly {
    /// Reads `disk`.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, removed: Mutex::default() }
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for ReadOnly {
    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |name: &str| match directory {
            "" => name.to_owned(),
            _ => format!("{directory}/{name}"),
        };
        let names = self.disk.list(directory)?.into_iter();
        Ok(names.filter(|name| !removed.contains(&full(name))).collect())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn File>> {
        match self.disk.open(name, false) {
            Err(error) if create && error.kind() == io::ErrorKind::NotFound => refused(),
            file => Ok(Box::new(Cut { file: file?, size_bytes: AtomicU64::new(u64::MAX) })),
        }
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self) -> &Path {
        self.disk.path()
    }
}

/// A file that ends at `size_bytes`, or where it does end.
#[derive(Debug)]
struct Cut {
    file: Box<dyn File>,
    size_bytes: AtomicU64,
}

impl File for Cut {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.size_bytes.load(Ordering::Relaxed).saturating_sub(offset);
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.file.read_at(buffer.get_mut(..size).unwrap_or_default(), offset)
    }

    fn write_all_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        refused()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.size()?.min(self.size_bytes.load(Ordering::Relaxed)))
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        if size_bytes > self.size()? {
            return refused();
        }
        self.size_bytes.store(size_bytes, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
