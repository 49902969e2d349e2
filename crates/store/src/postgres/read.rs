//! Reads: each a statement or two, in a session of their own.

use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use vouch_core::log::merkle;
use vouch_core::promise::{Promise, SignedPromise};
use vouch_core::receipt::{Receipt, entry_of};

use super::Shared;
use super::connection::Connection;
use super::rows::{broken, channel_columns, get, hash, number, signature, signed, view};
use crate::api::{Acknowledged, ChannelView, StoredAnswer};
use crate::error::Result;
use crate::tree::BatchTree;

const CHANNEL: &str = concat!("SELECT ", channel_columns!(), " FROM channels WHERE id = $1");
const CHANNELS: &str = concat!("SELECT ", channel_columns!(), " FROM channels ORDER BY id");
const OF_PAYER: &str = concat!("SELECT ", channel_columns!(), " FROM channels WHERE payer = $1");
const ANSWERED: &str = "SELECT entry FROM calls \
                        WHERE channel = $1 AND request = $2 AND committed_ms >= $3";
const BY_DIGEST: &str = "SELECT entry FROM receipts WHERE digest = $1";
const OF_STREAM: &str = "SELECT entry FROM receipts WHERE channel = $1 AND sequence > $2 \
                         AND sequence > 0 ORDER BY sequence LIMIT $3";
pub(super) const SIZE: &str = "SELECT size FROM log";
/// A receipt and its children, with the promise over them.
const RECEIPTS: &str = "
    SELECT r.entry, r.receipt, r.answer, b.first, b.count, b.root, b.not_before, b.merge_by,
        b.signature
    FROM receipts asked
    JOIN receipts r ON r.entry BETWEEN asked.entry AND asked.entry + asked.children
    CROSS JOIN LATERAL (
        SELECT * FROM batches WHERE first <= asked.entry ORDER BY first DESC LIMIT 1
    ) b
    WHERE asked.entry = $1 ORDER BY r.entry";
const DIGESTS: &str = "SELECT digest FROM receipts WHERE entry >= $1 AND entry < $2 ORDER BY entry";
/// Digests read at once.
const PAGE: u64 = 65_536;
const STATEMENTS: &[&str] =
    &[CHANNEL, CHANNELS, OF_PAYER, ANSWERED, BY_DIGEST, OF_STREAM, SIZE, RECEIPTS, DIGESTS];

impl Shared {
    /// The session for reads; a new one if the last has ended.
    async fn reader(&self) -> Result<Arc<Connection>> {
        let mut reader = self.reader.lock().await;
        if let Some(open) = reader.as_ref().filter(|open| !open.client.is_closed()) {
            return Ok(Arc::clone(open));
        }
        let mut connection = Connection::open(&self.database).await?;
        connection.prepare(STATEMENTS).await?;
        let connection = Arc::new(connection);
        *reader = Some(Arc::clone(&connection));
        Ok(connection)
    }

    pub(super) async fn query(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        Ok(self.reader().await?.query(sql, parameters).await?)
    }

    pub(super) async fn view(&self, id: B256) -> Result<Option<ChannelView>> {
        let rows = self.query(CHANNEL, &[&id.as_slice()]).await?;
        rows.first().map(|row| view(row, &self.config.domain)).transpose()
    }

    pub(super) async fn views(&self) -> Result<Vec<ChannelView>> {
        let rows = self.query(CHANNELS, &[]).await?;
        rows.iter().map(|row| view(row, &self.config.domain)).collect()
    }

    pub(super) async fn views_of(&self, payer: Address) -> Result<Vec<ChannelView>> {
        let rows = self.query(OF_PAYER, &[&payer.as_slice()]).await?;
        rows.iter().map(|row| view(row, &self.config.domain)).collect()
    }

    pub(super) async fn answered(&self, channel: B256, request: B256) -> Result<Option<u64>> {
        let kept_ms = self.config.answer_retention_ms;
        let oldest_ms = signed(self.config.now_ms().saturating_sub(kept_ms));
        let asked: [&(dyn ToSql + Sync); 3] =
            [&channel.as_slice(), &request.as_slice(), &oldest_ms];
        let rows = self.query(ANSWERED, &asked).await?;
        rows.first().map(|row| number(row, 0)).transpose()
    }

