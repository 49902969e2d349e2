//! The reading side, shared by the writer, its iterator and readers in other threads.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::{Error, Result};
use crate::file::File;
use crate::format::{HEADER_BYTES, record_bytes, segment_name};
use crate::scan::{Found, Window, record_at};
use crate::{Part, Position};

/// A single record is most often small: one read takes header and payload.
const POINT_READ_BYTES: usize = 4096;
const SEQUENTIAL_READ_BYTES: usize = 1 << 18;

#[derive(Debug)]
pub(crate) struct Shared {
    /// The directory, for messages. The lock on it belongs to the journal alone, so that a
    /// forgotten reader does not keep it.
    pub(crate) path: PathBuf,
    pub(crate) seed: u32,
    files: RwLock<Files>,
    durable: AtomicU64,
}

/// The segments there are.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) first: Arc<dyn File>,
    /// The number of the one after the first, where all but the first record before was removed.
    pub(crate) resumes: Option<usize>,
    pub(crate) rest: VecDeque<Arc<dyn File>>,
}

impl Files {
    fn get(&self, segment: usize) -> Option<&Arc<dyn File>> {
        match segment {
            0 => Some(&self.first),
            _ => self.rest.get(segment.checked_sub(self.second())?),
        }
    }

    fn second(&self) -> usize {
        self.resumes.unwrap_or(1)
    }

    pub(crate) fn last(&self) -> &Arc<dyn File> {
        self.rest.back().unwrap_or(&self.first)
    }
}

impl Shared {
    pub(crate) fn new(path: PathBuf, seed: u32, files: Files, end: Position) -> Self {
        Self { path, seed, files: RwLock::new(files), durable: AtomicU64::new(end.0) }
    }

    pub(crate) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn set_durable(&self, end: Position) {
        self.durable.store(end.0, Ordering::Release);
    }

    pub(crate) fn push(&self, file: Arc<dyn File>) {
        self.files.write().unwrap_or_else(PoisonError::into_inner).rest.push_back(file);
    }

    /// Lets go the segments between the first, which is now this file, and `second`.
    pub(crate) fn remove_before(&self, first: Arc<dyn File>, second: usize) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let gone = second.saturating_sub(files.second()).min(files.rest.len());
        files.rest.drain(..gone);
        (files.first, files.resumes) = (first, Some(second));
    }

    /// [`Files::resumes`].
    pub(crate) fn resumes(&self) -> Option<usize> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).resumes
    }

    fn file(&self, segment: usize) -> Option<Arc<dyn File>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).get(segment).cloned()
    }

    pub(crate) fn read(&self, position: Position) -> Result<Vec<u8>> {
        if position >= self.durable() {
            return Err(Error::NoRecord(position.0));
        }
        self.read_unsynced(position)
    }

    pub(crate) fn read_unsynced(&self, position: Position) -> Result<Vec<u8>> {
        let file = self.file(position.segment()).ok_or(Error::NoRecord(position.0))?;
        let mut window =
            Window::new(file, POINT_READ_BYTES).map_err(|e| self.failed(position, e))?;
        match self.find(&mut window, position)? {
            Found::Record { payload, .. } => Ok(payload.to_vec()),
            Found::Blank => Err(Error::NoRecord(position.0)),
            Found::Broken => Err(self.damaged(position)),
        }
    }

    /// The bytes of the first record, as they are stored.
    pub(crate) fn first_record(&self) -> Result<Vec<u8>> {
        let first = Position::FIRST;
        let payload = self.read(first)?;
        let size_bytes = record_bytes(u64::try_from(payload.len()).unwrap_or(u64::MAX));
        let mut bytes = vec![0; usize::try_from(size_bytes).unwrap_or(usize::MAX)];
        let file = self.file(first.segment()).ok_or(Error::NoRecord(first.0))?;
        file.read_at(&mut bytes, first.offset()).map_err(|e| self.failed(first, e))?;
        Ok(bytes)
    }

    fn find<'a>(&self, window: &'a mut Window, position: Position) -> Result<Found<'a>> {
        let segment = u32::try_from(position.segment()).unwrap_or(u32::MAX);
        if position.offset() < HEADER_BYTES {
            return Err(Error::NoRecord(position.0));
        }
        record_at(window, self.seed, segment, position.offset())
            .map_err(|e| self.failed(position, e))
    }

    fn failed(&self, position: Position, source: std::io::Error) -> Error {
        Error::io("read", self.path(position), source)
    }

    fn damaged(&self, position: Position) -> Error {
        Error::Damaged {
            path: self.path(position),
            offset: position.offset(),
            reason: "no record with a valid checksum starts here",
        }
    }

    fn path(&self, position: Position) -> PathBuf {
        let segment = u32::try_from(position.segment()).unwrap_or(u32::MAX);
        self.path.join(segment_name(segment))
    }
}

