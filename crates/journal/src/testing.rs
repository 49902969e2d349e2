//! A disk in memory that keeps its promises and not one more: for crash tests.
//!
//! It counts operations (write, resize, sync, create, remove), fails at a chosen one, and on
//! [`MemoryDisk::power_loss`] lets the caller decide for each unsynced 512-byte sector how much of
//! it survives: writes are dropped, torn and reordered as a real device may do.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "test equipment: offsets are those the journal gave, a panic fails the test"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::file::{Disk, File};

const SECTOR_BYTES: usize = 512;

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It and everything after it fails; its own effect is left to [`MemoryDisk::power_loss`].
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
    operations: u64,
    fault: Option<(u64, Fault)>,
}

impl State {
    /// Counts an operation; tells what fault, if any, is due.
    fn step(&mut self) -> Option<Fault> {
        let number = self.operations;
        self.operations += 1;
        match self.fault {
            Some((at, Fault::SyncLost)) if number != at => None,
            Some((at, fault)) if number >= at => Some(fault),
            _ => None,
        }
    }
}

/// The disk; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

fn power_off() -> io::Error {
    io::Error::other("the power is off")
}

impl MemoryDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
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
        let mut names = state.durable_names.clone();
        for (name, index) in &state.names {
            if !names.contains_key(name) && survives(1) > 0 {
                names.insert(name.clone(), *index);
            }
        }
        names.retain(|name, _| state.names.contains_key(name) || survives(1) == 0);
        let state = State { contents, durable_names: names.clone(), names, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A file's bytes as a reader sees them.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).map(|index| state.contents[*index].current.clone())
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
        state.names.insert(name.to_owned(), index);
        state.durable_names.insert(name.to_owned(), index);
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
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn File>> {
        let mut state = self.state();
        if let Some(index) = state.names.get(name) {
            return Ok(Box::new(MemoryFile { disk: self.clone(), index: *index }));
        }
        if !create {
            return Err(io::ErrorKind::NotFound.into());
        }
        let fault = state.step();
        if fault == Some(Fault::Full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let index = state.contents.len();
        state.contents.push(Content::default());
        state.names.insert(name.to_owned(), index);
        match fault {
            Some(Fault::PowerOff) => Err(power_off()),
            _ => Ok(Box::new(MemoryFile { disk: self.clone(), index })),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step();
        state.names.remove(name);
        if fault == Some(Fault::PowerOff) { Err(power_off()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        match state.step() {
            Some(Fault::PowerOff) => Err(power_off()),
            Some(Fault::SyncLost) => Err(io::Error::other("sync failed")),
            _ => {
                state.durable_names = state.names.clone();
                Ok(())
            }
        }
    }

    fn path(&self) -> &Path {
        Path::new("memory")
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    index: usize,
}

impl MemoryFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.step();
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
        if fault == Some(Fault::PowerOff) { Err(power_off()) } else { Ok(()) }
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
        self.change(Change::Write { offset: offset as usize, bytes: bytes.to_vec() })
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().contents[self.index].current.len() as u64)
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        self.change(Change::Resize(size_bytes as usize))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.step();
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
