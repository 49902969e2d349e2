//! Receipts and answers, read back from the journal and checked against the tree.

use alloy_primitives::{B256, keccak256};
use vouch_core::bundle::LogProof;
use vouch_core::promise::{Promise, SignedPromise};
use vouch_core::receipt::{ENCODED_LEN, Receipt};
use vouch_core::signature::Signature;
use vouch_journal::Part;

use crate::api::{Acknowledged, StoredAnswer};
use crate::embedded::Shared;
use crate::error::{Error, Result};
use crate::index::{Index, Row};
use crate::record::{self, Item, PROMISE_BYTES, RECEIPT_OFFSET};
use crate::tree::BatchTree;

impl Shared {
    /// The receipt of an answered call, unless it is too old to be given again.
    pub(crate) fn answer(&self, channel: &B256, request: &B256) -> Result<Option<u64>> {
        let oldest_ms = self.config.oldest_answer_ms();
        let new = self.state.lock().answer(channel, request, oldest_ms);
        // What is not in memory any more is in the index by now.
        new.map_or_else(
            || self.indexed_answer(&self.log.read().index(), channel, request),
            |new| Ok(Some(new)),
        )
    }

    /// The same of what is indexed.
    pub(crate) fn indexed_answer(
        &self,
        index: &Index,
        channel: &B256,
        request: &B256,
    ) -> Result<Option<u64>> {
        for place in index.calls(channel, request)? {
            let Some(row) = self.row(place)? else { continue };
            let (receipt, committed_ms) = self.decoded(place, &row)?;
            if (receipt.channel, receipt.request) == (*channel, *request)
                && committed_ms >= self.config.oldest_answer_ms()
            {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The entry of this digest.
    pub(crate) fn find(&self, digest: &B256) -> Result<Option<u64>> {
        let (new, index) = {
            let log = self.log.read();
            (log.find_new(digest), log.index())
        };
        if new.is_some() {
            return Ok(new);
        }
        for place in index.digests(digest)? {
            if self.row(place)?.is_some_and(|row| row.digest == *digest) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The entry of number `sequence` of a channel or stream.
    pub(crate) fn find_sequence(&self, stream: &B256, sequence: u64) -> Result<Option<u64>> {
        let new = {
            let state = self.state.lock();
            let account = state.account(stream);
            let of_channel = account.and_then(|account| account.receipts.get(sequence));
            of_channel.or_else(|| state.streams.receipt(stream, sequence))
        };
        if new.is_some() {
            return Ok(new);
        }
        let index = self.log.read().index();
        for place in index.sequences(stream, sequence)? {
            let Some(row) = self.row(place)? else { continue };
            let (receipt, _) = self.decoded(place, &row)?;
            if (receipt.channel, receipt.sequence) == (*stream, sequence) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    pub(crate) fn row(&self, place: u64) -> Result<Option<Row>> {
        self.log.read().row(place)
    }

    /// The receipt of an entry, checked against its digest, and when it was committed.
    fn decoded(&self, place: u64, row: &Row) -> Result<(Receipt, u64)> {
        let wrong = |why| Error::Record { position: place, why };
        let item =
            self.reader.read_part(row.receipt, RECEIPT_OFFSET.saturating_add(ENCODED_LEN))?;
        let receipt = item.get(RECEIPT_OFFSET..).unwrap_or_default();
        if keccak256(receipt) != row.digest {
            return Err(wrong("a receipt has changed since it was logged"));
        }
        let receipt = Receipt::decode(receipt).ok();
        receipt.zip(record::committed_ms(&item)).ok_or_else(|| wrong("a receipt is malformed"))
    }

    /// Receipt `index` with its promise and children; `None` if there is none.
    pub(crate) fn acknowledged(&self, index: u64) -> Result<Option<Acknowledged>> {
        let Some(row) = self.row(index)? else { return Ok(None) };
        let mut acknowledged = self.alone(index, &row)?;
        let children = (index.saturating_add(1)..).take(row.children.into());
        for child in children {
            let missing = || Error::Range { asked: child, size: self.log.read().size() };
            let row = self.row(child)?.ok_or_else(missing)?;
            acknowledged.children.push(self.alone(child, &row)?);
        }
        Ok(Some(acknowledged))
    }

    /// Receipt `index` without its children.
    fn alone(&self, index: u64, row: &Row) -> Result<Acknowledged> {
        let (receipt, _) = self.decoded(index, row)?;
        let (promise, signature) = self.promise(row.promise)?;
        let changed =
            Error::Record { position: index, why: "a promise has changed since it was made" };
        if promise.first != row.first {
            return Err(changed);
        }
        let rows = self.log.read().rows(promise.first, promise.count.into())?;
        let tree = BatchTree::new(rows.iter().map(Row::leaf).collect());
        let place = index.checked_sub(promise.first).and_then(|place| usize::try_from(place).ok());
        let path = tree.path(place.unwrap_or(usize::MAX));
        if promise.root != tree.root() {
            return Err(changed);
        }
        Ok(Acknowledged {
            receipt,
            promise: SignedPromise { promise, signature, index, path },
            children: Vec::new(),
        })
    }

    fn promise(&self, part: Part) -> Result<(Promise, Signature)> {
        let bytes = self.reader.read_part(part, PROMISE_BYTES)?;
        match record::item(&bytes) {
            Some(Item::Promise(promise, signature)) => Ok((promise, signature)),
            _ => Err(Error::Record { position: 0, why: "a promise is malformed" }),
        }
    }

    /// The answer that was stored with receipt `index`.
    pub(crate) fn stored_answer(&self, index: u64) -> Result<Option<StoredAnswer>> {
        let Some(acknowledged) = self.acknowledged(index)? else { return Ok(None) };
        let Some(Row { receipt: part, .. }) = self.row(index)? else { return Ok(None) };
        let wrong = || Error::Record { position: index, why: "a stored answer has changed" };
        let header = self.reader.read_part(part, record::ITEM_HEADER_BYTES)?;
        let length = record::answer_length(&header).ok_or_else(wrong)?;
        let total = RECEIPT_OFFSET.saturating_add(ENCODED_LEN).saturating_add(length);
        let bytes = self.reader.read_part(part, total)?;
        match record::item(&bytes) {
            Some(Item::Receipt { answer_crc, answer, .. })
                if crc32c::crc32c(answer) == answer_crc =>
            {
                Ok(Some(StoredAnswer { acknowledged, answer: answer.to_vec() }))
            }
            _ => Err(wrong()),
        }
    }

    /// Entry `index` under the newest checkpoint; `None` before one covers it.
    pub(crate) fn proof(&self, index: u64) -> Result<Option<LogProof>> {
        let size = self.log.read().size();
        if index >= size {
            return Err(Error::Range { asked: index, size });
        }
        let published = self.published.read().clone();
        let Some(published) = published.filter(|published| index < published.checkpoint.size)
        else {
            return Ok(None);
        };
        let path = self.inclusion(index, published.checkpoint.size)?;
        Ok(Some(LogProof { index, path, checkpoint: published.note }))
    }

    pub(crate) fn inclusion(&self, index: u64, size: u64) -> Result<Vec<B256>> {
        self.log.read().tree.inclusion(index, size)
    }

    pub(crate) fn consistency(&self, old: u64, new: u64) -> Result<Vec<B256>> {
        self.log.read().tree.consistency(old, new)
    }
}
