//! Blocks by number: where each is, and what is asked of many at once.
//!
//! ```text
//! hash 32 | record u64 | values u64 | transactions u64 | bloom 256 | crc32c u32
//! ```
//! Big-endian; the checksum is over the number and the bytes before it. The chain's first block has
//! no row. The file is named by the block that is first in it.

use std::io;
use std::sync::Arc;

use alloy_primitives::{B256, Bloom};
use vouch_journal::{Disk, File, Position};

use super::kept::{copied, damaged};

const ROW_BYTES: usize = 316;

/// What is known of a block without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) hash: B256,
    /// Where its record is.
    pub(crate) position: Position,
    /// Where the values begin that it has changed.
    pub(crate) values_start: u64,
    /// In it and in all blocks before it.
    pub(crate) transactions: u64,
    pub(crate) bloom: Bloom,
}

impl Row {
    fn encode(&self, number: u64, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(self.hash.as_slice());
        for field in [self.position.0, self.values_start, self.transactions] {
            to.extend_from_slice(&field.to_be_bytes());
        }
        to.extend_from_slice(self.bloom.as_slice());
        let checksum = checksum(number, &to[start..]);
        to.extend_from_slice(&checksum.to_be_bytes());
    }

    fn decode(number: u64, bytes: &[u8; ROW_BYTES]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if checksum(number, body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (hash, rest) = body.split_first_chunk::<32>()?;
        let (position, rest) = rest.split_first_chunk::<8>()?;
        let (values_start, rest) = rest.split_first_chunk::<8>()?;
        let (transactions, bloom) = rest.split_first_chunk::<8>()?;
        Some(Self {
            hash: hash.into(),
            position: Position(u64::from_be_bytes(*position)),
            values_start: u64::from_be_bytes(*values_start),
            transactions: u64::from_be_bytes(*transactions),
            bloom: Bloom::from_slice(bloom),
        })
    }
}

fn checksum(number: u64, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_be_bytes()), body)
}

/// The file of rows; none of an index of nothing.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    file: Option<Arc<dyn File>>,
    /// The block of which the file has the first row.
    pub(super) first: u64,
}

/// The name of a file of rows.
pub(super) fn name(first: u64) -> String {
    format!("index/rows-{first:016}")
}

impl Rows {
    /// Of no block; this one is the first to come.
    pub(super) fn new(first: u64) -> Self {
        Self { file: None, first }
    }

    pub(super) fn open(disk: &dyn Disk, first: u64, blocks: u64) -> io::Result<Self> {
        let file: Arc<dyn File> = disk.open(&name(first), false)?.into();
        let rows = Self { file: Some(file.clone()), first };
        if file.size()? < rows.offset(blocks + 1) {
            return Err(damaged("rows", "it is too short"));
        }
        Ok(rows)
    }

    /// Of the row of a block, which is not before the first.
    fn offset(&self, number: u64) -> u64 {
        (number - self.first) * ROW_BYTES as u64
    }

    /// The row of block `number`, which must be in the index.
    pub(super) fn read(&self, number: u64) -> io::Result<Row> {
        let file = self.file.as_ref().filter(|_| number >= self.first);
        let file = file.ok_or_else(|| damaged("rows", &format!("block {number} has none")))?;
        let mut bytes = [0; ROW_BYTES];
        let read = file.read_at(&mut bytes, self.offset(number))?;
        let row = Row::decode(number, &bytes).filter(|_| read == ROW_BYTES);
        row.ok_or_else(|| damaged("rows", &format!("block {number} fails its checksum")))
    }

    /// Writes rows from `first` on, durably but for the file's name.
    pub(super) fn write(&self, disk: &dyn Disk, first: u64, rows: &[Row]) -> io::Result<Self> {
        let file: Arc<dyn File> = match &self.file {
            Some(file) => file.clone(),
            None => disk.open(&name(self.first), true)?.into(),
        };
        let mut bytes = Vec::with_capacity(rows.len() * ROW_BYTES);
        (first..).zip(rows).for_each(|(number, row)| row.encode(number, &mut bytes));
        file.write_all_at(&bytes, self.offset(first))?;
        file.sync()?;
        Ok(Self { file: Some(file), ..*self })
    }

    /// Those from block `first` to block `last`, in a file of their own where that is at most half
    /// as long; durable but for its name.
    pub(super) fn without_before(
        &self,
        disk: &dyn Disk,
        first: u64,
        last: u64,
    ) -> io::Result<Self> {
        let part = self.offset(first)..self.offset(last + 1);
        let copy = copied(self.file.as_deref(), part, disk, &name(first))?;
        Ok(copy.map_or_else(|| self.clone(), |file| Self { file: Some(file), first }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouch_journal::testing::MemoryDisk;

    fn row(number: u64) -> Row {
        Row {
            hash: B256::with_last_byte(number as u8),
            position: Position(number * 1000),
            values_start: number * 70,
            transactions: number * 3,
            bloom: Bloom::repeat_byte(number as u8),
        }
    }

    #[test]
    fn rows_come_back_and_every_changed_bit_is_found() {
        let disk = MemoryDisk::default();
        let rows: Vec<Row> = (1..=9).map(row).collect();
        let written = Rows::new(1).write(&disk, 1, &rows[..5]).unwrap();
        let written = written.write(&disk, 5, &rows[4..]).unwrap();
        (1..=9).for_each(|number| assert_eq!(written.read(number).unwrap(), row(number)));
        assert!(Rows::open(&disk, 1, 9).is_ok() && Rows::open(&disk, 1, 10).is_err());
        // Where less than half is of no use nothing is copied.
        assert_eq!(written.without_before(&disk, 4, 9).unwrap().first, 1);
        let less = written.without_before(&disk, 6, 9).unwrap();
        let less = less.write(&disk, 10, &[row(10)]).unwrap();
        let again = Rows::open(&disk, 6, 10).unwrap();
        for rows in [less, again] {
            (6..=10).for_each(|number| assert_eq!(rows.read(number).unwrap(), row(number)));
            assert!(rows.read(5).is_err());
        }
        let bytes = disk.bytes(&name(1)).unwrap();
        for bit in 0..ROW_BYTES * 8 {
            let mut flipped = bytes.clone();
            flipped[ROW_BYTES + bit / 8] ^= 1 << (bit % 8);
            disk.replace(&name(1), flipped);
            let rows = Rows::open(&disk, 1, 9).unwrap();
            assert!(rows.read(2).is_err(), "bit {bit}");
            assert!(rows.read(1).is_ok() && rows.read(3).is_ok());
        }
    }
}
