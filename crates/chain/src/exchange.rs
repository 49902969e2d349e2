//! Blocks in and out, in the form of geth's `import` and `export`: one RLP block after the other.

use std::io::{BufRead, ErrorKind, Read, Write};
use std::ops::RangeInclusive;

use alloy::consensus::{Block, TxEnvelope};
use alloy_rlp::{Decodable, Encodable};
use revm::primitives::hardfork::SpecId;

use crate::block::Body;
use crate::builder::{Command, Imported};
use crate::rules::Rules;
use crate::{Chain, Error, Progress, Result, sender};

/// Longer blocks are refused.
const MAX_BLOCK_BYTES: usize = 64 << 20;
/// From Osaka on: 10 MiB less what a consensus layer adds (EIP-7934).
const OSAKA_BLOCK_BYTES: usize = 8 << 20;

impl Chain {
    /// Executes blocks on top of the newest and takes them in, each durable before the next.
    /// Blocks that are there already, or were pruned, are passed over. Returns how many were taken
    /// in.
    ///
    /// # Errors
    /// [`Error::Import`] if something is no block, not signed, does not follow the newest or is not
    /// what its header says: the blocks before it stay. [`Error::Stopped`].
    pub fn import(
        &self,
        mut from: impl BufRead,
        mut progress: impl FnMut(Progress),
    ) -> Result<u64> {
        let mut taken = 0;
        let mut bytes = Vec::new();
        while next_item(&mut from, &mut bytes)? {
            let block = Block::<TxEnvelope>::decode(&mut bytes.as_slice())
                .map_err(|e| Error::Import(format!("something in them is no block: {e}")))?;
            let number = block.header.number;
            let rules = Rules::of_header(self.node.genesis.config(), &block.header);
            if rules.are(SpecId::OSAKA) && bytes.len() > OSAKA_BLOCK_BYTES {
                let message = format!("block {number} has more than {OSAKA_BLOCK_BYTES} bytes");
                return Err(Error::Import(message));
            }
            match self.node.block(number) {
                Ok(Some(known)) if known.header == block.header => continue,
                // It is that of this chain if those that follow it are.
                Err(Error::Pruned { .. }) => continue,
                known => drop(known?),
            }
            self.import_block(block).map_err(refused)?;
            taken += 1;
            progress(Progress { done: number, of: number });
        }
        Ok(taken)
    }

    fn import_block(&self, block: Block<TxEnvelope>) -> Result<()> {
        let (header, body) = (block.header, block.body);
        let rules = Rules::of_header(self.node.genesis.config(), &header);
        let any_s = !rules.are(SpecId::HOMESTEAD);
        let transactions = sender::recover_all(body.transactions, any_s).map_err(|hash| {
            Error::Import(format!("transaction {hash} in block {} is not signed", header.number))
        })?;
        let body = Body { transactions, ommers: body.ommers, withdrawals: body.withdrawals };
        self.node.ask(|answer| Command::Import(Box::new(Imported { header, body, answer })))?
    }

    /// Writes blocks; those beyond the newest are left out. Returns how many it wrote.
    ///
    /// # Errors
    /// [`Error::Import`] if they cannot be written, [`Error::Pruned`] if one is no longer kept,
    /// [`Error::Journal`] and [`Error::Record`] if one cannot be read.
    pub fn export(&self, numbers: RangeInclusive<u64>, mut to: impl Write) -> Result<u64> {
        let failed = |error: std::io::Error| Error::Import(format!("cannot write them: {error}"));
        let mut written = 0;
        for number in numbers {
            let Some(block) = self.node.block(number)? else { break };
            let mut bytes = Vec::new();
            block.to_consensus().encode(&mut bytes);
            to.write_all(&bytes).map_err(failed)?;
            written += 1;
        }
        to.flush().map_err(failed)?;
        Ok(written)
    }
}

/// In words for blocks that come from elsewhere.
fn refused(error: Error) -> Error {
    Error::Import(match error {
        Error::Parent { number, .. } => {
            format!("block {number} does not follow the newest block that is here")
        }
        Error::Replay { number, what, stored, computed } => {
            format!("block {number} names {what} {stored}, and has {computed}")
        }
        Error::Execution { number, reason } => format!("block {number} is not valid: {reason}"),
        other => return other,
    })
}

/// Reads one RLP list with its prefix; false at the end.
fn next_item(from: &mut impl BufRead, item: &mut Vec<u8>) -> Result<bool> {
    let failed = |error: std::io::Error| {
        Error::Import(match error.kind() {
            ErrorKind::UnexpectedEof => "the last of them is cut off".to_owned(),
            _ => format!("cannot read them: {error}"),
        })
    };
    let Some(first) = from.fill_buf().map_err(failed)?.first().copied() else { return Ok(false) };
    let prefix = match first {
        0xc0..=0xf7 => 1,
        0xf8..=0xff => usize::from(first - 0xf7) + 1,
        _ => return Err(Error::Import("something in them is no block".to_owned())),
    };
    item.resize(prefix, 0);
    from.read_exact(item).map_err(failed)?;
    let length = payload_bytes(item);
    let length = length.filter(|length| *length <= MAX_BLOCK_BYTES).ok_or_else(|| {
        Error::Import(format!("one of them has more than {MAX_BLOCK_BYTES} bytes"))
    })?;
    let read = from.take(length as u64).read_to_end(item).map_err(failed)?;
    if read < length { Err(failed(ErrorKind::UnexpectedEof.into())) } else { Ok(true) }
}

/// What follows a list's prefix.
fn payload_bytes(prefix: &[u8]) -> Option<usize> {
    let (first, rest) = prefix.split_first()?;
    if rest.is_empty() {
        return Some(usize::from(first - 0xc0));
    }
    rest.iter().try_fold(0_usize, |length, byte| {
        length.checked_mul(256).map(|length| length | usize::from(*byte))
    })
}
