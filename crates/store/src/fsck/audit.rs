//! The log recomputed from its receipts: promises and checkpoints are held against it.

use alloy_primitives::{Address, B256, keccak256};
use vouch_core::domain::Domain;
use vouch_core::log::note::{Note, verify_eip712};
use vouch_core::log::{Checkpoint, merkle};
use vouch_core::promise::Promise;
use vouch_core::receipt::{Receipt, entry_of};
use vouch_core::signature::Signature;
use vouch_journal::{Journal, Position};

use super::{Damage, wrong};
use crate::error::Result;
use crate::record::{Item, items};
use crate::replay::Stored;

/// A Merkle tree that only grows at its end: the roots of its largest whole subtrees (RFC 6962).
#[derive(Debug, Default, Clone)]
pub(super) struct Frontier {
    /// Height and root of each, left to right.
    subtrees: Vec<(u32, B256)>,
}

impl Frontier {
    pub(super) fn push(&mut self, leaf: B256) {
        let (mut height, mut node) = (0_u32, leaf);
        while let Some((_, left)) = self.subtrees.pop_if(|(other, _)| *other == height) {
            node = merkle::node_hash(&left, &node);
            height = height.saturating_add(1);
        }
        self.subtrees.push((height, node));
    }

    pub(super) fn root(&self) -> B256 {
        let mut roots = self.subtrees.iter().rev().map(|(_, root)| *root);
        let Some(last) = roots.next() else { return merkle::empty_root() };
        roots.fold(last, |right, left| merkle::node_hash(&left, &right))
    }
}

/// What a whole journal adds up to.
#[derive(Debug, Default)]
pub(super) struct Audited {
    pub(super) origin: String,
    pub(super) entries: u64,
    pub(super) stored: Option<Stored>,
    /// Who signs, as the receipts say.
    pub(super) provider: Option<Address>,
    tree: Frontier,
    /// Size and root after each commit since the last checkpoint.
    since: Vec<(u64, B256)>,
}

/// Goes through all records of a journal.
pub(super) fn audit(
    journal: &Journal,
    domain: &Domain,
    origin: &str,
    damage: &mut Vec<Damage>,
) -> Result<Audited> {
    let mut audited = Audited { origin: origin.to_owned(), ..Audited::default() };
    audited.since.push((0, merkle::empty_root()));
    for record in journal.iter() {
        let (position, bytes) = record?;
        // What cannot be read is reported by the replay.
        for (offset, item) in items(position.0, &bytes).unwrap_or_default() {
            let problem = match item {
                Item::Receipt { answer_crc, receipt, answer, .. } => {
                    audited.receipt(domain, receipt).or_else(|| {
                        (crc32c::crc32c(answer) != answer_crc)
                            .then(|| "an answer is not the one that was stored".to_owned())
                    })
                }
                Item::Checkpoint { size, root, note } => audited.checkpoint(size, root, note),
                _ => None,
            };
            damage.extend(problem.map(|problem| wrong(place(position, offset), problem)));
        }
        let problem = audited.commit(domain, &bytes);
        damage.extend(problem.map(|problem| wrong(place(position, 0), problem)));
    }
    Ok(audited)
}

/// Segment and byte of an item, as the journal's files have them.
fn place(position: Position, offset: u32) -> String {
    let byte = (position.0 & u64::from(u32::MAX)).saturating_add(16).saturating_add(offset.into());
    format!("journal/journal-{:08}.log, byte {byte}", position.0 >> 32)
}

impl Audited {
    fn receipt(&mut self, domain: &Domain, bytes: &[u8]) -> Option<String> {
        self.tree.push(merkle::leaf_hash(&entry_of(&keccak256(bytes))));
        self.entries = self.entries.saturating_add(1);
        let Ok(receipt) = Receipt::decode(bytes) else { return Some("no receipt".to_owned()) };
        if receipt.domain != *domain {
            return Some("a receipt is of another chain or contract".to_owned());
        }
        let provider = *self.provider.get_or_insert(receipt.provider);
        (receipt.provider != provider)
            .then(|| format!("a receipt is of {}, those before of {provider}", receipt.provider))
    }

