//! A disk in memory that keeps its promises and not one more: for crash tests.
//!
//! It counts operations (write, resize, sync, create, rename, remove), fails at a chosen one, and on
//! [`MemoryDisk::power_loss`] lets the caller decide for each unsynced 512-byte sector how much of
//! it survives: writes are dropped, torn and reordered as a real device may do. After
//! [`MemoryDisk::killed`] the machine runs on, and a new process finds everything that was written.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "test equipment: offsets are those the journal gave, a panic fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::file::{Disk, File};

const SECTOR_BYTES: usize = 512;

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It and everything after it fails and does nothing: the process was killed just before it.
    Kill,
    /// It is done, then it and everything after it fails: the process was killed just after it, or
    /// the power went, which leaves its effect to [`MemoryDisk::power_loss`].
    PowerOff,
    /// The disk is full: it and every later write that grows a file fails.
    Full,
    /// If it is a sync, it fails, forgets the unsynced writes, and later ones succeed ("fsyncgate").
    SyncLost,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Resize(size) => content.resize(*size, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Debug, Default, Clone)]
struct Content {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    operations: BTreeMap<&'static str, u64>,
    fault: Option<(u64, Fault)>,
}

impl State {
    fn operations(&self) -> u64 {
        self.operations.values().sum()
    }

    /// Counts an operation; tells what fault, if any, is due.
    fn step(&mut self, operation: &'static str) -> io::Result<Option<Fault>> {
        let number = self.operations();
        *self.operations.entry(operation).or_default() += 1;
        match self.fault {
            Some((at, Fault::SyncLost)) if number != at => Ok(None),
            Some((at, Fault::Kill)) if number >= at => Err(power_off()),
            // Its own effect is the last one.
            Some((at, Fault::PowerOff)) if number > at => Err(power_off()),
            Some((at, fault)) if number >= at => Ok(Some(fault)),
            _ => Ok(None),
        }
    }
}

/// The disk; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    /// Where its names are, with a slash behind it; empty for all of them.
    directory: String,
}

fn power_off() -> io::Error {
    io::Error::other("the power is off")
}

impl MemoryDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on(&self, state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)), directory: self.directory.clone() }
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.directory)
    }

    /// A directory of this disk, as a disk: faults and operations are shared, a sync of names
    /// is its own.
    #[must_use]
    pub fn within(&self, directory: &str) -> Self {
        let directory = format!("{}/", self.name(directory));
        Self { state: Arc::clone(&self.state), directory }
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations()
    }

    /// Operations so far by kind: `write`, `resize`, `sync`, `create`, `rename`, `remove`, and
    /// `sync names`.
    #[must_use]
    pub fn operations_by_kind(&self) -> BTreeMap<&'static str, u64> {
        self.state().operations.clone()
    }

    /// Makes operation number `operation` (from 0) fail in this way.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.state().fault = Some((operation, fault));
    }

    /// The disk as it is found after the power comes back. `survives` is asked for each unsynced
    /// sector of each write, in order, with its length, and answers how many of its first bytes
    /// reached the platter; a resize or a file name counts as one byte.
    #[must_use]
    pub fn power_loss(&self, mut survives: impl FnMut(usize) -> usize) -> Self {
        let state = self.state();
        let mut contents = Vec::new();
        for content in &state.contents {
            let mut found = content.durable.clone();
            for change in &content.pending {
                survive(change, &mut survives, &mut found);
            }
            contents.push(Content { current: found.clone(), durable: found, pending: Vec::new() });
        }
        let mut names = BTreeMap::new();
        let all = state.names.iter().chain(&state.durable_names);
        for name in all.map(|(name, _)| name).collect::<BTreeSet<_>>() {
            let (new, old) = (state.names.get(name), state.durable_names.get(name));
            let found = if new != old && survives(1) > 0 { new } else { old };
            names.extend(found.map(|index| (name.clone(), *index)));
        }
        self.on(State { contents, durable_names: names.clone(), names, ..State::default() })
    }

    /// The disk as a new process finds it after the one before was killed: everything that was
    /// written is there, and no more of it is durable than was. A copy, which counts from 0.
    #[must_use]
    pub fn killed(&self) -> Self {
        let state = self.state();
        self.on(State {
            contents: state.contents.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            ..State::default()
        })
    }

    /// The names of all files, those in directories too.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let state = self.state();
        let within = |name: &String| name.strip_prefix(&self.directory).map(str::to_owned);
        state.names.keys().filter_map(within).collect()
    }

    /// A file's bytes as a reader sees them.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let index = state.names.get(&self.name(name))?;
        Some(state.contents[*index].current.clone())
    }

    /// Replaces a file's bytes, durably: damage, a stale copy, a cut.
    pub fn replace(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let index = state.contents.len();
        state.contents.push(Content {
            durable: bytes.clone(),
            current: bytes,
            pending: Vec::new(),
        });
        state.names.insert(self.name(name), index);
        state.durable_names.insert(self.name(name), index);
    }
}

