//! Transactions that have to do with an address, found by reading blocks.
//!
//! Told are those that it sent, that were sent to it, that created it, in which it wrote a log,
//! and those in which contracts called it and changed it. The last are looked for where old state
//! is kept, in blocks after which the account is not as before; not for who gets the block's fees,
//! whom each block changes. Calls that change nothing and write no log are not found.

use std::sync::Arc;

use alloy::consensus::{Transaction as _, TxReceipt};
use alloy_primitives::Address;
use serde_json::{Value, json as value};

use super::calls::Touch;
use super::page_size;
use crate::block::SealedBlock;
use crate::node::Node;
use crate::rpc::blocks::transaction;
use crate::rpc::params::{Number, Params};
use crate::rpc::{Outcome, Rpc, RpcError, json};

/// About how much one search may read: some 250,000 empty blocks, or half a million transfers.
pub(super) const MAX_READ_BYTES: usize = 256 << 20;
/// How much gas one search may execute again.
pub(super) const MAX_REPLAYED_GAS: u64 = 1_000_000_000;
/// About how much one page may come to, before it is told as JSON.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// What a block takes at least.
const BLOCK_BYTES: usize = 1_000;
/// What a transaction with its receipt takes at least.
const TRANSACTION_BYTES: usize = 400;
/// What a log takes beside its data.
const LOG_BYTES: usize = 200;

/// Where to go on from a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To older ones.
    Before,
    /// To newer ones.
    After,
}

/// Reads blocks, as many as one request may.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    node: &'a Node,
    left: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(node: &'a Node, bytes: usize) -> Self {
        Self { node, left: bytes }
    }

    /// A block that is there; `None` if enough has been read.
    pub(super) fn block(&mut self, number: u64) -> Result<Option<Arc<SealedBlock>>, RpcError> {
        if self.left == 0 {
            return Ok(None);
        }
        let block = self.node.block(number)?;
        let block = block.ok_or_else(|| RpcError::internal(format!("no block {number}")))?;
        let transactions = 0..block.transactions().len();
        let bytes: usize = transactions.map(|index| size_bytes(&block, index)).sum();
        self.left = self.left.saturating_sub(BLOCK_BYTES + bytes);
        Ok(Some(block))
    }
}

/// The answer to who asks for what lies too far away.
pub(super) fn too_far() -> RpcError {
    RpcError::limit(format!(
        "the search would read more than {} MiB of blocks: begin it nearer to what is looked for",
        MAX_READ_BYTES >> 20
    ))
}

/// About what a transaction takes with its receipt.
fn size_bytes(block: &SealedBlock, index: usize) -> usize {
    let input = block.transactions().get(index).map_or(0, |transaction| transaction.input().len());
    let logs = block.receipts.get(index).map(TxReceipt::logs).unwrap_or_default();
    let logs: usize = logs.iter().map(|log| LOG_BYTES + log.data.data.len()).sum();
    TRANSACTION_BYTES + input + logs
}

/// A search that goes from block to block.
struct Search<'a> {
    rpc: &'a Rpc,
    address: Address,
    reading: Reading<'a>,
    gas_left: u64,
}

/// A page of what was found, in the order in which it was.
#[derive(Debug, Default)]
struct Page {
    transactions: Vec<(Arc<SealedBlock>, usize)>,
    /// Whether there may be more beyond.
    more: bool,
}

