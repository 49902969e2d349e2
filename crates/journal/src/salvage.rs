//! What a damaged journal still holds.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Position;
use crate::error::{Error, Result};
use crate::file::{Disk, File};
use crate::format::{HEADER_BYTES, Header, parse_segment_name, segment_name};
use crate::scan::{Found, Window, next_record, record_at};

/// Bytes of a journal that were durable and cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The file.
    pub path: PathBuf,
    /// The first byte; records before it are whole.
    pub from: u64,
    /// One past the last byte.
    pub to: u64,
    /// What was found there.
    pub reason: &'static str,
}

/// Gives `each` every record that passes its checksum, in order, and returns what lies between
/// them that does not. A torn tail, which was never acknowledged, is neither. Nothing is changed.
///
/// # Errors
/// [`Error::Io`], or that of `each`.
pub fn salvage(
    disk: &dyn Disk,
    each: &mut dyn FnMut(Position, &[u8]) -> Result<()>,
) -> Result<Vec<Lost>> {
    let names = disk.list("").map_err(|e| Error::io("list", disk.path().to_owned(), e))?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    numbers.sort_unstable();
    let Some(last) = numbers.last().copied() else { return Ok(Vec::new()) };
    let open = |number: u32| Segment::open(disk, number);
    let segments = numbers.into_iter().map(open).collect::<Result<Vec<_>>>()?;
    let Some(seed) = segments.iter().find_map(|found| Some(crc32c::crc32c(&found.header?.id)))
    else {
        return Ok(segments.into_iter().filter_map(Segment::all_lost).collect());
    };
    let mut lost = Vec::new();
    let (mut expected, mut end) = (0_u32, Position::new(0, 0));
    // What was to be removed is not missed, and not read where it is still there.
    let first = segments.first().filter(|first| first.number == 0);
    let resumes = first.and_then(|first| first.header?.resumes);
    for segment in segments {
        if resumes.is_some_and(|resumes| (1..resumes).contains(&segment.number)) {
            continue;
        }
        for number in expected..segment.number {
            lost.push(missing(disk, number));
        }
        if resumes != Some(segment.number) {
            lost.extend(segment.lost_before(disk, end));
        }
        let next = resumes.filter(|_| segment.number == 0);
        expected = next.unwrap_or(segment.number.saturating_add(1));
        let path = segment.path.clone();
        let last = segment.number == last;
        end = segment.read(seed, last, each, &mut lost).map_err(|error| match error {
            Failed::Disk(source) => Error::io("read", path, source),
            Failed::Each(error) => error,
        })?;
    }
    if let Some(resumes) = resumes.filter(|resumes| *resumes == expected) {
        lost.push(missing(disk, resumes));
    }
    Ok(lost)
}

fn missing(disk: &dyn Disk, number: u32) -> Lost {
    let path = disk.path().join(segment_name(number));
    Lost { path, from: 0, to: 0, reason: "the file is missing" }
}

struct Segment {
    number: u32,
    path: PathBuf,
    file: Arc<dyn File>,
    size: u64,
    /// As it is, or as it was before one bit of it changed: its checksum tells which bit.
    header: Option<Header>,
    header_changed: bool,
}

enum Failed {
    Disk(io::Error),
    Each(Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// The header of which one bit has changed.
fn mended(bytes: [u8; 64]) -> Option<Header> {
    let flip = |(at, bit): (usize, u32)| {
        let mut bytes = bytes;
        *bytes.get_mut(at)? ^= 1_u8.wrapping_shl(bit);
        Header::decode(&bytes).ok()
    };
    (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))).find_map(flip)
}

impl Segment {
    fn open(disk: &dyn Disk, number: u32) -> Result<Self> {
        let name = segment_name(number);
        let path = disk.path().join(&name);
        let read = || -> io::Result<(Arc<dyn File>, u64, [u8; 64])> {
            let file: Arc<dyn File> = disk.open(&name, false)?.into();
            let mut bytes = [0_u8; 64];
            file.read_at(&mut bytes, 0)?;
            Ok((Arc::clone(&file), file.size()?, bytes))
        };
        let (file, size, bytes) = read().map_err(|e| Error::io("read", path.clone(), e))?;
        let sound = Header::decode(&bytes).ok();
        let header = sound.or_else(|| mended(bytes));
        Ok(Self { number, path, file, size, header, header_changed: sound.is_none() })
    }

    /// Without a header of the journal no checksum can be computed.
    fn all_lost(self) -> Option<Lost> {
        let reason = "no header of the journal is left to check records with";
        let Self { path, size: to, .. } = self;
        (to > HEADER_BYTES).then_some(Lost { path, from: 0, to, reason })
    }

    /// What this segment's header says was in the one before, which now ends at `end`.
    fn lost_before(&self, disk: &dyn Disk, end: Position) -> Option<Lost> {
        let previous = Position(self.header?.previous_end);
        let number = u32::try_from(end.segment()).unwrap_or(u32::MAX);
        let lost = previous > end && previous.segment() == end.segment();
        lost.then(|| Lost {
            path: disk.path().join(segment_name(number)),
            from: end.offset(),
            to: previous.offset(),
            reason: "records at its end are missing",
        })
    }

    /// Returns where the readable part ends.
    fn read(
        self,
        seed: u32,
        last: bool,
        each: &mut dyn FnMut(Position, &[u8]) -> Result<()>,
        lost: &mut Vec<Lost>,
    ) -> Result<Position, Failed> {
        let mut gap = |from, to, reason| {
            lost.push(Lost { path: self.path.clone(), from, to, reason });
        };
        if self.header_changed && self.size > HEADER_BYTES {
            gap(0, HEADER_BYTES, "its header fails its checksum");
        }
        let mut window = Window::new(Arc::clone(&self.file), 1 << 18)?;
        let mut offset = HEADER_BYTES;
        loop {
            if let Found::Record { payload, next } =
                record_at(&mut window, seed, self.number, offset)?
            {
                each(Position::new(self.number, offset), payload).map_err(Failed::Each)?;
                offset = next;
                continue;
            }
            let end = window.nonzero_end(offset)?;
            let synced = Position::new(self.number, offset).0.saturating_add(1);
            if end == offset
                || (last && next_record(&mut window, seed, self.number, offset, synced)?.is_none())
            {
                return Ok(Position::new(self.number, offset));
            }
            let next = next_record(&mut window, seed, self.number, offset, HEADER_BYTES)?;
            gap(offset, next.unwrap_or(end), "no record here passes its checksum");
            let Some(next) = next else { return Ok(Position::new(self.number, end)) };
            offset = next;
        }
    }
}
