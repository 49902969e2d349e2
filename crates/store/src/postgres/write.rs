//! Writes what a batch has decided, and commits it: one round trip.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use tokio_postgres::types::ToSql;
use vouch_core::channel::{Freeze, Mode};

use super::connection::{Connection, Failure};
use super::decide::Decided;
use super::rows::signed;
use crate::api::ChannelView;
use crate::record::config_bytes;

const CHANNELS: &str = "
    INSERT INTO channels (id, payer, config, session, balance, claimed, withdrawing, block,
        accepted, signature, charged, reserved, sequence, closing, claim_total, claim_transaction,
        published)
    SELECT id, payer, config, session, balance::numeric, claimed::numeric, withdrawing::numeric,
        block, accepted::numeric, signature, charged::numeric, reserved::numeric, sequence, closing,
        claim_total::numeric, claim_transaction, published
    FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::boolean[], $5::text[], $6::text[],
        $7::text[], $8::bigint[], $9::text[], $10::bytea[], $11::text[], $12::text[],
        $13::bigint[], $14::boolean[], $15::text[], $16::bytea[], $17::text[])
        AS row (id, payer, config, session, balance, claimed, withdrawing, block, accepted,
            signature, charged, reserved, sequence, closing, claim_total, claim_transaction,
            published)
    ON CONFLICT (id) DO UPDATE SET balance = excluded.balance, claimed = excluded.claimed,
        withdrawing = excluded.withdrawing, block = excluded.block, accepted = excluded.accepted,
        signature = excluded.signature, charged = excluded.charged, reserved = excluded.reserved,
        sequence = excluded.sequence, closing = excluded.closing,
        claim_total = excluded.claim_total, claim_transaction = excluded.claim_transaction,
        published = excluded.published";
const NO_HOLDS: &str =
    "DELETE FROM holds USING unnest($1::bytea[], $2::bytea[]) gone (channel, request)
    WHERE holds.channel = gone.channel AND holds.request = gone.request";
const HOLDS: &str = "INSERT INTO holds (channel, request, gateway, amount)
    SELECT channel, request, gateway, amount::numeric
    FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::text[])
        AS row (channel, request, gateway, amount)
    ON CONFLICT (channel, request) DO UPDATE SET gateway = excluded.gateway,
        amount = excluded.amount";
const EXPIRED: &str = "DELETE FROM calls WHERE committed_ms < $1";
const CALLS: &str = "INSERT INTO calls (channel, request, entry, committed_ms)
    SELECT channel, request, entry, $4
    FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) AS row (channel, request, entry)";
const RECEIPTS: &str = "INSERT INTO receipts
        (entry, digest, channel, sequence, children, receipt, answer)
    SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::integer[],
        $6::bytea[], $7::bytea[])";
const BATCH: &str = "INSERT INTO batches (first, count, root, not_before, merge_by, signature)
    VALUES ($1, $2, $3, $4, $5, $6)";
const STREAMS: &str = "INSERT INTO streams (id, sequence, cumulative)
    SELECT id, sequence, cumulative::numeric FROM unnest($1::bytea[], $2::bigint[], $3::text[])
        AS row (id, sequence, cumulative)
    ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, cumulative = excluded.cumulative";
const SIZE: &str = "UPDATE log SET size = $1";
pub(super) const STATEMENTS: &[&str] =
    &[CHANNELS, NO_HOLDS, HOLDS, EXPIRED, CALLS, RECEIPTS, BATCH, STREAMS, SIZE];

