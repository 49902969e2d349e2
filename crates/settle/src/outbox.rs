//! What was sent and is not final yet, on disk, so that a restart in mid-send finds it again.

use std::{collections::BTreeMap, path::Path};

use alloy::rpc::types::TransactionRequest;
use alloy_primitives::{B256, Bytes};
use tokio::time::Instant;
use vouch_journal::{Journal, Options};

use crate::Error;

/// Records are of some 50 bytes: one small file lasts for months.
const LAYOUT: Options = Options { segment_bytes: 16 << 20, preallocate_bytes: 64 << 10 };
/// Kinds of records.
const SENT: u8 = 1;
const DONE: u8 = 2;

/// What has one nonce of ours.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) what: &'static str,
    /// Hashes of what was sent with this nonce, oldest first: with higher fees each time, and any of
    /// them may be mined.
    pub(crate) versions: Vec<B256>,
    /// The newest version; not known of what was sent before a restart.
    pub(crate) newest: Option<Version>,
    /// The block that it is in, as seen last.
    pub(crate) mined: Option<u64>,
    /// When it was last sent.
    pub(crate) tried: Instant,
}

/// A transaction that is signed.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) request: TransactionRequest,
    pub(crate) raw: Bytes,
    pub(crate) hash: B256,
}

/// By nonce. Without a directory it lasts as long as the process.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    journal: Option<Journal>,
    sent: BTreeMap<u64, Sent>,
}

impl Outbox {
    /// Opens the record in a directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let (journal, _) = Journal::open(directory, LAYOUT)?;
        let mut outbox = Self::default();
        for record in journal.iter() {
            let (_, record) = record?;
            match read(&record).ok_or(Error::OutboxFormat)? {
                (nonce, Some(hash)) => outbox.add(nonce, "what was sent before a restart", hash),
                (nonce, None) => drop(outbox.sent.remove(&nonce)),
            }
        }
        outbox.journal = Some(journal);
        Ok(outbox)
    }

    /// Notes, durably, a transaction that is about to be sent.
    pub(crate) fn sending(
        &mut self,
        nonce: u64,
        what: &'static str,
        version: Version,
    ) -> Result<(), Error> {
        self.write(&[&[SENT], &nonce.to_be_bytes()[..], version.hash.as_slice()].concat())?;
        self.add(nonce, what, version.hash);
        if let Some(sent) = self.sent.get_mut(&nonce) {
            sent.newest = Some(version);
        }
        Ok(())
    }

    /// Forgets a nonce: final, or never to be mined.
    pub(crate) fn forget(&mut self, nonce: u64) -> Result<(), Error> {
        self.write(&[&[DONE], &nonce.to_be_bytes()[..]].concat())?;
        self.sent.remove(&nonce);
        Ok(())
    }

    pub(crate) fn get(&self, nonce: u64) -> Option<&Sent> {
        self.sent.get(&nonce)
    }

    pub(crate) fn get_mut(&mut self, nonce: u64) -> Option<&mut Sent> {
        self.sent.get_mut(&nonce)
    }

    pub(crate) fn nonces(&self) -> Vec<u64> {
        self.sent.keys().copied().collect()
    }

    /// The lowest nonce of what is not seen in a block.
    pub(crate) fn under_way(&self) -> Option<u64> {
        self.sent.iter().find(|(_, sent)| sent.mined.is_none()).map(|(nonce, _)| *nonce)
    }

    fn add(&mut self, nonce: u64, what: &'static str, hash: B256) {
        let tried = Instant::now();
        let sent = self.sent.entry(nonce).or_insert_with(|| Sent {
            what,
            versions: Vec::new(),
            newest: None,
            mined: None,
            tried,
        });
        sent.versions.push(hash);
        sent.tried = tried;
    }

    fn write(&mut self, record: &[u8]) -> Result<(), Error> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.append(record)?;
        Ok(journal.sync()?)
    }
}

/// Whether this is a record of what was sent: for whoever looks after journals without a settler.
#[must_use]
pub fn is_outbox_record(record: &[u8]) -> bool {
    read(record).is_some()
}

/// Nonce, and the hash of what was sent with it; without one, it is done.
fn read(record: &[u8]) -> Option<(u64, Option<B256>)> {
    let (kind, rest) = record.split_first()?;
    let (nonce, hash) = rest.split_first_chunk()?;
    let hash = match (*kind, hash.len()) {
        (SENT, 32) => Some(B256::from_slice(hash)),
        (DONE, 0) => None,
        _ => return None,
    };
    Some((u64::from_be_bytes(*nonce), hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(byte: u8) -> Version {
        let hash = B256::repeat_byte(byte);
        Version { request: TransactionRequest::default(), raw: Bytes::new(), hash }
    }

    #[test]
    fn a_restart_finds_what_is_not_done() {
        let directory = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(directory.path()).unwrap();
        outbox.sending(7, "a claim", version(1)).unwrap();
        outbox.sending(8, "an anchor", version(2)).unwrap();
        outbox.sending(8, "an anchor", version(3)).unwrap();
        outbox.forget(7).unwrap();
        drop(outbox);
        let outbox = Outbox::open(directory.path()).unwrap();
        assert_eq!((outbox.nonces(), outbox.under_way()), (vec![8], Some(8)));
        let versions = [2, 3].map(B256::repeat_byte);
        assert_eq!(outbox.get(8).unwrap().versions, versions);
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for record in [&[][..], &[SENT], &[DONE; 10], &[SENT; 40], &[3; 41]] {
            assert_eq!(read(record), None);
        }
        assert_eq!(
            read(&[SENT; 41]),
            Some((u64::from_be_bytes([1; 8]), Some(B256::repeat_byte(1))))
        );
    }
}
