//! The bytes of a run. All integers are big-endian: entries are in order as their bytes are.
//!
//! ```text
//! run    = header, pages (4096 bytes each, as the header), fences, filter if it has one
//! header = crc32c u32 | "VOUCHRUN" | version u32 | tier u32 | filtered u32 (1 or 0)
//!        | count of entries u64 | newest index u64 | zeros
//! page   = crc32c u32 | count u16 | zeros [2] | up to 255 entries (key u64, index u64) | zeros
//! fences = the first key of each page u64 | crc32c u32
//! filter = blocks of 8 u64 | crc32c u32
//! ```
//! All pages but the last are full, so the header's count gives the place and size of everything;
//! a file of another size is refused before anything is allocated for it. A checksum starts from
//! the run's number and the place of what it covers: a stale or misplaced page does not pass.

use crate::Entry;
use crate::filter::{BITS_PER_KEY, BLOCK_BITS, BLOCK_WORDS};

pub(crate) const PAGE_BYTES: usize = 4096;
pub(crate) const PAGE_SIZE: u64 = 4096;
pub(crate) const PAGE_ENTRIES: usize = 255;
const PAGE_COUNT: u64 = 255;
const WORD_SIZE: u64 = 8;
pub(crate) const CHECKSUM_BYTES: usize = 4;
const CHECKSUM_SIZE: u64 = 4;
const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"VOUCHRUN";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) tier: u32,
    pub(crate) filtered: bool,
    pub(crate) count: u64,
    /// The highest place of all entries.
    pub(crate) newest: u64,
}

/// Where the parts of a run are, in bytes from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) pages: u64,
    pub(crate) fences_at: u64,
    /// Of the filter; 0 without one.
    pub(crate) blocks: u64,
    pub(crate) filter_at: u64,
    pub(crate) size_bytes: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(PAGE_BYTES);
        body.extend_from_slice(MAGIC);
        body.extend_from_slice(&VERSION.to_be_bytes());
        body.extend_from_slice(&self.tier.to_be_bytes());
        body.extend_from_slice(&u32::from(self.filtered).to_be_bytes());
        body.extend_from_slice(&self.count.to_be_bytes());
        body.extend_from_slice(&self.newest.to_be_bytes());
        body
    }

    /// `None` if these are not the bytes of a header of this version.
    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let (magic, rest) = body.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (tier, rest) = rest.split_first_chunk()?;
        let (filtered, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (newest, _) = rest.split_first_chunk()?;
        let filtered = match u32::from_be_bytes(*filtered) {
            0 => false,
            1 => true,
            _ => return None,
        };
        let known = magic == MAGIC && u32::from_be_bytes(*version) == VERSION;
        known.then_some(Self {
            tier: u32::from_be_bytes(*tier),
            filtered,
            count: u64::from_be_bytes(*count),
            newest: u64::from_be_bytes(*newest),
        })
    }

    /// `None` if no file has so many entries, or none.
    pub(crate) fn layout(&self) -> Option<Layout> {
        let pages = self.count.div_ceil(PAGE_COUNT);
        let fences_at = pages.checked_add(1)?.checked_mul(PAGE_SIZE)?;
        let fences = pages.checked_mul(WORD_SIZE)?.checked_add(CHECKSUM_SIZE)?;
        let filter_at = fences_at.checked_add(fences)?;
        let mut layout = Layout { pages, fences_at, blocks: 0, filter_at, size_bytes: filter_at };
        if self.filtered {
            layout.blocks = self.count.checked_mul(BITS_PER_KEY)?.div_ceil(BLOCK_BITS);
            let filter = layout.blocks.checked_mul(BLOCK_WORDS)?.checked_mul(WORD_SIZE)?;
            let filter = filter.checked_add(CHECKSUM_SIZE)?;
            layout.size_bytes = filter_at.checked_add(filter)?;
        }
        (self.count > 0).then_some(layout)
    }
}

impl Layout {
    /// Entries on a page, of a run that has `count` of them; pages count from 0.
    pub(crate) fn on_page(page: u64, count: u64) -> u64 {
        count.saturating_sub(page.saturating_mul(PAGE_COUNT)).min(PAGE_COUNT)
    }

    /// Where a page of entries is.
    pub(crate) fn page_at(page: u64) -> u64 {
        page.saturating_add(1).saturating_mul(PAGE_SIZE)
    }
}

impl Entry {
    pub(crate) fn encode(self) -> [u8; 16] {
        (u128::from(self.key) << 64 | u128::from(self.index)).to_be_bytes()
    }

    pub(crate) fn decode(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        let half = |half: u128| u64::try_from(half).unwrap_or_default();
        Self { key: half(both >> 64), index: half(both & u128::from(u64::MAX)) }
    }
}

/// The body of a page with these entries, up to its zeros.
pub(crate) fn encode_entries(entries: &[Entry]) -> Vec<u8> {
    let mut body = Vec::with_capacity(PAGE_BYTES);
    body.extend_from_slice(&u16::try_from(entries.len()).unwrap_or_default().to_be_bytes());
    body.extend_from_slice(&[0; 2]);
    entries.iter().for_each(|entry| body.extend_from_slice(&entry.encode()));
    body
}

/// The entries of a page, if it says that it has `count`.
pub(crate) fn decode_entries(body: &[u8], count: u64) -> Option<&[[u8; 16]]> {
    let (stored, rest) = body.split_first_chunk()?;
    let (entries, _) = rest.get(2..)?.as_chunks();
    (u64::from(u16::from_be_bytes(*stored)) == count).then_some(())?;
    entries.get(..usize::try_from(count).ok()?)
}

/// What the checksum of the bytes at `at` starts from.
pub(crate) fn checksum_start(number: u32, at: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_be_bytes()), &at.to_be_bytes())
}

/// The body of a page, checked: everything behind the checksum.
pub(crate) fn checked(page: &[u8], number: u32, at: u64) -> Option<&[u8]> {
    let (stored, body) = page.split_first_chunk()?;
    let checksum = crc32c::crc32c_append(checksum_start(number, at), body);
    (checksum == u32::from_be_bytes(*stored)).then_some(body)
}