/// Writes and commits. On an error that is not of the connection nothing was written.
pub(super) async fn write(
    connection: &Connection,
    decided: &Decided,
    before: &BTreeMap<B256, ChannelView>,
    oldest_ms: u64,
) -> Result<(), Failure> {
    let channels = Channels::changed(decided, before);
    let holds = Holds::changed(decided);
    let log = Entries::new(decided);
    let oldest_ms = signed(oldest_ms);
    let mut sends = Sends { connection, all: Vec::new() };
    if !channels.id.is_empty() {
        sends.add(CHANNELS, channels.parameters());
    }
    if !holds.gone_channels.is_empty() {
        sends.add(NO_HOLDS, vec![&holds.gone_channels, &holds.gone_requests]);
    }
    if !holds.channels.is_empty() {
        sends.add(HOLDS, holds.parameters());
    }
    if let Some(log) = &log {
        sends.add(EXPIRED, vec![&oldest_ms]);
        sends.add(CALLS, log.calls());
        sends.add(RECEIPTS, log.receipts());
        if !log.stream_ids.is_empty() {
            sends.add(STREAMS, log.streams());
        }
        sends.add(BATCH, log.batch());
        sends.add(SIZE, vec![&log.size]);
    }
    sends.all.push(connection.run("COMMIT").boxed());
    try_join_all(sends.all).await.map(drop)
}

/// Statements that are sent one after the other, none waiting for an answer.
struct Sends<'a> {
    connection: &'a Connection,
    all: Vec<BoxFuture<'a, Result<(), Failure>>>,
}

impl<'a> Sends<'a> {
    fn add(&mut self, sql: &'static str, parameters: Vec<&'a (dyn ToSql + Sync)>) {
        let connection = self.connection;
        self.all.push(async move { connection.query(sql, &parameters).await.map(drop) }.boxed());
    }
}

/// Rows of `channels`, a column a field.
#[derive(Default)]
struct Channels {
    id: Vec<Vec<u8>>,
    payer: Vec<Vec<u8>>,
    config: Vec<Vec<u8>>,
    session: Vec<bool>,
    balance: Vec<String>,
    claimed: Vec<String>,
    withdrawing: Vec<String>,
    block: Vec<i64>,
    accepted: Vec<String>,
    signature: Vec<Option<Vec<u8>>>,
    charged: Vec<String>,
    reserved: Vec<String>,
    sequence: Vec<i64>,
    closing: Vec<bool>,
    claim_total: Vec<Option<String>>,
    claim_transaction: Vec<Option<Vec<u8>>>,
    published: Vec<String>,
}

impl Channels {
    /// Those that are not as they were, by id.
    fn changed(decided: &Decided, before: &BTreeMap<B256, ChannelView>) -> Self {
        let mut rows = Self::default();
        for view in decided.state.views() {
            if before.get(&view.id) != Some(&view) {
                rows.push(&view);
            }
        }
        rows
    }

    fn push(&mut self, view: &ChannelView) {
        self.id.push(view.id.to_vec());
        self.payer.push(view.config.payer.to_vec());
        self.config.push(config_bytes(&view.config));
        self.session.push(view.mode == Mode::Session);
        self.balance.push(view.on_chain.balance.to_string());
        self.claimed.push(view.on_chain.claimed.to_string());
        self.withdrawing.push(view.on_chain.withdrawing.to_string());
        self.block.push(signed(view.on_chain.block));
        self.accepted.push(view.accepted.to_string());
        self.signature.push(view.best.map(|best| best.signature.0.to_vec()));
        self.charged.push(view.charged.to_string());
        self.reserved.push(view.reserved.to_string());
        self.sequence.push(signed(view.sequence));
        self.closing.push(view.frozen == Some(Freeze::Closing));
        self.claim_total.push(view.claim.map(|claim| claim.total.to_string()));
        self.claim_transaction.push(view.claim.map(|claim| claim.transaction.to_vec()));
        let published = view.published.iter().map(u128::to_string);
        self.published.push(published.collect::<Vec<_>>().join(","));
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.id,
            &self.payer,
            &self.config,
            &self.session,
            &self.balance,
            &self.claimed,
            &self.withdrawing,
            &self.block,
            &self.accepted,
            &self.signature,
            &self.charged,
            &self.reserved,
            &self.sequence,
            &self.closing,
            &self.claim_total,
            &self.claim_transaction,
            &self.published,
        ]
    }
}

/// Rows of `holds`: those that go, those that come or change.
#[derive(Default)]
struct Holds<'a> {
    gone_channels: Vec<&'a [u8]>,
    gone_requests: Vec<&'a [u8]>,
    channels: Vec<&'a [u8]>,
    requests: Vec<&'a [u8]>,
    gateways: Vec<i64>,
    amounts: Vec<String>,
}

