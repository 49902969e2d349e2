//! Receipts and answers, read back from the journal and checked against the tree.

use alloy_primitives::{B256, keccak256};
use vouch_core::bundle::LogProof;
use vouch_core::log::merkle;
use vouch_core::promise::{Promise, SignedPromise};
use vouch_core::receipt::{ENCODED_LEN, Receipt, entry_of};
use vouch_core::signature::Signature;
use vouch_journal::Part;

use crate::api::{Acknowledged, StoredAnswer};
use crate::embedded::Shared;
use crate::error::{Error, Result};
use crate::record::{self, Item, PROMISE_BYTES, RECEIPT_OFFSET};
use crate::tree::BatchTree;

impl Shared {
    /// The digest of receipt `index`; `None` if there is none.
    pub(crate) fn digest(&self, index: u64) -> Result<Option<B256>> {
        let (recent, part) = {
            let log = self.log.read();
            (log.recent_digest(index), log.receipt(index))
        };
        match (recent, part) {
            (Some(digest), _) => Ok(Some(digest)),
            (None, None) => Ok(None),
            (None, Some(part)) => Ok(Some(keccak256(self.receipt_bytes(index, part)?))),
        }
    }

    /// The canonical bytes of receipt `index`, checked against its leaf.
    fn receipt_bytes(&self, index: u64, part: Part) -> Result<Vec<u8>> {
        let item = self.reader.read_part(part, RECEIPT_OFFSET.saturating_add(ENCODED_LEN))?;
        let receipt = item.get(RECEIPT_OFFSET..).unwrap_or_default().to_vec();
        let leaf = merkle::leaf_hash(&entry_of(&keccak256(&receipt)));
        if self.log.read().tree.leaf(index) == Some(leaf) {
            Ok(receipt)
        } else {
            Err(Error::Record { position: index, why: "a receipt has changed since it was logged" })
        }
    }

    /// Receipt `index` with its promise and children; `None` if there is none.
    pub(crate) fn acknowledged(&self, index: u64) -> Result<Option<Acknowledged>> {
        let Some(mut acknowledged) = self.alone(index)? else { return Ok(None) };
        let children = self.state.lock().streams.children(index);
        for child in children {
            let missing = || Error::Range { asked: child, size: self.log.read().size() };
            acknowledged.children.push(self.alone(child)?.ok_or_else(missing)?);
        }
        Ok(Some(acknowledged))
    }

    /// Receipt `index` without its children.
    fn alone(&self, index: u64) -> Result<Option<Acknowledged>> {
        let (part, batch) = {
            let log = self.log.read();
            (log.receipt(index), log.batch(index))
        };
        let (Some(part), Some((first, leaves, promise))) = (part, batch) else { return Ok(None) };
        let receipt = Receipt::decode(&self.receipt_bytes(index, part)?)
            .map_err(|_| Error::Record { position: index, why: "a receipt is malformed" })?;
        let (promise, signature) = self.promise(promise)?;
        let tree = BatchTree::new(leaves);
        let place = index.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        let path = tree.path(place.unwrap_or(usize::MAX));
        if (promise.root, promise.first) != (tree.root(), first) {
            return Err(Error::Record {
                position: index,
                why: "a promise has changed since it was made",
            });
        }
        Ok(Some(Acknowledged {
            receipt,
            promise: SignedPromise { promise, signature, index, path },
            children: Vec::new(),
        }))
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
        let Some(part) = self.log.read().receipt(index) else { return Ok(None) };
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
        let log = self.log.read();
        let asked = if size > log.size() { size } else { index };
        log.tree.inclusion(index, size).ok_or(Error::Range { asked, size: log.size().min(size) })
    }

    pub(crate) fn consistency(&self, old: u64, new: u64) -> Result<Vec<B256>> {
        let log = self.log.read();
        let asked = if new > log.size() { new } else { old };
        log.tree.consistency(old, new).ok_or(Error::Range { asked, size: log.size().min(new) })
    }
}
