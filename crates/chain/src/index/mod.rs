//! Where blocks and transactions are: of the newest in memory, of all others on disk.

mod check;
mod decoded;
mod kept;
mod rows;
mod snapshot;
mod values;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use alloy_primitives::map::B256Map;
use alloy_primitives::{B256, Bloom};
use vouch_journal::{Disk, Position, Reader};

use crate::block::SealedBlock;
use crate::node::BLOCK_HASH_WINDOW;
use crate::{Result, record};

pub use check::{check_index, known_record};
pub(crate) use decoded::Decoded;
pub use kept::remove_index;
pub(crate) use kept::{Kept, Step};
use rows::Row;
pub(crate) use snapshot::{At, Frozen, Snapshot};
pub(crate) use values::Before;

/// The snapshots on a disk that can be read, the newest last, and why one cannot.
pub(crate) fn snapshots(disk: &dyn Disk) -> (Vec<Snapshot>, Option<String>) {
    let (mut found, mut unusable) = (Vec::new(), None);
    let all = Snapshot::all(disk).unwrap_or_else(|error| {
        unusable = Some(error.to_string());
        Vec::new()
    });
    for record in all.into_iter().rev() {
        match Snapshot::read(disk, record) {
            Ok(snapshot) => found.push(snapshot),
            Err(error) => {
                tracing::warn!(record, %error, "a snapshot of the chain cannot be read");
                unusable = Some(error.to_string());
            }
        }
    }
    (found, unusable)
}

/// Newest blocks that are kept whole.
const RECENT_BLOCKS: usize = 512;
/// Bound on transactions in the blocks kept whole, about 1 KB each.
const RECENT_TRANSACTIONS: usize = 16 << 10;

/// About what a block and a transaction take in memory until they are on disk.
const BLOCK_BYTES: usize = 500;
const TRANSACTION_BYTES: usize = 400;

#[derive(Debug)]
struct Entry {
    row: Row,
    /// Of its transactions.
    hashes: Vec<B256>,
}

/// Where to get a block from.
#[derive(Debug, Clone)]
pub(crate) enum Located {
    Memory(Arc<SealedBlock>),
    Journal { position: Position, number: u64 },
}

/// The index; see the module. The first block is always in it.
#[derive(Debug)]
pub(crate) struct Index {
    first: Arc<SealedBlock>,
    /// None of a chain that is executed only to be checked: then what memory lets go is gone.
    kept: Option<Kept>,
    /// Blocks that are in no memory any more.
    let_go: u64,
    /// Blocks after those.
    entries: VecDeque<Entry>,
    by_hash: B256Map<u64>,
    transactions: B256Map<(u64, u32)>,
    recent: VecDeque<Arc<SealedBlock>>,
    recent_transactions: usize,
    /// Transactions in all blocks.
    total: u64,
}

impl Index {
    pub(crate) fn new(first: SealedBlock, kept: Option<Kept>) -> Self {
        Self {
            let_go: kept.as_ref().map_or(first.header.number, Kept::blocks),
            first: Arc::new(first),
            kept,
            entries: VecDeque::new(),
            by_hash: B256Map::default(),
            transactions: B256Map::default(),
            recent: VecDeque::new(),
            recent_transactions: 0,
            total: 0,
        }
    }

    /// Takes the newest blocks that are kept into memory.
    pub(crate) fn load(&mut self, reader: &Reader, count: u64) -> Result<()> {
        let newest = self.let_go;
        if let Some(row) = self.row(newest)? {
            self.total = row.transactions;
        }
        for number in newest.saturating_sub(count).max(self.first_number()) + 1..=newest {
            if let Some(row) = self.row(number)? {
                let block = record::decode_block(&reader.read(row.position)?, number)?;
                self.remember(Arc::new(block));
            }
        }
        Ok(())
    }

    /// The newest block.
    pub(crate) fn head(&self) -> &Arc<SealedBlock> {
        self.recent.back().unwrap_or(&self.first)
    }

    /// The number of the first block.
    pub(crate) fn first_number(&self) -> u64 {
        self.first.header.number
    }

    /// Adds the block after the head, which is stored at `position`.
    pub(crate) fn push(&mut self, block: Arc<SealedBlock>, position: Position) {
        let number = block.header.number;
        let hashes: Vec<B256> = block.transactions().iter().map(|tx| *tx.hash()).collect();
        for (at, hash) in (0u32..).zip(&hashes) {
            // Whose nonce was set back by hand may have sent it before: the first one counts.
            self.transactions.entry(*hash).or_insert((number, at));
        }
        self.total += hashes.len() as u64;
        self.by_hash.insert(block.hash, number);
        let row = Row {
            hash: block.hash,
            position,
            values_start: 0,
            transactions: self.total,
            bloom: block.header.logs_bloom,
        };
        self.entries.push_back(Entry { row, hashes });
        self.remember(block);
    }

    fn remember(&mut self, block: Arc<SealedBlock>) {
        self.recent_transactions += block.transactions().len();
        self.recent.push_back(block);
        while self.recent.len() > 1
            && (self.recent.len() > RECENT_BLOCKS || self.recent_transactions > RECENT_TRANSACTIONS)
        {
            if let Some(oldest) = self.recent.pop_front() {
                self.recent_transactions -= oldest.transactions().len();
            }
        }
    }