    pub(super) async fn by_digest(&self, digest: B256) -> Result<Option<u64>> {
        let rows = self.query(BY_DIGEST, &[&digest.as_slice()]).await?;
        rows.first().map(|row| number(row, 0)).transpose()
    }

    /// Up to `limit` entries of a channel or stream after a place in it.
    pub(super) async fn of_stream(&self, id: B256, after: u64, limit: usize) -> Result<Vec<u64>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let asked: [&(dyn ToSql + Sync); 3] = [&id.as_slice(), &signed(after), &limit];
        let rows = self.query(OF_STREAM, &asked).await?;
        rows.iter().map(|row| number(row, 0)).collect()
    }

    pub(super) async fn log_size(&self) -> Result<u64> {
        let rows = self.query(SIZE, &[]).await?;
        rows.first().map_or(Ok(0), |row| number(row, 0))
    }

    /// Receipt `entry` with promise, children and answer; `None` if there is none.
    pub(super) async fn stored(&self, entry: u64) -> Result<Option<StoredAnswer>> {
        let rows = self.query(RECEIPTS, &[&signed(entry)]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let batch = (number(first, 3)?, u64::try_from(get::<i32>(first, 4)?).unwrap_or(0));
        let tree = self.batch_tree(batch.0, batch.1).await?;
        let mut told =
            rows.iter().map(|row| acknowledged(row, &tree)).collect::<Result<Vec<_>>>()?;
        let children = told.split_off(1);
        let Some(alone) = told.pop() else { return Ok(None) };
        let answer = get::<&[u8]>(first, 2)?.to_vec();
        Ok(Some(StoredAnswer { acknowledged: Acknowledged { children, ..alone }, answer }))
    }

    async fn batch_tree(&self, first: u64, count: u64) -> Result<BatchTree> {
        let end = first.saturating_add(count);
        self.catch_up(end).await?;
        Ok(BatchTree::new(self.tree.lock().await.leaves(first, count)?))
    }

    pub(super) async fn digests(&self, from: u64, to: u64) -> Result<Vec<B256>> {
        let rows = self.query(DIGESTS, &[&signed(from), &signed(to)]).await?;
        rows.iter().map(|row| hash(row, 0)).collect()
    }

    /// Brings the tree in memory to at least `size` entries, as far as the log has them.
    pub(super) async fn catch_up(&self, size: u64) -> Result<()> {
        let mut tree = self.tree.lock().await;
        while tree.size() < size {
            let to = size.min(tree.size().saturating_add(PAGE));
            let digests = self.digests(tree.size(), to).await?;
            if digests.is_empty() {
                return Ok(());
            }
            digests.iter().for_each(|digest| tree.push(merkle::leaf_hash(&entry_of(digest))));
        }
        Ok(())
    }
}

/// A row of [`RECEIPTS`], checked against the log.
fn acknowledged(row: &Row, tree: &BatchTree) -> Result<Acknowledged> {
    let index = number(row, 0)?;
    let bytes = get::<&[u8]>(row, 1)?;
    let receipt = Receipt::decode(bytes).map_err(|_| broken("a receipt is malformed"))?;
    let promise = Promise {
        root: hash(row, 5)?,
        first: number(row, 3)?,
        count: u32::try_from(get::<i32>(row, 4)?).map_err(|_| broken("a count is negative"))?,
        not_before: hash(row, 6)?,
        merge_by: number(row, 7)?,
    };
    let signature = signature(row, 8)?.ok_or_else(|| broken("a promise is not signed"))?;
    let place = index.checked_sub(promise.first).and_then(|place| usize::try_from(place).ok());
    let place = place.ok_or_else(|| broken("a receipt is not in its batch"))?;
    let leaf = merkle::leaf_hash(&entry_of(&keccak256(bytes)));
    if tree.root() != promise.root || tree.leaves().get(place) != Some(&leaf) {
        return Err(broken("a receipt or its promise has changed since it was made"));
    }
    let path = tree.path(place);
    let promise = SignedPromise { promise, signature, index, path };
    Ok(Acknowledged { receipt, promise, children: Vec::new() })
}
