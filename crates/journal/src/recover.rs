//! Opening: which files belong, where the last one ends, what must be cut or refused.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Position;
use crate::error::{Error, Result};
use crate::file::{Disk, File};
use crate::format::{
    HEADER_BYTES, Header, HeaderError, Id, VERSION, parse_segment_name, segment_name,
};
use crate::journal::{Known, create_segment};
use crate::read::Files;
use crate::scan::scan;

/// What opening found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Bytes of a torn tail that were cut: a crash came between a write and its sync, or during
    /// it. Nothing in them was ever acknowledged.
    pub truncated_bytes: u64,
    /// Records that were checked: all there are, but for those before a known one.
    pub records: u64,
    /// Segment files there are now.
    pub segments: u32,
}

#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) files: Files,
    pub(crate) id: Id,
    pub(crate) seed: u32,
    pub(crate) end: Position,
    pub(crate) allocated: u64,
    pub(crate) report: Recovery,
}

#[derive(Debug)]
struct Segment {
    number: u32,
    file: Arc<dyn File>,
    header: Header,
}

pub(crate) fn recover(disk: &dyn Disk, known: Option<Known>) -> Result<Recovered> {
    let Loaded { mut segments, removed } = load(disk)?;
    if segments.is_empty() {
        segments.push(create_first(disk)?);
    }
    let first = segments.first().map(|first| first.header);
    let id = first.map(|first| first.id).unwrap_or_default();
    let resumes = first.and_then(|first| first.resumes);
    let seed = crc32c::crc32c(&id);
    let known = known.filter(|known| known.journal == id);
    let known = known.map(|known| known.record);
    let from = known.unwrap_or(Position::FIRST);
    let mut report = Recovery::default();
    let mut end = Position::new(0, 0);
    let last = segments.last().map(|last| last.number).unwrap_or_default();
    for (segment, next) in segments.iter().zip(segments.iter().skip(1).map(Some).chain([None])) {
        let number = segment.number;
        if segment.header.id != id || segment.header.segment != number {
            return Err(damaged(disk, number, 0, "its header belongs to another journal or place"));
        }
        let previous = Position(segment.header.previous_end);
        let follows = match resumes {
            // What came between was removed.
            Some(resumes) if resumes == number => {
                Some(previous.segment())
                    == usize::try_from(number).ok().and_then(|n| n.checked_sub(1))
            }
            _ => previous == end,
        };
        if !follows {
            return Err(damaged(
                disk,
                number,
                0,
                "records at the end of the file before it are missing",
            ));
        }
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        report.segments = report.segments.saturating_add(1);
        if let Some(next) = next.filter(|_| place < from.segment()) {
            end = Position(next.header.previous_end);
            continue;
        }
        let offset = if place == from.segment() { from.offset() } else { HEADER_BYTES };
        let scanned = scan(Arc::clone(&segment.file), seed, number, number == last, offset)
            .map_err(|e| failed(disk, "read", number, e))?;
        if let Some((offset, reason)) = scanned.damage {
            return Err(damaged(disk, number, offset, reason));
        }
        end = Position::new(number, scanned.end);
        report.records = report.records.saturating_add(scanned.records);
        report.truncated_bytes = scanned.torn_bytes;
    }
    if let Some(known) = known.filter(|known| end <= *known) {
        let number = u32::try_from(known.segment()).unwrap_or(u32::MAX);
        return Err(damaged(disk, number, known.offset(), "a record that was read before is gone"));
    }
    let mut files: VecDeque<_> = segments.into_iter().map(|segment| segment.file).collect();
    let first = files.pop_front().ok_or(Error::NoRecord(0))?;
    let resumes = resumes.and_then(|resumes| usize::try_from(resumes).ok());
    let files = Files { first, resumes, rest: files };
    let allocated = finish(disk, files.last().as_ref(), end, report.truncated_bytes, &removed)?;
    Ok(Recovered { files, id, seed, end, allocated, report })
}