    /// Takes the newest block away.
    ///
    /// # Errors
    /// If the one before it can no longer be read.
    pub(crate) fn pop(&mut self, reader: &Reader) -> Result<()> {
        let number = self.head().header.number;
        match self.entries.pop_back() {
            Some(entry) => self.forget(number, &entry),
            None => {
                self.let_go = number.saturating_sub(1);
                self.kept = self.kept.as_ref().map(|kept| kept.cut(self.let_go));
            }
        }
        if let Some(block) = self.recent.pop_back() {
            self.recent_transactions -= block.transactions().len();
            self.total -= block.transactions().len() as u64;
        }
        let before = number.saturating_sub(1);
        if self.recent.is_empty()
            && let Some(row) = self.row(before)?
        {
            self.remember(Arc::new(record::decode_block(&reader.read(row.position)?, before)?));
        }
        Ok(())
    }

    fn forget(&mut self, number: u64, Entry { row, hashes }: &Entry) {
        self.by_hash.remove(&row.hash);
        for hash in hashes {
            if self.transactions.get(hash).is_some_and(|(within, _)| *within == number) {
                self.transactions.remove(hash);
            }
        }
    }

    /// About what is in memory of blocks that are not on disk.
    pub(crate) fn bytes(&self) -> usize {
        let transactions: usize = self.transactions.len();
        self.entries.len() * BLOCK_BYTES + transactions * TRANSACTION_BYTES
    }

    /// The blocks in memory that are not kept, without their values.
    pub(crate) fn step(&self) -> Step {
        let mut step = Step::default();
        for (number, Entry { row, hashes }) in (self.let_go + 1..).zip(&self.entries) {
            step.places.push(kept::place(&row.hash, number, None));
            let of = (0..).zip(hashes).map(|(at, hash)| kept::place(hash, number, Some(at)));
            step.places.extend(of);
            step.rows.push(*row);
        }
        step
    }

    /// The index on disk.
    pub(crate) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// What was in memory is in `kept`, as far as that goes.
    pub(crate) fn keep(&mut self, kept: Kept) {
        self.drop_until(kept.blocks());
        self.kept = Some(kept);
    }

    /// Lets go, where nothing is kept, what `BLOCKHASH` does not see.
    pub(crate) fn let_go(&mut self) {
        let newest = self.let_go + self.entries.len() as u64;
        self.drop_until(newest.saturating_sub(BLOCK_HASH_WINDOW));
    }

    fn drop_until(&mut self, number: u64) {
        while self.let_go < number
            && let Some(entry) = self.entries.pop_front()
        {
            self.let_go += 1;
            self.forget(self.let_go, &entry);
        }
    }

    fn row(&self, number: u64) -> io::Result<Option<Row>> {
        let in_memory = number.checked_sub(self.let_go + 1).and_then(|at| usize::try_from(at).ok());
        match (in_memory, &self.kept) {
            (Some(at), _) => Ok(self.entries.get(at).map(|entry| entry.row)),
            (None, Some(kept)) => kept.row(number),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn number(&self, hash: B256) -> io::Result<Option<u64>> {
        if hash == self.first.hash {
            return Ok(Some(self.first_number()));
        }
        let found = match (self.by_hash.get(&hash), &self.kept) {
            (None, Some(kept)) => kept.number(&hash)?,
            (found, _) => found.copied(),
        };
        Ok(found.filter(|number| *number >= self.oldest()))
    }

    /// The oldest block that is told of besides the first, which it is where all are.
    pub(crate) fn oldest(&self) -> u64 {
        let first = self.first_number();
        self.kept.as_ref().map_or(first, |kept| kept.oldest(self.head().header.number))
    }

    pub(crate) fn first_hash(&self) -> B256 {
        self.first.hash
    }

    pub(crate) fn hash(&self, number: u64) -> io::Result<Option<B256>> {
        match number == self.first_number() {
            true => Ok(Some(self.first.hash)),
            false => Ok(self.row(number)?.map(|row| row.hash)),
        }
    }

    pub(crate) fn bloom(&self, number: u64) -> io::Result<Option<Bloom>> {
        match number == self.first_number() {
            true => Ok(Some(self.first.header.logs_bloom)),
            false => Ok(self.row(number)?.map(|row| row.bloom)),
        }
    }

    /// How many there are in all blocks.
    pub(crate) fn transactions(&self) -> u64 {
        self.total
    }

    /// Where a transaction may be: block numbers and places in them. One of a block that is read
    /// there and has another hash is not meant.
    pub(crate) fn transaction(&self, hash: B256) -> io::Result<Vec<(u64, usize)>> {
        let mut places = match &self.kept {
            Some(kept) => kept.transaction(&hash)?,
            None => Vec::new(),
        };
        // After those: the first one counts.
        places.extend(self.transactions.get(&hash).map(|(number, at)| (*number, *at as usize)));
        places.retain(|(number, _)| *number >= self.oldest());
        Ok(places)
    }

    /// A block that is in memory.
    pub(crate) fn recent(&self, number: u64) -> Option<Arc<SealedBlock>> {
        if number == self.first_number() {
            return Some(self.first.clone());
        }
        let oldest = self.recent.front()?.header.number;
        self.recent.get(usize::try_from(number.checked_sub(oldest)?).ok()?).cloned()
    }

    pub(crate) fn locate(&self, number: u64) -> io::Result<Option<Located>> {
        if let Some(block) = self.recent(number) {
            return Ok(Some(Located::Memory(block)));
        }
        let row = self.row(number)?;
        Ok(row.map(|row| Located::Journal { position: row.position, number }))
    }
}