impl Rpc {
    /// A page of the transactions before or after a block, newest first. All that the last of its
    /// blocks has is on it, even if the page is then longer than was asked for.
    pub(super) fn search_transactions(&self, mut params: Params, way: Way) -> Outcome {
        let address: Address = params.next("address")?;
        let Number(base) = params.next("block")?;
        let size = page_size(&mut params)?;
        params.finish()?;
        let head = *self.node.head.borrow();
        // What was pruned, or before a fork, is as if it had never been.
        let first = self.node.first_block() + 1;
        let oldest = self.node.view.read().index.oldest().max(first);
        let reading = Reading::new(&self.node, MAX_READ_BYTES);
        let search = Search { rpc: self, address, reading, gas_left: MAX_REPLAYED_GAS };
        let (mut page, first, last);
        match way {
            Way::Before => {
                // Zero means all.
                let newest = base.checked_sub(1).unwrap_or(head).min(head);
                page = search.page((oldest..=newest).rev(), size, way)?;
                (first, last) = (base == 0 || base > head, !page.more);
            }
            Way::After => {
                page = search.page(base.saturating_add(1).max(oldest)..=head, size, way)?;
                page.transactions.reverse();
                (first, last) = (!page.more, base == 0);
            }
        }
        self.told(&page, first, last)
    }

    fn told(&self, page: &Page, first: bool, last: bool) -> Outcome {
        let found = &page.transactions;
        let bytes: usize = found.iter().map(|(block, index)| size_bytes(block, *index)).sum();
        if bytes > MAX_ANSWER_BYTES {
            let most = MAX_ANSWER_BYTES >> 20;
            return Err(RpcError::limit(format!("the page has more than {most} MiB")));
        }
        let (mut transactions, mut receipts) = (Vec::new(), Vec::new());
        for (block, index) in found {
            transactions.push(json(transaction(block, *index))?);
            receipts.push(Value::Object(self.timed_receipt(block, *index)?));
        }
        Ok(value!({
            "txs": transactions,
            "receipts": receipts,
            "firstPage": first,
            "lastPage": last,
        }))
    }
}

impl Search<'_> {
    /// Goes on beyond a full page until it is clear whether there is more. If that takes too much
    /// there may be.
    ///
    /// # Errors
    /// If the search would take more than one request may while the page is not full.
    fn page(
        mut self,
        blocks: impl Iterator<Item = u64>,
        size: usize,
        way: Way,
    ) -> Result<Page, RpcError> {
        let mut page = Page::default();
        for number in blocks {
            let full = page.transactions.len() >= size;
            let Some(block) = self.reading.block(number)? else {
                page.more = full;
                return if full { Ok(page) } else { Err(too_far()) };
            };
            let Some(mut indices) = self.indices(&block)? else {
                page.more = full;
                return if full { Ok(page) } else { Err(too_much()) };
            };
            if full && !indices.is_empty() {
                page.more = true;
                return Ok(page);
            }
            if way == Way::Before {
                indices.reverse();
            }
            page.transactions.extend(indices.into_iter().map(|index| (block.clone(), index)));
        }
        Ok(page)
    }

    /// A block's transactions that have to do with the address, in order; `None` if enough was
    /// executed.
    fn indices(&mut self, block: &SealedBlock) -> Result<Option<Vec<usize>>, RpcError> {
        let (mut indices, rest): (Vec<_>, Vec<_>) =
            (0..block.transactions().len()).partition(|index| names(block, *index, self.address));
        if rest.is_empty() || !self.is_changed(block)? {
            return Ok(Some(indices));
        }
        let Some(gas_left) = self.gas_left.checked_sub(block.header.gas_used) else {
            return Ok(None);
        };
        self.gas_left = gas_left;
        let new = || Touch::new(self.address);
        self.rpc.again(block, rest, new, |index, touch, _| {
            indices.extend(touch.touched.then_some(index));
            Ok(())
        })?;
        indices.sort_unstable();
        Ok(Some(indices))
    }

    /// Whether the block changed the account, if that can be told and means something.
    fn is_changed(&self, block: &SealedBlock) -> Result<bool, RpcError> {
        let number = block.header.number;
        self.rpc.node.prefetch(self.address)?;
        let view = self.rpc.node.view.read();
        let parent = number.checked_sub(1).filter(|parent| view.state.check(*parent).is_ok());
        let Some(parent) = parent.filter(|_| block.header.beneficiary != self.address) else {
            return Ok(false);
        };
        let at = |number| view.state.account_at(self.address, number);
        Ok(at(parent)? != at(number)?)
    }
}