fn survive(change: &Change, survives: &mut impl FnMut(usize) -> usize, found: &mut Vec<u8>) {
    let Change::Write { offset, bytes } = change else {
        if survives(1) > 0 {
            change.apply(found);
        }
        return;
    };
    let (mut at, mut rest) = (*offset, bytes.as_slice());
    while !rest.is_empty() {
        let length = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
        let kept = survives(length).min(length);
        if kept > 0 {
            Change::Write { offset: at, bytes: rest[..kept].to_vec() }.apply(found);
        }
        (at, rest) = (at + length, &rest[length..]);
    }
}

impl Disk for MemoryDisk {
    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let within = match directory {
            "" => self.clone(),
            _ => self.within(directory),
        };
        Ok(within.names().into_iter().filter(|name| !name.contains('/')).collect())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn File>> {
        let (name, mut state) = (self.name(name), self.state());
        if let Some(index) = state.names.get(&name) {
            return Ok(Box::new(MemoryFile { disk: self.clone(), index: *index }));
        }
        if !create {
            return Err(io::ErrorKind::NotFound.into());
        }
        let fault = state.step("create")?;
        if fault == Some(Fault::Full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let index = state.contents.len();
        state.contents.push(Content::default());
        state.names.insert(name, index);
        done(fault)?;
        Ok(Box::new(MemoryFile { disk: self.clone(), index }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step("rename")?;
        let index = state.names.remove(&self.name(from)).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(self.name(to), index);
        done(fault)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step("remove")?;
        state.names.remove(&self.name(name)).ok_or(io::ErrorKind::NotFound)?;
        done(fault)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        match state.step("sync names")? {
            Some(Fault::SyncLost) => Err(io::Error::other("sync failed")),
            // Whether the power went before or after it is not known.
            Some(Fault::PowerOff) => Err(power_off()),
            _ => {
                let State { names, durable_names, .. } = &mut *state;
                let here = |name: &String| name.starts_with(&self.directory);
                durable_names.retain(|name, _| !here(name));
                let synced = names.iter().filter(|(name, _)| here(name));
                durable_names.extend(synced.map(|(name, index)| (name.clone(), *index)));
                Ok(())
            }
        }
    }

    fn path(&self) -> &Path {
        Path::new("memory")
    }
}

/// The answer of an operation that has been done.
fn done(fault: Option<Fault>) -> io::Result<()> {
    if fault == Some(Fault::PowerOff) { Err(power_off()) } else { Ok(()) }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    index: usize,
}

impl MemoryFile {
    fn change(&self, operation: &'static str, change: Change) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.step(operation)?;
        let content = &mut state.contents[self.index];
        let before = content.current.len();
        let grows = match &change {
            Change::Write { offset, bytes } => offset + bytes.len() > before,
            Change::Resize(size) => *size > before,
        };
        if fault == Some(Fault::Full) && grows {
            return Err(io::ErrorKind::StorageFull.into());
        }
        change.apply(&mut content.current);
        content.pending.push(change);
        done(fault)
    }
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let content = &state.contents[self.index].current;
        let rest = content.get(offset as usize..).unwrap_or_default();
        let size = rest.len().min(buffer.len());
        buffer[..size].copy_from_slice(&rest[..size]);
        Ok(size)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change("write", Change::Write { offset: offset as usize, bytes: bytes.to_vec() })
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().contents[self.index].current.len() as u64)
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        self.change("resize", Change::Resize(size_bytes as usize))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.step("sync")?;
        let content = &mut state.contents[self.index];
        match fault {
            Some(Fault::PowerOff) => Err(power_off()),
            Some(Fault::SyncLost) => {
                content.pending.clear();
                Err(io::Error::other("sync failed"))
            }
            _ => {
                content.durable = content.current.clone();
                content.pending.clear();
                Ok(())
            }
        }
    }
}
