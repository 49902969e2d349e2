//! The seam to the disk: what the journal asks of files, and the real ones.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// One file of the journal.
///
/// - **Durability**: nothing is durable before [`File::sync`] returns `Ok`; then everything
///   written or resized before the call is. A power loss in between may keep any subset of the
///   unsynced sectors, in any order, and tear a sector that was being written; it does not touch
///   bytes that no unsynced write covers (the "powersafe overwrite" of SQLite).
/// - **Consistency**: a read sees every earlier write of this process, durable or not.
/// - **Concurrency**: one writer; any number of readers beside it.
/// - **Retries**: nobody. After a failed write or sync the kernel may have dropped the dirty pages
///   and report success next time, so the journal stops and the process starts again.
pub trait File: Send + Sync + Debug {
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// Those of the device.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, growing the file as needed.
    ///
    /// # Errors
    /// Those of the device; part of the bytes may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// The file's size in bytes.
    ///
    /// # Errors
    /// Those of the device.
    fn size(&self) -> io::Result<u64>;

    /// Cuts or grows the file to `size_bytes`; what is grown reads as zeros.
    ///
    /// # Errors
    /// Those of the device.
    fn set_size(&self, size_bytes: u64) -> io::Result<()>;

    /// Makes everything done before durable.
    ///
    /// # Errors
    /// Those of the device; what is durable is then unknown.
    fn sync(&self) -> io::Result<()>;
}

/// The directory that holds a journal's files, or the views over them. Durability, consistency,
/// concurrency and retries are as for [`File`]; a created, renamed or removed name is durable after
/// [`Disk::sync`]. A name may lead through directories (`tile/0/001`), which are made as needed and
/// go with the last name in them.
pub trait Disk: Send + Sync + Debug {
    /// The names of all files right in `directory` (empty for the whole disk's own), in any order;
    /// none if there is no such directory.
    ///
    /// # Errors
    /// Those of the device.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing; creates it if `create`.
    ///
    /// # Errors
    /// Those of the device, `NotFound` among them.
    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn File>>;

    /// Gives a file another name in one step, in place of the file that has it.
    ///
    /// # Errors
    /// Those of the device.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the device.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes created, renamed and removed names durable.
    ///
    /// # Errors
    /// Those of the device.
    fn sync(&self) -> io::Result<()>;

    /// Where it is, for messages.
    fn path(&self) -> &Path;
}

impl<D: Disk + ?Sized> Disk for Arc<D> {
    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.as_ref().list(directory)
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn File>> {
        self.as_ref().open(name, create)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.as_ref().rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.as_ref().remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.as_ref().sync()
    }

    fn path(&self) -> &Path {
        self.as_ref().path()
    }
}

/// A directory of a disk, as a disk.
#[derive(Debug)]
pub struct Within {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Before each name.
    prefix: String,
}

impl Within {
    /// The directory with this name, which may not be there yet.
    pub fn new(disk: Arc<dyn Disk>, directory: &str) -> Self {
        let (path, prefix) = (disk.path().join(directory), format!("{directory}/"));
        Self { disk, path, prefix }
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Disk for Within {
    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.disk.list(self.name(directory).trim_end_matches('/'))
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn File>> {
        self.disk.open(&self.name(name), create)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.name(from), &self.name(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(&self.name(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads a file whole.
///
/// # Errors
/// Those of the device, `NotFound` among them.
pub fn read(disk: &dyn Disk, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(name, false)?;
    let mut bytes = vec![0; usize::try_from(file.size()?).map_err(io::Error::other)?];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Writes a view whole: who reads it finds the old bytes or the new ones, also after a crash, and
/// once this has returned the new ones.
///
/// # Errors
/// Those of the device; then either may be there.
pub fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.tmp");
    write(disk, &temporary, bytes)?;
    disk.rename(&temporary, name)?;
    disk.sync()
}

/// Writes a file whole. Its bytes are durable once this has returned, its name is not.
///
/// # Errors
/// Those of the device; then any part of it may be there.
pub fn write(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(name, true)?;
    file.set_size(0)?;
    file.write_all_at(bytes, 0)?;
    file.sync()
}

/// A directory of the operating system. That of a journal is held by a lock file while this value
/// lives.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Directories with names that have changed since the last sync.
    changed: Mutex<BTreeSet<PathBuf>>,
    /// Holds the advisory lock; the system releases it however the process ends.
    _lock: Option<fs::File>,
}

const LOCK_NAME: &str = "journal.lock";

impl Directory {
    /// Creates the directory if needed and locks it.
    ///
    /// # Errors
    /// [`Error::Locked`] if another journal holds it, else those of the system.
    pub fn open(path: &Path) -> Result<Self> {
        create_durably(path).map_err(|e| Error::io("create", path.to_owned(), e))?;
        Ok(Self { _lock: Some(lock(path)?), ..Self::new(path) })
    }

    /// The directory without a lock on it, made with its first file: for views, whose journal is
    /// locked.
    #[must_use]
    pub fn unlocked(path: &Path) -> Self {
        Self::new(path)
    }

    fn new(path: &Path) -> Self {
        // What a process before this one changed here and did not sync is not known.
        let changed = Mutex::new(BTreeSet::from([path.to_owned()]));
        Self { path: path.to_owned(), changed, _lock: None }
    }

    fn changed(&self, path: &Path) {
        let parent = path.parent().unwrap_or(&self.path).to_owned();
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(parent);
    }
}

/// Creates `path` and its parents, each name made durable in the directory above it.
fn create_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::File::open(parent)?.sync_all()
}

fn lock(dir: &Path) -> Result<fs::File> {
    let path = dir.join(LOCK_NAME);
    let fail = |e| Error::io("lock", path.clone(), e);
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(Error::Locked { dir: dir.to_owned(), pid: read_pid(&file) });
        }
        Err(fs::TryLockError::Error(error)) => return Err(fail(error)),
    }
    // Only a hint for the other side's message; the lock itself is the system's.
    file.set_len(0).map_err(fail)?;
    FileExt::write_all_at(&file, std::process::id().to_string().as_bytes(), 0).map_err(fail)?;
    Ok(file)
}

fn read_pid(file: &fs::File) -> Option<u32> {
    let mut text = [0_u8; 16];
    let size = FileExt::read_at(file, &mut text, 0).ok()?;
    std::str::from_utf8(text.get(..size)?).ok()?.trim().parse().ok()
}

impl Disk for Directory {
    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path.join(directory)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn File>> {
        let path = self.path.join(name);
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).truncate(false);
        if !create {
            return Ok(Box::new(options.open(path)?));
        }
        if let Some(parent) = path.parent() {
            create_durably(parent)?;
        }
        self.changed(&path);
        Ok(Box::new(options.create(true).open(path)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        self.changed(&from);
        self.changed(&to);
        fs::rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        fs::remove_file(&path)?;
        match path.parent().filter(|parent| *parent != self.path) {
            // Other names are in it: it stays.
            Some(parent) if fs::remove_dir(parent).is_ok() => self.changed(parent),
            _ => self.changed(&path),
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        for directory in std::mem::take(&mut *changed) {
            match fs::File::open(directory).and_then(|directory| directory.sync_all()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl File for fs::File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0_usize;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            match FileExt::read_at(self, rest, at) {
                Ok(0) => break,
                Ok(size) => done = done.saturating_add(size),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        self.set_len(size_bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