/// Reads durable records while the journal's owner appends. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Everything before this position is durable.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.shared.durable()
    }

    /// Reads the record at `position`.
    ///
    /// # Errors
    /// [`Error::NoRecord`] if no *durable* record starts there, [`Error::Damaged`] if it has
    /// changed since it was written.
    pub fn read(&self, position: Position) -> Result<Vec<u8>> {
        self.shared.read(position)
    }

    /// The durable records from the one at `position` on, in order.
    #[must_use]
    pub fn iter_from(&self, position: Position) -> Iter {
        Iter::new(Arc::clone(&self.shared), position)
    }

    /// Reads `length` bytes from the middle of a durable record, *without* its checksum, which
    /// covers the whole record: the caller has a check of its own, such as a hash.
    ///
    /// # Errors
    /// [`Error::NoRecord`] if that range is not durable.
    pub fn read_part(&self, part: Part, length: usize) -> Result<Vec<u8>> {
        let start = Position(part.0);
        let size = u64::try_from(length).unwrap_or(u64::MAX);
        if part.0.saturating_add(size) > self.shared.durable().0 {
            return Err(Error::NoRecord(part.0));
        }
        let file = self.shared.file(start.segment()).ok_or(Error::NoRecord(part.0))?;
        let mut bytes = vec![0; length];
        let read =
            file.read_at(&mut bytes, start.offset()).map_err(|e| self.shared.failed(start, e))?;
        if read == length { Ok(bytes) } else { Err(Error::NoRecord(part.0)) }
    }
}

/// Durable records in the order of appending; ends after the first error.
#[derive(Debug)]
pub struct Iter {
    shared: Arc<Shared>,
    next: Position,
    end: Position,
    window: Option<Window>,
}

impl Iter {
    fn new(shared: Arc<Shared>, from: Position) -> Self {
        let end = shared.durable();
        Self { shared, next: from, end, window: None }
    }

    fn step(&mut self) -> Result<Option<(Position, Vec<u8>)>> {
        while self.next < self.end {
            let position = self.next;
            let Some(window) = self.window.as_mut() else {
                let file =
                    self.shared.file(position.segment()).ok_or(Error::NoRecord(position.0))?;
                let opened = Window::new(file, SEQUENTIAL_READ_BYTES);
                self.window = Some(opened.map_err(|e| self.shared.failed(position, e))?);
                continue;
            };
            match self.shared.find(window, position)? {
                Found::Record { payload, next, .. } => {
                    let segment = u32::try_from(position.segment()).unwrap_or(u32::MAX);
                    self.next = Position::new(segment, next);
                    return Ok(Some((position, payload.to_vec())));
                }
                Found::Blank if position.segment() < self.end.segment() => {
                    let next = match position.segment() {
                        0 => self.shared.resumes().unwrap_or(1),
                        segment => segment.saturating_add(1),
                    };
                    let segment = u32::try_from(next).unwrap_or(u32::MAX);
                    self.next = Position::new(segment, HEADER_BYTES);
                    self.window = None;
                }
                Found::Blank | Found::Broken => return Err(self.shared.damaged(position)),
            }
        }
        Ok(None)
    }
}

impl Iterator for Iter {
    type Item = Result<(Position, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if matches!(item, Some(Err(_)) | None) {
            self.next = self.end;
        }
        item
    }
}