    /// Holds a record's promise against its receipts.
    fn commit(&mut self, domain: &Domain, record: &[u8]) -> Option<String> {
        let items = items(0, record).unwrap_or_default();
        let leaves: Vec<B256> = items
            .iter()
            .filter_map(|(_, item)| match item {
                Item::Receipt { receipt, .. } => {
                    Some(merkle::leaf_hash(&entry_of(&keccak256(receipt))))
                }
                _ => None,
            })
            .collect();
        let promise = items.into_iter().find_map(|(_, item)| match item {
            Item::Promise(promise, signature) => Some((promise, signature)),
            _ => None,
        });
        if leaves.is_empty() {
            return promise.map(|_| "a promise without receipts".to_owned());
        }
        self.since.push((self.entries, self.tree.root()));
        match promise {
            None => Some("receipts without a promise".to_owned()),
            Some((promise, signature)) => self.promise(domain, &leaves, &promise, &signature),
        }
    }

    fn promise(
        &self,
        domain: &Domain,
        leaves: &[B256],
        promise: &Promise,
        signature: &Signature,
    ) -> Option<String> {
        let count = crate::tree::length(leaves);
        let first = self.entries.saturating_sub(count);
        if (promise.first, u64::from(promise.count)) != (first, count) {
            return Some("a promise is for other places in the log".to_owned());
        }
        if promise.root != merkle::root(leaves) {
            return Some("a promise's root is not that of its receipts".to_owned());
        }
        let signed = signature.verify(promise.digest(domain), self.provider?);
        signed.err().map(|error| format!("a promise's signature is not the provider's: {error}"))
    }

    fn checkpoint(&mut self, size: u64, root: B256, note: &str) -> Option<String> {
        let before = self.stored.replace(Stored { size, root, note: note.to_owned() });
        if before.is_some_and(|before| before.size > size) {
            return Some(format!("a checkpoint of {size} entries follows a larger one"));
        }
        self.since.retain(|(known, _)| *known >= size);
        match self.since.first() {
            Some((known, computed)) if *known == size => {
                if *computed != root {
                    return Some(format!(
                        "the checkpoint of {size} entries has root {root}, its receipts have {computed}"
                    ));
                }
            }
            _ => return Some(format!("a checkpoint of {size} entries ends within a commit")),
        }
        let checkpoint = Checkpoint { origin: self.origin.clone(), size, root };
        signed(note, &checkpoint, self.provider).err()
    }
}

/// Whether a note is of this checkpoint, with the provider's signature; witnesses' and the log's own
/// Ed25519 key are not known here.
pub(super) fn signed(
    note: &str,
    checkpoint: &Checkpoint,
    provider: Option<Address>,
) -> Result<(), String> {
    let size = checkpoint.size;
    let note = Note::parse(note).map_err(|e| format!("the checkpoint of {size} entries: {e}"))?;
    if note.text != checkpoint.text() {
        return Err(format!("the note of the checkpoint of {size} entries says something else"));
    }
    let Some(provider) = provider else { return Ok(()) };
    verify_eip712(&note, &checkpoint.origin, provider, checkpoint.digest())
        .map_err(|e| format!("the checkpoint of {size} entries is not the provider's: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontier_has_the_roots_of_core() {
        let leaves: Vec<B256> = (0..600_u64).map(|n| merkle::leaf_hash(&n.to_be_bytes())).collect();
        let mut frontier = Frontier::default();
        assert_eq!(frontier.root(), merkle::empty_root());
        for (count, leaf) in (1..).zip(&leaves) {
            frontier.push(*leaf);
            assert_eq!(frontier.root(), merkle::root(&leaves[..count]), "{count}");
        }
    }
}
