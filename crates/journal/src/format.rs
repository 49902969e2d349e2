//! The bytes on disk. All integers are little-endian.
//!
//! ```text
//! segment  = header (64 bytes), records, zeros to the end of the file
//! header   = "VOUCHJNL" | version u32 | segment u32 | journal id [16] | previous end u64
//!          | resumes u32 | zeros [16] | crc32c u32 of all before
//! record   = length u32 | crc32c u32 | durable u64 | payload | zeros to a multiple of 8
//! ```
//! The checksum of a record starts from the journal's id and covers position, length, `durable`
//! and payload: a stale or misplaced block, or bytes a stranger put into a payload, do not pass.
//!
//! `durable` is where the last sync had ended when the record was appended. It tells a torn tail
//! from damage: a crash may leave later records of the *same* unsynced batch behind a broken one
//! (their `durable` lies before the break), but a record appended after the broken place was
//! synced (its `durable` lies beyond) proves that durable bytes have changed.
//!
//! Once a journal's beginning was removed on purpose its first segment has format 2: only the first
//! record is left in it, and `resumes` tells which segment follows. Else that is 0.

use crate::Position;

pub(crate) const VERSION: u32 = 2;
/// Of a segment that is followed by the next one.
const VERSION_WHOLE: u32 = 1;
pub(crate) const HEADER_BYTES: u64 = 64;
pub(crate) const RECORD_HEADER_BYTES: usize = 16;
pub(crate) const ALIGN_BYTES: u64 = 8;
const MAGIC: &[u8; 8] = b"VOUCHJNL";

/// A journal's random name: its segments belong together, its checksums start from it.
pub(crate) type Id = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) segment: u32,
    pub(crate) id: Id,
    /// Where the segment before ended; 0 in the first.
    pub(crate) previous_end: u64,
    /// Of a first segment without all that came before this one.
    pub(crate) resumes: Option<u32>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Invalid,
    Newer(u32),
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(MAGIC);
        let version = if self.resumes.is_some() { VERSION } else { VERSION_WHOLE };
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.previous_end.to_le_bytes());
        bytes.extend_from_slice(&self.resumes.unwrap_or_default().to_le_bytes());
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        Self::parse(bytes).unwrap_or(Err(HeaderError::Invalid))
    }

    fn parse(bytes: &[u8]) -> Option<Result<Self, HeaderError>> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (segment, rest) = rest.split_first_chunk::<4>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (previous_end, rest) = rest.split_first_chunk::<8>()?;
        let (resumes, rest) = rest.split_first_chunk::<4>()?;
        let (_, rest) = rest.split_first_chunk::<16>()?;
        let (crc, _) = rest.split_first_chunk::<4>()?;
        if magic != MAGIC || crc32c::crc32c(bytes.get(..60)?) != u32::from_le_bytes(*crc) {
            return None;
        }
        let version = u32::from_le_bytes(*version);
        if version > VERSION {
            return Some(Err(HeaderError::Newer(version)));
        }
        Some(Ok(Self {
            segment: u32::from_le_bytes(*segment),
            id: *id,
            previous_end: u64::from_le_bytes(*previous_end),
            resumes: Some(u32::from_le_bytes(*resumes)).filter(|resumes| *resumes > 0),
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) length: u32,
    pub(crate) crc: u32,
    pub(crate) durable: u64,
}

impl RecordHeader {
    pub(crate) fn new(
        seed: u32,
        position: Position,
        durable: u64,
        length: u32,
        payload: &[u8],
    ) -> Self {
        Self { length, durable, crc: checksum(seed, position, durable, length, payload) }
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.durable.to_le_bytes());
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let (durable, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            length: u32::from_le_bytes(*length),
            crc: u32::from_le_bytes(*crc),
            durable: u64::from_le_bytes(*durable),
        })
    }

    pub(crate) fn matches(self, seed: u32, position: Position, payload: &[u8]) -> bool {
        self.crc == checksum(seed, position, self.durable, self.length, payload)
    }
}

fn checksum(seed: u32, position: Position, durable: u64, length: u32, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(seed, &position.0.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &durable.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &length.to_le_bytes());
    crc32c::crc32c_append(crc, payload)
}

/// Bytes a record with this payload takes, padding included.
pub(crate) fn record_bytes(payload_bytes: u64) -> u64 {
    payload_bytes.saturating_add(16).next_multiple_of(ALIGN_BYTES)
}

pub(crate) fn segment_name(segment: u32) -> String {
    format!("journal-{segment:08}.log")
}

pub(crate) fn parse_segment_name(name: &str) -> Option<u32> {
    name.strip_prefix("journal-")?.strip_suffix(".log")?.parse().ok()
}
