//! Reads records, and tells a clean end, a torn tail and damage from each other.

use std::io;
use std::sync::Arc;

use crate::Position;
use crate::file::File;
use crate::format::{ALIGN_BYTES, RECORD_HEADER_BYTES, RecordHeader, record_bytes};

/// A sequential view of a file.
#[derive(Debug)]
pub(crate) struct Window {
    file: Arc<dyn File>,
    size: u64,
    read_ahead: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(crate) fn new(file: Arc<dyn File>, read_ahead_bytes: usize) -> io::Result<Self> {
        let size = file.size()?;
        Ok(Self { file, size, read_ahead: read_ahead_bytes, start: 0, bytes: Vec::new() })
    }

    /// The `size` bytes at `offset`, fewer at the end of the file.
    fn get(&mut self, offset: u64, size: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let size = size.min(left);
        if self.cached(offset, size).is_none() {
            let want = size.max(self.read_ahead).min(left);
            self.bytes.resize(want, 0);
            self.start = offset;
            let got = self.file.read_at(&mut self.bytes, offset)?;
            self.bytes.truncate(got);
        }
        Ok(self.cached(offset, size).unwrap_or_default())
    }

    fn cached(&self, offset: u64, size: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(size)?)
    }

    /// One past the last byte that is not zero, at or after `offset`; `offset` if all are.
    pub(crate) fn nonzero_end(&mut self, offset: u64) -> io::Result<u64> {
        let (mut at, mut end) = (offset, offset);
        while at < self.size {
            let chunk = self.get(at, 1 << 16)?;
            if chunk.is_empty() {
                break;
            }
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
                end = at.saturating_add(u64::try_from(last).unwrap_or(u64::MAX)).saturating_add(1);
            }
            at = at.saturating_add(length);
        }
        Ok(end)
    }
}

/// What stands at an offset.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Record {
        payload: &'a [u8],
        next: u64,
    },
    /// Zeros, or the end of the file.
    Blank,
    Broken,
}

/// Reads the record at `offset`.
pub(crate) fn record_at(
    window: &mut Window,
    seed: u32,
    segment: u32,
    offset: u64,
) -> io::Result<Found<'_>> {
    let head = window.get(offset, RECORD_HEADER_BYTES)?;
    if head.iter().all(|byte| *byte == 0) {
        return Ok(Found::Blank);
    }
    let Some(header) = RecordHeader::decode(head) else { return Ok(Found::Broken) };
    let length = u64::from(header.length);
    let next = offset.saturating_add(record_bytes(length));
    if length == 0 || next > window.size {
        return Ok(Found::Broken);
    }
    let total = usize::try_from(record_bytes(length)).unwrap_or(usize::MAX);
    let body = window.get(offset, total)?.get(RECORD_HEADER_BYTES..).unwrap_or_default();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (payload, padding) = body.split_at_checked(length).unwrap_or_default();
    // A write of this journal has left the padding zero; what has changed it may have changed more.
    if padding.iter().any(|byte| *byte != 0)
        || !header.matches(seed, Position::new(segment, offset), payload)
    {
        return Ok(Found::Broken);
    }
    Ok(Found::Record { payload, next })
}

/// What a segment holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Where the valid records end.
    pub(crate) end: u64,
    pub(crate) records: u64,
    /// Bytes of a torn tail behind `end`; 0 if it ends cleanly.
    pub(crate) torn_bytes: u64,
    /// Set if durable bytes have changed: where, and how that is known.
    pub(crate) damage: Option<(u64, &'static str)>,
}

/// Reads a segment from a record on. Only the last segment may have a torn tail: the others were synced
/// before their successor was created.
pub(crate) fn scan(
    file: Arc<dyn File>,
    seed: u32,
    segment: u32,
    last: bool,
    from: u64,
) -> io::Result<Scanned> {
    let mut window = Window::new(file, 1 << 18)?;
    let (mut end, mut records) = (from, 0_u64);
    while let Found::Record { next, .. } = record_at(&mut window, seed, segment, end)? {
        end = next;
        records = records.saturating_add(1);
    }
    let torn_bytes = window.nonzero_end(end)?.saturating_sub(end);
    let damage = match (torn_bytes, last) {
        (0, _) => None,
        (_, false) => Some((end, "a record of a finished segment fails its checksum")),
        (_, true) => later_record(&mut window, seed, segment, end)?
            .then_some((end, "a record fails its checksum and records written later follow it")),
    };
    Ok(Scanned { end, records, torn_bytes, damage })
}

/// Whether a valid record behind `broken` was appended after `broken` had been synced.
fn later_record(window: &mut Window, seed: u32, segment: u32, broken: u64) -> io::Result<bool> {
    let synced = Position::new(segment, broken).0.saturating_add(1);
    Ok(next_record(window, seed, segment, broken, synced)?.is_some())
}

/// Where the first valid record behind `broken` starts whose `durable` is at least `durable`.
pub(crate) fn next_record(
    window: &mut Window,
    seed: u32,
    segment: u32,
    broken: u64,
    durable: u64,
) -> io::Result<Option<u64>> {
    let stop = window.nonzero_end(broken)?;
    let mut offset = broken.saturating_add(ALIGN_BYTES);
    while offset < stop {
        // The cheap comparison first: nearly every offset fails it.
        let plausible =
            RecordHeader::decode(window.get(offset, RECORD_HEADER_BYTES)?).is_some_and(|header| {
                (durable..=Position::new(segment, offset).0).contains(&header.durable)
            });
        if plausible && matches!(record_at(window, seed, segment, offset)?, Found::Record { .. }) {
            return Ok(Some(offset));
        }
        offset = offset.saturating_add(ALIGN_BYTES);
    }
    Ok(None)
}
