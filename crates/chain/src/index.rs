//! Where blocks and transactions are: one small entry each in memory, bodies read when asked for.

use std::collections::VecDeque;
use std::sync::Arc;

use alloy_primitives::map::B256Map;
use alloy_primitives::{B256, Bloom};
use vouch_journal::{Position, Reader};

use crate::block::SealedBlock;
use crate::{Result, record};

/// Newest blocks that are kept whole.
const RECENT_BLOCKS: usize = 512;
/// Bound on transactions in the blocks kept whole, about 1 KB each.
const RECENT_TRANSACTIONS: usize = 16 << 10;

#[derive(Debug)]
struct Entry {
    hash: B256,
    bloom: Bloom,
    position: Position,
}

/// Where to get a block from.
#[derive(Debug, Clone)]
pub(crate) enum Located {
    Memory(Arc<SealedBlock>),
    Journal { position: Position, record: u64 },
}

/// The index; see the module. Block 0 is always in it.
#[derive(Debug)]
pub(crate) struct Index {
    genesis: Arc<SealedBlock>,
    /// Blocks from 1 on.
    entries: Vec<Entry>,
    by_hash: B256Map<u64>,
    transactions: B256Map<(u64, u32)>,
    recent: VecDeque<Arc<SealedBlock>>,
    recent_transactions: usize,
}

impl Index {
    pub(crate) fn new(genesis: SealedBlock) -> Self {
        let mut by_hash = B256Map::default();
        by_hash.insert(genesis.hash, 0);
        Self {
            genesis: Arc::new(genesis),
            entries: Vec::new(),
            by_hash,
            transactions: B256Map::default(),
            recent: VecDeque::new(),
            recent_transactions: 0,
        }
    }

    /// The newest block.
    pub(crate) fn head(&self) -> &Arc<SealedBlock> {
        self.recent.back().unwrap_or(&self.genesis)
    }

    /// Adds the block after the head, which is stored at `position`.
    pub(crate) fn push(&mut self, block: Arc<SealedBlock>, position: Position) {
        let number = block.header.number;
        for (at, transaction) in (0u32..).zip(block.transactions()) {
            // Whose nonce was set back by hand may have sent it before: the first one counts.
            self.transactions.entry(*transaction.hash()).or_insert((number, at));
        }
        self.by_hash.insert(block.hash, number);
        self.entries.push(Entry { hash: block.hash, bloom: block.header.logs_bloom, position });
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
        let Some(entry) = self.entries.pop() else { return Ok(()) };
        let number = self.entries.len() as u64;
        self.by_hash.remove(&entry.hash);
        if let Some(block) = self.recent.pop_back() {
            self.recent_transactions -= block.transactions().len();
            for hash in block.transactions().iter().map(|transaction| transaction.hash()) {
                if self.transactions.get(hash).is_some_and(|(within, _)| *within > number) {
                    self.transactions.remove(hash);
                }
            }
        }
        if let Some(before) = self.entries.last().filter(|_| self.recent.is_empty()) {
            let block = record::decode_block(&reader.read(before.position)?, number)?;
            self.recent_transactions = block.transactions().len();
            self.recent.push_back(Arc::new(block));
        }
        Ok(())
    }

    pub(crate) fn number(&self, hash: B256) -> Option<u64> {
        self.by_hash.get(&hash).copied()
    }

    pub(crate) fn hash(&self, number: u64) -> Option<B256> {
        match number {
            0 => Some(self.genesis.hash),
            _ => self.entry(number).map(|entry| entry.hash),
        }
    }

    pub(crate) fn bloom(&self, number: u64) -> Option<Bloom> {
        match number {
            0 => Some(Bloom::ZERO),
            _ => self.entry(number).map(|entry| entry.bloom),
        }
    }

    /// How many there are in all blocks.
    pub(crate) fn transactions(&self) -> u64 {
        self.transactions.len() as u64
    }

    /// Block number and place in it.
    pub(crate) fn transaction(&self, hash: B256) -> Option<(u64, usize)> {
        let (number, at) = self.transactions.get(&hash)?;
        Some((*number, *at as usize))
    }

    /// A block that is in memory.
    pub(crate) fn recent(&self, number: u64) -> Option<Arc<SealedBlock>> {
        match self.locate(number)? {
            Located::Memory(block) => Some(block),
            Located::Journal { .. } => None,
        }
    }

    pub(crate) fn locate(&self, number: u64) -> Option<Located> {
        if number == 0 {
            return Some(Located::Memory(self.genesis.clone()));
        }
        let entry = self.entry(number)?;
        let oldest = self.recent.front().map_or(u64::MAX, |block| block.header.number);
        let recent = number.checked_sub(oldest).and_then(|at| self.recent.get(at as usize));
        Some(match recent {
            Some(block) => Located::Memory(block.clone()),
            None => Located::Journal { position: entry.position, record: number },
        })
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }
}