/// Cuts the torn tail, and syncs what was only in the system's cache before it is called durable.
/// A tail must go entirely: what is left could look valid behind shorter records written later.
/// Ends, too, the removal of segments in which the process before was stopped.
fn finish(
    disk: &dyn Disk,
    file: &dyn File,
    end: Position,
    torn_bytes: u64,
    removed: &[u32],
) -> Result<u64> {
    let number = u32::try_from(end.segment()).unwrap_or(u32::MAX);
    for number in removed {
        disk.remove(&segment_name(*number)).map_err(|e| failed(disk, "remove", *number, e))?;
    }
    if torn_bytes > 0 {
        file.set_size(end.offset()).map_err(|e| failed(disk, "cut the torn tail of", number, e))?;
    }
    file.sync().map_err(|e| failed(disk, "sync", number, e))?;
    // The process before may have been killed between creating this file and making its name durable.
    disk.sync().map_err(|e| failed(disk, "sync the directory of", number, e))?;
    file.size().map_err(|e| failed(disk, "read", number, e))
}

fn create_first(disk: &dyn Disk) -> Result<Segment> {
    let mut id = Id::default();
    getrandom::fill(&mut id)
        .map_err(|e| failed(disk, "name", 0, std::io::Error::other(e.to_string())))?;
    let header = Header { segment: 0, id, previous_end: 0, resumes: None };
    let file = create_segment(disk, &header).map_err(|e| failed(disk, "create", 0, e))?;
    Ok(Segment { number: 0, file, header })
}

struct Loaded {
    segments: Vec<Segment>,
    /// Segments that are still there of those that were to be removed.
    removed: Vec<u32>,
}

/// Opens every segment file. A last one whose header never became durable holds no record and is
/// removed: the crash came while it was created.
fn load(disk: &dyn Disk) -> Result<Loaded> {
    let names = disk.list("").map_err(|e| Error::io("list", disk.path().to_owned(), e))?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    numbers.sort_unstable();
    let (mut segments, mut removed) = (Vec::with_capacity(numbers.len()), Vec::new());
    let (mut expected, mut resumes) = (0_u32, None);
    for number in numbers.iter().copied() {
        if resumes.is_some_and(|resumes| (1..resumes).contains(&number)) {
            removed.push(number);
            continue;
        }
        if expected != number {
            return Err(damaged(disk, expected, 0, "the file is missing"));
        }
        let file: Arc<dyn File> = disk
            .open(&segment_name(number), false)
            .map_err(|e| failed(disk, "open", number, e))?
            .into();
        let mut bytes = [0_u8; 64];
        let read = file.read_at(&mut bytes, 0).map_err(|e| failed(disk, "read", number, e))?;
        let size = file.size().map_err(|e| failed(disk, "read", number, e))?;
        match Header::decode(bytes.get(..read).unwrap_or_default()) {
            Ok(header) => {
                if number == 0 {
                    resumes = header.resumes;
                }
                let next = resumes.filter(|_| number == 0);
                expected = next.unwrap_or(number.saturating_add(1));
                segments.push(Segment { number, file, header });
            }
            Err(HeaderError::Newer(found)) => {
                let path = disk.path().join(segment_name(number));
                return Err(Error::Newer { path, found, supported: VERSION });
            }
            Err(HeaderError::Invalid)
                if size <= HEADER_BYTES
                    && numbers.last() == Some(&number)
                    && resumes != Some(number) =>
            {
                remove(disk, number).map_err(|e| failed(disk, "remove", number, e))?;
            }
            Err(HeaderError::Invalid) => {
                return Err(damaged(disk, number, 0, "its header fails its checksum"));
            }
        }
    }
    if let Some(resumes) = resumes.filter(|resumes| expected == *resumes) {
        return Err(damaged(disk, resumes, 0, "the file is missing"));
    }
    Ok(Loaded { segments, removed })
}

fn remove(disk: &dyn Disk, number: u32) -> std::io::Result<()> {
    disk.remove(&segment_name(number))?;
    disk.sync()
}

fn failed(disk: &dyn Disk, action: &'static str, number: u32, source: std::io::Error) -> Error {
    Error::io(action, disk.path().join(segment_name(number)), source)
}

fn damaged(disk: &dyn Disk, number: u32, offset: u64, reason: &'static str) -> Error {
    Error::Damaged { path: disk.path().join(segment_name(number)), offset, reason }
}
