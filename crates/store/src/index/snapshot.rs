//! What a journal adds up to at one of its records: where a replay goes on from.
//!
//! ```text
//! "vouchix" | version u8 | journal id 16 | crc32c u32 | a record of items (`record`)
//! ```
//! The items are those of the journal that would lead there by themselves (whose data it is, each
//! channel's opening, best voucher, claim, ..., the newest checkpoint), beside totals that a
//! journal has as receipts, and how far the index's files go.

use alloy_primitives::B256;
use vouch_journal::{Disk, Known, Position};

use super::damaged;
use crate::error::{Error, Result};
use crate::record::{Item, Writer, items};

pub(super) const SNAPSHOT: &str = "index/snapshot";
const MAGIC: [u8; 8] = *b"vouchix\x01";
const HEADER_BYTES: usize = 28;

/// All entries before `size` were committed by `time_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) time_ms: u64,
    pub(crate) size: u64,
}

/// What names the index's files, and what a replay begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The last record that is in it.
    pub(crate) known: Known,
    /// Entries that are indexed, and their tree's root.
    pub(crate) size: u64,
    pub(crate) root: B256,
    pub(crate) calls: Vec<u32>,
    pub(crate) receipts: Vec<u32>,
    /// By size. Calls before the first are too old to be answered again, the others were not.
    pub(crate) marks: Vec<Mark>,
    /// The rest of its items, as they are written.
    pub(crate) record: Vec<u8>,
}

impl Snapshot {
    /// Answers to calls before this entry are forgotten.
    pub(crate) fn kept_from(&self) -> u64 {
        self.marks.first().map_or(0, |mark| mark.size)
    }

    /// The snapshot on this disk; `None` if there is none.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Self>> {
        let bytes = match vouch_journal::read(disk, SNAPSHOT) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(Error::Index)?,
        };
        Self::decode(&bytes).map(Some)
    }

    /// Puts it in the place of the one before, durably.
    pub(crate) fn write(&self, disk: &dyn Disk) -> Result<()> {
        vouch_journal::replace(disk, SNAPSHOT, &self.encode()).map_err(Error::Index)
    }

    fn encode(&self) -> Vec<u8> {
        let mut record = Writer::of(&self.record);
        let (size, root) = (self.size, self.root);
        record.put(&Item::Indexed { size, root, last: self.known.record.0 });
        let calls = self.calls.iter().map(|number| (true, *number));
        let receipts = self.receipts.iter().map(|number| (false, *number));
        for (calls, number) in calls.chain(receipts) {
            record.put(&Item::Run { calls, number });
        }
        for Mark { time_ms, size } in self.marks.iter().copied() {
            record.put(&Item::Mark { time_ms, size });
        }
        let id = &self.known.journal;
        let checksum = crc32c::crc32c_append(crc32c::crc32c(id), record.bytes());
        [&MAGIC, id.as_slice(), &checksum.to_be_bytes(), record.bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let malformed = || damaged("snapshot", "it fails its checksum");
        let (header, record) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(malformed)?;
        let (magic, rest) = header.split_first_chunk::<8>().ok_or_else(malformed)?;
        let (id, crc) = rest.split_first_chunk::<16>().ok_or_else(malformed)?;
        let checksum = crc32c::crc32c_append(crc32c::crc32c(id), record);
        if *magic != MAGIC || *crc != checksum.to_be_bytes() {
            return Err(malformed());
        }
        let mut snapshot = Self {
            known: Known { journal: *id, record: Position::FIRST },
            size: 0,
            root: B256::ZERO,
            calls: Vec::new(),
            receipts: Vec::new(),
            marks: Vec::new(),
            record: Vec::new(),
        };
        let mut others = Writer::new();
        for (_, item) in items(0, record)? {
            match item {
                Item::Indexed { size, root, last } => {
                    snapshot.known.record = Position(last);
                    (snapshot.size, snapshot.root) = (size, root);
                }
                Item::Run { calls: true, number } => snapshot.calls.push(number),
                Item::Run { calls: false, number } => snapshot.receipts.push(number),
                Item::Mark { time_ms, size } => snapshot.marks.push(Mark { time_ms, size }),
                item => {
                    others.put(&item);
                }
            }
        }
        snapshot.record = others.bytes().to_vec();
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use vouch_journal::testing::MemoryDisk;

    use super::*;

    fn snapshot() -> Snapshot {
        let mut record = Writer::new();
        record.put(&Item::Totals { channel: B256::repeat_byte(1), charged: 7, sequence: 3 });
        Snapshot {
            known: Known { journal: [9; 16], record: Position(4242) },
            size: 300,
            root: B256::repeat_byte(2),
            calls: vec![1, 5],
            receipts: vec![2],
            marks: vec![Mark { time_ms: 5, size: 100 }, Mark { time_ms: 9, size: 300 }],
            record: record.bytes().to_vec(),
        }
    }

    #[test]
    fn it_comes_back_and_every_changed_bit_is_found() {
        let bytes = snapshot().encode();
        assert_eq!(Snapshot::decode(&bytes).unwrap(), snapshot());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Snapshot::decode(&flipped).is_err(), "bit {bit}");
        }
        assert!(Snapshot::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn it_replaces_the_one_before() {
        let disk = MemoryDisk::default();
        assert_eq!(Snapshot::read(&disk).unwrap(), None);
        snapshot().write(&disk).unwrap();
        let newer = Snapshot { size: 400, ..snapshot() };
        newer.write(&disk).unwrap();
        assert_eq!(Snapshot::read(&disk).unwrap(), Some(newer));
    }
}
