//! Blocks that were read lately: whoever asks for one receipt of a block often asks for the next.

use std::collections::VecDeque;
use std::sync::Arc;

use vouch_journal::Position;

use crate::block::SealedBlock;

/// Bound on transactions in them, about 1 KB each, beside the newest one read.
const TRANSACTIONS: usize = 16 << 10;
/// Bound on blocks.
const BLOCKS: usize = 64;

/// The blocks, by where they are in the journal: the one used last is the last.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    blocks: VecDeque<(Position, Arc<SealedBlock>)>,
    transactions: usize,
}

impl Decoded {
    pub(crate) fn get(&mut self, position: Position) -> Option<Arc<SealedBlock>> {
        let at = self.blocks.iter().rposition(|(of, _)| *of == position)?;
        let found = self.blocks.remove(at)?;
        let block = found.1.clone();
        self.blocks.push_back(found);
        Some(block)
    }

    pub(crate) fn add(&mut self, position: Position, block: Arc<SealedBlock>) {
        if self.get(position).is_some() {
            return;
        }
        self.transactions += block.transactions().len();
        self.blocks.push_back((position, block));
        while self.blocks.len() > 1
            && (self.transactions > TRANSACTIONS || self.blocks.len() > BLOCKS)
        {
            if let Some((_, oldest)) = self.blocks.pop_front() {
                self.transactions -= oldest.transactions().len();
            }
        }
    }
}