impl<'a> Holds<'a> {
    fn changed(decided: &'a Decided) -> Self {
        let mut rows = Self::default();
        for ((channel, request), now) in &decided.holds {
            if let Some((gateway, amount)) = now {
                rows.channels.push(channel.as_slice());
                rows.requests.push(request.as_slice());
                rows.gateways.push(*gateway);
                rows.amounts.push(amount.to_string());
            } else {
                rows.gone_channels.push(channel.as_slice());
                rows.gone_requests.push(request.as_slice());
            }
        }
        rows
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.channels, &self.requests, &self.gateways, &self.amounts]
    }
}

/// Rows of the log.
struct Entries<'a> {
    entries: Vec<i64>,
    digests: Vec<&'a [u8]>,
    channels: Vec<&'a [u8]>,
    sequences: Vec<i64>,
    children: Vec<i32>,
    receipts: Vec<Vec<u8>>,
    answers: Vec<&'a [u8]>,
    call_channels: Vec<&'a [u8]>,
    call_requests: Vec<&'a [u8]>,
    call_entries: Vec<i64>,
    committed_ms: i64,
    stream_ids: Vec<Vec<u8>>,
    stream_sequences: Vec<i64>,
    stream_totals: Vec<String>,
    first: i64,
    count: i32,
    root: &'a [u8],
    not_before: &'a [u8],
    merge_by: i64,
    signature: &'a [u8],
    size: i64,
}

impl<'a> Entries<'a> {
    /// `None` if the batch logs nothing.
    fn new(decided: &'a Decided) -> Option<Self> {
        let (new, promise) = decided.batch.logged();
        let (promise, signature) = promise?;
        let mut rows = Self {
            entries: Vec::new(),
            digests: Vec::new(),
            channels: Vec::new(),
            sequences: Vec::new(),
            children: Vec::new(),
            receipts: Vec::new(),
            answers: Vec::new(),
            call_channels: Vec::new(),
            call_requests: Vec::new(),
            call_entries: Vec::new(),
            committed_ms: signed(decided.batch.committed_ms),
            stream_ids: Vec::new(),
            stream_sequences: Vec::new(),
            stream_totals: Vec::new(),
            first: signed(promise.first),
            count: i32::try_from(promise.count).unwrap_or(i32::MAX),
            root: promise.root.as_slice(),
            not_before: promise.not_before.as_slice(),
            merge_by: signed(promise.merge_by),
            signature: &signature.0,
            size: signed(promise.first.saturating_add(u64::from(promise.count))),
        };
        let mut streams = BTreeMap::new();
        for (entry, new) in (promise.first..).zip(new) {
            let entry = signed(entry);
            rows.entries.push(entry);
            rows.digests.push(new.digest.as_slice());
            rows.channels.push(new.receipt.channel.as_slice());
            rows.sequences.push(signed(new.receipt.sequence));
            rows.children.push(i32::try_from(new.children).unwrap_or(i32::MAX));
            rows.receipts.push(new.receipt.encode().to_vec());
            rows.answers.push(&new.answer);
            if let Some(hold) = &new.hold {
                rows.call_channels.push(hold.channel.as_slice());
                rows.call_requests.push(hold.request.as_slice());
                rows.call_entries.push(entry);
            } else if !new.receipt.channel.is_zero() {
                let stream = new.receipt.channel;
                streams.insert(stream, decided.state.streams.totals(&stream));
            }
        }
        for (stream, (sequence, total)) in streams {
            rows.stream_ids.push(stream.to_vec());
            rows.stream_sequences.push(signed(sequence));
            rows.stream_totals.push(total.to_string());
        }
        Some(rows)
    }

    fn receipts(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.entries,
            &self.digests,
            &self.channels,
            &self.sequences,
            &self.children,
            &self.receipts,
            &self.answers,
        ]
    }

    fn calls(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.call_channels, &self.call_requests, &self.call_entries, &self.committed_ms]
    }

    fn streams(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.stream_ids, &self.stream_sequences, &self.stream_totals]
    }

    fn batch(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.first,
            &self.count,
            &self.root,
            &self.not_before,
            &self.merge_by,
            &self.signature,
        ]
    }
}
