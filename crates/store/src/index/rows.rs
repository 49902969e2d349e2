//! Entries by their place: 64 bytes each.
//!
//! ```text
//! digest 32 | receipt u64 | first u64 | promise u64 | children u16 | 0 u16 | crc32c u32
//! ```
//! Big-endian; the checksum is over the place and the bytes before it.

use std::io;
use std::sync::Arc;

use alloy_primitives::B256;
use vouch_core::log::merkle;
use vouch_core::receipt::entry_of;
use vouch_journal::{Disk, File, Part};

use super::{ROWS, invalid, open_created};
use crate::tree::length;

const ROW_BYTES: usize = 64;
/// Rows that are written at once.
const CHUNK_ROWS: usize = 4096;

/// An entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) digest: B256,
    /// Where its item is in the journal.
    pub(crate) receipt: Part,
    /// The first entry of its commit.
    pub(crate) first: u64,
    /// Where the promise of its commit is.
    pub(crate) promise: Part,
    /// How many of the entries that follow are uses of data in it.
    pub(crate) children: u16,
}

impl Row {
    pub(crate) fn leaf(&self) -> B256 {
        merkle::leaf_hash(&entry_of(&self.digest))
    }

    fn encode(&self, place: u64, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(self.digest.as_slice());
        for field in [self.receipt.0, self.first, self.promise.0] {
            to.extend_from_slice(&field.to_be_bytes());
        }
        to.extend_from_slice(&self.children.to_be_bytes());
        to.extend_from_slice(&[0, 0]);
        let checksum = checksum(place, to.get(start..).unwrap_or_default());
        to.extend_from_slice(&checksum.to_be_bytes());
    }

    fn decode(place: u64, bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if checksum(place, body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (digest, rest) = body.split_first_chunk::<32>()?;
        let (receipt, rest) = rest.split_first_chunk::<8>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (promise, rest) = rest.split_first_chunk::<8>()?;
        let (children, _) = rest.split_first_chunk::<2>()?;
        Some(Self {
            digest: digest.into(),
            receipt: Part(u64::from_be_bytes(*receipt)),
            first: u64::from_be_bytes(*first),
            promise: Part(u64::from_be_bytes(*promise)),
            children: u16::from_be_bytes(*children),
        })
    }
}

fn checksum(place: u64, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&place.to_be_bytes()), body)
}

/// The file of rows; none of an index of nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    file: Option<Arc<dyn File>>,
}

impl Rows {
    pub(super) fn open(disk: &dyn Disk, count: u64) -> io::Result<Self> {
        if count == 0 {
            return Ok(Self::default());
        }
        let file: Arc<dyn File> = disk.open(ROWS, false)?.into();
        if file.size()? < offset(count) {
            return Err(invalid("rows", "it is too short"));
        }
        Ok(Self { file: Some(file) })
    }

    pub(crate) fn read(&self, first: u64, count: u64) -> io::Result<Vec<Row>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut bytes = vec![0; count.saturating_mul(ROW_BYTES)];
        if file.read_at(&mut bytes, offset(first))? != bytes.len() {
            return Err(invalid("rows", "it is too short"));
        }
        let rows = (first..).zip(bytes.chunks_exact(ROW_BYTES)).map(|(place, bytes)| {
            Row::decode(place, bytes)
                .ok_or_else(|| invalid("rows", &format!("entry {place} fails its checksum")))
        });
        rows.collect()
    }

    /// Writes rows from `first` on, durably but for the file's name.
    pub(super) fn write(&self, disk: &dyn Disk, first: u64, rows: &[Row]) -> io::Result<Self> {
        let file = self.file.clone().map_or_else(|| open_created(disk, ROWS), Ok)?;
        let mut place = first;
        for chunk in rows.chunks(CHUNK_ROWS) {
            let mut bytes = Vec::with_capacity(chunk.len().saturating_mul(ROW_BYTES));
            (place..).zip(chunk).for_each(|(place, row)| row.encode(place, &mut bytes));
            file.write_all_at(&bytes, offset(place))?;
            place = place.saturating_add(length(chunk));
        }
        file.sync()?;
        Ok(Self { file: Some(file) })
    }
}

fn offset(place: u64) -> u64 {
    place.saturating_mul(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u64) -> Row {
        Row {
            digest: B256::repeat_byte(n.to_be_bytes()[7]),
            receipt: Part(n * 1000),
            first: n,
            promise: Part(n * 1000 + 7),
            children: 3,
        }
    }

    #[test]
    fn every_changed_bit_of_a_row_is_found() {
        let mut bytes = Vec::new();
        row(5).encode(5, &mut bytes);
        assert_eq!(bytes.len(), ROW_BYTES);
        assert_eq!(Row::decode(5, &bytes), Some(row(5)));
        assert_eq!(Row::decode(6, &bytes), None, "it is another entry's");
        for bit in 0..ROW_BYTES * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Row::decode(5, &flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn rows_come_back() {
        let disk = vouch_journal::testing::MemoryDisk::default();
        let rows: Vec<Row> = (0..10_000).map(row).collect();
        let written = Rows::default().write(&disk, 0, &rows[..6_000]).unwrap();
        let written = written.write(&disk, 6_000, &rows[6_000..]).unwrap();
        assert_eq!(written.read(0, 10_000).unwrap(), rows);
        let opened = Rows::open(&disk, 10_000).unwrap();
        assert_eq!(opened.read(5_990, 20).unwrap(), rows[5_990..6_010]);
        assert!(Rows::open(&disk, 10_001).is_err());
        assert!(opened.read(9_999, 2).is_err());
    }
}
