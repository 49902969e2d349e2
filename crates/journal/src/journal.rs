//! The writing side.

use std::path::Path;
use std::sync::Arc;

use crate::Position;
use crate::error::{Error, Result};
use crate::file::{Directory, Disk, File, replace};
use crate::format::{HEADER_BYTES, Header, Id, RecordHeader, record_bytes, segment_name};
use crate::read::{Iter, Reader, Shared};
use crate::recover::{Recovered, Recovery, recover};

/// How a journal lays out its files. Both may differ from one opening to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Size at which the next segment file is begun, 4 KiB to 2 GiB; also bounds a record.
    pub segment_bytes: u64,
    /// How far ahead a file is filled with zeros, so that most syncs change no file metadata.
    pub preallocate_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 256 << 20, preallocate_bytes: 4 << 20 }
    }
}

/// The last record of a journal that somebody has a view of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// [`Journal::id`].
    pub journal: [u8; 16],
    /// Where the record starts.
    pub record: Position,
}

/// Appended bytes are handed to the system at this size even without a sync, to bound memory.
const FLUSH_BYTES: usize = 8 << 20;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// An open journal; see the crate's page.
#[derive(Debug)]
pub struct Journal {
    disk: Box<dyn Disk>,
    shared: Arc<Shared>,
    options: Options,
    id: Id,
    segment: u32,
    file: Arc<dyn File>,
    /// Handed to the system so far, in this segment.
    written: u64,
    /// The file's size; zeros from `written` on.
    allocated: u64,
    /// Encoded records that follow `written`.
    buffer: Vec<u8>,
    poison: Option<Arc<str>>,
}