/// Whether a transaction has to do with an address as it is stored.
fn names(block: &SealedBlock, index: usize, address: Address) -> bool {
    let Some(transaction) = block.transactions().get(index) else { return false };
    let logs = block.receipts.get(index).map(TxReceipt::logs).unwrap_or_default();
    transaction.signer() == address
        || transaction.to() == Some(address)
        || block.created(index) == Some(address)
        || logs.iter().any(|log| log.address == address)
}

fn too_much() -> RpcError {
    RpcError::limit(format!(
        "the search would execute more than {} million gas again: ask for a smaller page",
        MAX_REPLAYED_GAS / 1_000_000
    ))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
    use alloy::eips::eip2718::Encodable2718;
    use alloy::eips::eip2935::HISTORY_STORAGE_ADDRESS;
    use alloy::network::TxSignerSync;
    use alloy::signers::local::PrivateKeySigner;
    use alloy_primitives::{TxKind, U256};
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::{Chain, Genesis, GenesisAccount, Options, SystemClock};

    const TO: Address = Address::repeat_byte(7);

    /// A transfer in block 1, and ten empty blocks after it.
    fn chain(dir: &std::path::Path) -> Chain {
        let signer = PrivateKeySigner::random();
        let owner = GenesisAccount::funded(U256::from(10).pow(U256::from(18)));
        let genesis = Genesis::development(9, 5).with_account(signer.address(), owner);
        let chain = Chain::open(dir, Options::new(genesis, SystemClock)).unwrap();
        let mut transfer = TxEip1559 {
            chain_id: 9,
            gas_limit: 21_000,
            max_fee_per_gas: 2_000_000_000,
            to: TxKind::Call(TO),
            ..TxEip1559::default()
        };
        let signature = signer.sign_transaction_sync(&mut transfer).unwrap();
        let transfer = TxEnvelope::from(transfer.into_signed(signature));
        chain.node.submit(&transfer.encoded_2718()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while chain.node.head().header.number == 0 {
            assert!(Instant::now() < deadline, "the transfer was not mined");
            std::thread::sleep(Duration::from_millis(5));
        }
        let ten = Params::parse(Some(&to_raw_value(&[10]).unwrap())).unwrap();
        Rpc::new(chain.node.clone()).dispatch("anvil_mine", ten).unwrap();
        chain
    }

    #[test]
    fn a_search_reads_and_executes_so_much_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let chain = chain(dir.path());
        let rpc = Rpc::new(chain.node.clone());
        let head = *rpc.node.head.borrow();
        let search = |address, bytes, gas_left| {
            let reading = Reading::new(&rpc.node, bytes);
            Search { rpc: &rpc, address, reading, gas_left }
        };
        let found = |page: Result<Page, RpcError>| {
            page.map(|page| (page.transactions.len(), page.more)).map_err(|error| error.message)
        };
        let back = |search: Search<'_>| found(search.page((1..=head).rev(), 1, Way::Before));
        let forth = |search: Search<'_>| found(search.page(1..=head, 1, Way::After));
        let some = 5 * BLOCK_BYTES;
        assert_eq!(back(search(TO, MAX_READ_BYTES, 0)), Ok((1, false)));
        assert_eq!(forth(search(TO, MAX_READ_BYTES, 0)), Ok((1, false)));
        assert_eq!(back(search(TO, some, 0)), Err(too_far().message));
        assert_eq!(forth(search(TO, some, 0)), Ok((1, true)), "full, and not seen to the end");

        // Each block changes it, and no transaction calls it.
        let system = HISTORY_STORAGE_ADDRESS;
        assert_eq!(back(search(system, MAX_READ_BYTES, 21_000)), Ok((0, false)));
        assert_eq!(back(search(system, MAX_READ_BYTES, 20_999)), Err(too_much().message));
    }
}