impl Journal {
    /// Opens the journal in `dir`, creating both if needed, and checks every record.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it, [`Error::Damaged`] if durable bytes have
    /// changed, [`Error::Newer`], [`Error::Options`], [`Error::Full`] or [`Error::Io`].
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Recovery)> {
        Self::open_on(Box::new(Directory::open(dir)?), options)
    }

    /// As [`Journal::open`], on any disk.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on(disk: Box<dyn Disk>, options: Options) -> Result<(Self, Recovery)> {
        Self::open_known(disk, options, None)
    }

    /// As [`Journal::open_on`], where the caller has a view of all records up to one of them, made
    /// when they were durable: that record and those behind it are checked, and those before it
    /// when they are read. What is known of another journal ([`Journal::id`]) counts for nothing.
    ///
    /// # Errors
    /// As [`Journal::open`]; [`Error::Damaged`] also if the known record is not there any more.
    pub fn open_known(
        disk: Box<dyn Disk>,
        options: Options,
        known: Option<Known>,
    ) -> Result<(Self, Recovery)> {
        if !(4096..=1 << 31).contains(&options.segment_bytes) {
            return Err(Error::Options { segment_bytes: options.segment_bytes });
        }
        let Recovered { files, id, seed, end, allocated, report } = recover(disk.as_ref(), known)?;
        let path = disk.path().to_owned();
        let file = Arc::clone(files.last());
        let segment = u32::try_from(end.segment()).unwrap_or(u32::MAX);
        if report.truncated_bytes > 0 {
            tracing::warn!(path = %path.display(), bytes = report.truncated_bytes, "cut a torn journal tail");
        }
        let journal = Self {
            disk,
            shared: Arc::new(Shared::new(path, seed, files, end)),
            options,
            id,
            segment,
            file,
            written: end.offset(),
            allocated,
            buffer: Vec::new(),
            poison: None,
        };
        Ok((journal, report))
    }

    /// Appends a record, in memory. It is durable after the next [`Journal::sync`] only, though a
    /// crash may keep it.
    ///
    /// # Errors
    /// [`Error::RecordSize`] (nothing has changed), else the journal is poisoned.
    pub fn append(&mut self, record: &[u8]) -> Result<Position> {
        self.check()?;
        let max_bytes = self.options.segment_bytes.saturating_sub(HEADER_BYTES).saturating_sub(16);
        let size_bytes = u64::try_from(record.len()).unwrap_or(u64::MAX);
        let length = match u32::try_from(size_bytes) {
            Ok(length) if length > 0 && size_bytes <= max_bytes => length,
            _ => return Err(Error::RecordSize { size_bytes, max_bytes }),
        };
        let total = record_bytes(size_bytes);
        if self.end().offset().saturating_add(total) > self.options.segment_bytes
            && self.end().offset() > HEADER_BYTES
        {
            self.rotate()?;
        }
        let position = self.end();
        let durable = self.durable().0;
        let padded = self.buffer.len().saturating_add(usize::try_from(total).unwrap_or(usize::MAX));
        RecordHeader::new(self.shared.seed, position, durable, length, record)
            .encode(&mut self.buffer);
        self.buffer.extend_from_slice(record);
        self.buffer.resize(padded, 0);
        if self.buffer.len() >= FLUSH_BYTES {
            self.flush()?;
        }
        Ok(position)
    }

    /// Makes everything appended before durable: the point of group commit. Returns at once if
    /// there is nothing new.
    ///
    /// # Errors
    /// Those of the disk; what was appended since the last sync is then neither acknowledged nor
    /// certainly lost, and the journal is poisoned.
    pub fn sync(&mut self) -> Result<()> {
        self.check()?;
        if self.end() == self.durable() {
            return Ok(());
        }
        self.flush()?;
        let synced = self.file.sync();
        self.noting("sync", synced)?;
        self.shared.set_durable(self.end());
        Ok(())
    }

    /// Reads a record of this journal, durable or not. Works on a poisoned journal too, for what
    /// was synced.
    ///
    /// # Errors
    /// [`Error::NoRecord`] if none starts there, [`Error::Damaged`] if it has changed since.
    pub fn read(&self, position: Position) -> Result<Vec<u8>> {
        if position < self.durable() {
            return self.shared.read(position);
        }
        self.check()?;
        match position.offset().checked_sub(self.written) {
            _ if position >= self.end() => Err(Error::NoRecord(position.0)),
            None => self.shared.read_unsynced(position),
            Some(start) => self.read_buffered(start).ok_or(Error::NoRecord(position.0)),
        }
    }

    fn read_buffered(&self, start: u64) -> Option<Vec<u8>> {
        let bytes = self.buffer.get(usize::try_from(start).ok()?..)?;
        let length = usize::try_from(RecordHeader::decode(bytes)?.length).ok()?;
        Some(bytes.get(16..)?.get(..length)?.to_vec())
    }

    /// All durable records from the first, in order: replay.
    #[must_use]
    pub fn iter(&self) -> Iter {
        self.reader().iter_from(Position::FIRST)
    }

    /// A handle that reads durable records from other threads while this one appends.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Drawn at random when the journal was made.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    /// Where the next record will start, unless it begins a new segment.
    #[must_use]
    pub fn end(&self) -> Position {
        let buffered = u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        Position::new(self.segment, self.written.saturating_add(buffered))
    }

    /// Everything before this position is durable.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.shared.durable()
    }

    /// Where records go on after the first one, if those in between were removed.
    #[must_use]
    pub fn resumes(&self) -> Option<Position> {
        let segment = u32::try_from(self.shared.resumes()?).unwrap_or(u32::MAX);
        Some(Position::new(segment, HEADER_BYTES))
    }

    /// Removes what comes before a durable record, by whole segments, all but the journal's first
    /// record: what that is can then still be told, and what was lost by accident from what was
    /// removed. It is gone for good; a crash in between is made up for by the next opening.
    ///
    /// # Errors
    /// [`Error::NoRecord`] if the position is not durable; those of the disk, after which the
    /// journal goes on with what it has.
    pub fn remove_before(&mut self, position: Position) -> Result<()> {
        self.check()?;
        if position > self.durable() {
            return Err(Error::NoRecord(position.0));
        }
        let (resumes, to) = (self.shared.resumes(), position.segment());
        if to == 0 || resumes.is_some_and(|resumes| to <= resumes) {
            return Ok(());
        }
        let first = self.cut_first(to)?;
        self.shared.remove_before(first, to);
        let failed = |source| Error::io("remove segments of", self.shared.path.clone(), source);
        for segment in resumes.unwrap_or(1)..to {
            let name = segment_name(u32::try_from(segment).unwrap_or(u32::MAX));
            self.disk.remove(&name).map_err(failed)?;
        }
        self.disk.sync().map_err(failed)
    }

    /// Puts a first segment in the place of the one there is that has the first record alone and
    /// says where the journal goes on.
    fn cut_first(&self, resumes: usize) -> Result<Arc<dyn File>> {
        let record = self.shared.first_record()?;
        let resumes = u32::try_from(resumes).ok();
        let header = Header { segment: 0, id: self.id, previous_end: 0, resumes };
        let bytes = [header.encode(), record].concat();
        let name = segment_name(0);
        let replaced =
            replace(self.disk.as_ref(), &name, &bytes).and_then(|()| self.disk.open(&name, false));
        let path = self.shared.path.join(&name);
        replaced.map(Into::into).map_err(|source| Error::io("cut", path, source))
    }

    fn check(&self) -> Result<()> {
        match &self.poison {
            Some(cause) => Err(Error::Poisoned { cause: Arc::clone(cause) }),
            None => Ok(()),
        }
    }

    /// Passes an answer of the disk on; a failure poisons.
    fn noting<T>(&mut self, action: &'static str, answer: std::io::Result<T>) -> Result<T> {
        answer.map_err(|source| {
            let path = self.shared.path.join(segment_name(self.segment));
            let error = Error::io(action, path, source);
            self.poison = Some(error.to_string().into());
            error
        })
    }

    /// Hands the buffer to the system, extending the file with zeros first: if the disk is full,
    /// no part of a record has been written.
    fn flush(&mut self) -> Result<()> {
        let end = self.end().offset();
        if end > self.allocated {
            let ahead = self.options.preallocate_bytes.max(1);
            let target = end.next_multiple_of(ahead).min(self.options.segment_bytes).max(end);
            let filled = fill(self.file.as_ref(), self.allocated, target);
            self.noting("extend", filled)?;
            self.allocated = target;
        }
        let written = self.file.write_all_at(&self.buffer, self.written);
        self.noting("write", written)?;
        self.written = end;
        self.buffer.clear();
        Ok(())
    }

    /// Finishes this segment, durable to its end, and begins the next: what comes before can then
    /// be removed by itself.
    ///
    /// # Errors
    /// As [`Journal::sync`].
    pub fn begin_segment(&mut self) -> Result<()> {
        self.check()?;
        self.rotate()
    }

    fn rotate(&mut self) -> Result<()> {
        self.sync()?;
        let Some(next) = self.segment.checked_add(1) else {
            return self.noting("extend", Err(std::io::ErrorKind::FileTooLarge.into()));
        };
        let previous_end = self.end().0;
        let header = Header { segment: next, id: self.id, previous_end, resumes: None };
        let created = create_segment(self.disk.as_ref(), &header);
        let file = self.noting("create the successor of", created)?;
        self.shared.push(Arc::clone(&file));
        self.file = file;
        self.segment = next;
        self.written = HEADER_BYTES;
        self.allocated = HEADER_BYTES;
        self.shared.set_durable(self.end());
        Ok(())
    }
}

/// Creates a segment file, header and name durable before any record goes into it.
pub(crate) fn create_segment(disk: &dyn Disk, header: &Header) -> std::io::Result<Arc<dyn File>> {
    let file: Arc<dyn File> = disk.open(&segment_name(header.segment), true)?.into();
    file.set_size(0)?;
    file.write_all_at(&header.encode(), 0)?;
    file.sync()?;
    disk.sync()?;
    Ok(file)
}

fn fill(file: &dyn File, from: u64, to: u64) -> std::io::Result<()> {
    let mut at = from;
    while at < to {
        let size = usize::try_from(to.saturating_sub(at)).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(ZEROS.get(..size).unwrap_or_default(), at)?;
        at = at.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
    }
    Ok(())
}
