//! What a batch needs of the database, read under the lock that makes it exact.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use futures_util::try_join;
use tokio_postgres::Row;
use vouch_core::channel::Reservation;
use vouch_core::domain::Domain;
use vouch_core::planted::{Bug, planted};

use super::connection::{Connection, Failure};
use super::rows::{account, amount, channel_columns, get, hash, number, signed};
use super::task::Task;
use crate::api::{ChannelView, Child};
use crate::batch::Operation;
use crate::error::Result;
use crate::state::State;

/// Held until the transaction ends: whoever has it is the only one who decides anything.
pub(super) const LOCK: &str = "SELECT size FROM log FOR UPDATE";
const UNLOCKED: &str = "SELECT size FROM log";
/// Names the batch, to be found again if the answer to its commit is lost. No row: the lease is lost.
const FENCE: &str = "UPDATE gateways SET batch = $2 WHERE epoch = $1 AND NOT lost RETURNING epoch";
const CHANNELS: &str =
    concat!("SELECT ", channel_columns!(), " FROM channels WHERE id = ANY($1) ORDER BY id");
const HOLDS: &str = "SELECT channel, request, gateway, amount::text FROM holds \
                     WHERE channel = ANY($1) ORDER BY channel, request";
const CALLS: &str = "SELECT c.channel, c.request, c.entry, c.committed_ms FROM calls c \
                     JOIN unnest($1::bytea[], $2::bytea[]) asked (channel, request) \
                     USING (channel, request) WHERE c.committed_ms >= $3";
const STREAMS: &str = "SELECT id, sequence, cumulative::text FROM streams WHERE id = ANY($1)";
pub(super) const STATEMENTS: &[&str] = &[LOCK, UNLOCKED, FENCE, CHANNELS, HOLDS, CALLS, STREAMS];

/// What a batch is about, in order.
#[derive(Debug, Default)]
pub(super) struct Keys {
    channels: BTreeSet<B256>,
    requests: BTreeSet<(B256, B256)>,
    streams: BTreeSet<B256>,
}

impl Keys {
    pub(super) fn of(tasks: &[Task], domain: &Domain) -> Self {
        let mut keys = Self::default();
        for task in tasks {
            keys.add(task, domain);
        }
        keys
    }

    fn add(&mut self, task: &Task, domain: &Domain) {
        match task {
            Task::Do(Operation::Open { config, .. }) => self.channel(config.id(domain)),
            Task::Do(Operation::Observe { channel, .. } | Operation::Close { channel, .. }) => {
                self.channel(*channel);
            }
            Task::Do(Operation::Accept { voucher, .. }) => self.channel(voucher.voucher.channel_id),
            Task::Do(Operation::Claim { claim, .. }) => self.channel(claim.channel),
            Task::Do(Operation::Publish { channel, .. }) => self.channel(*channel),
            Task::Do(Operation::Commit(commit)) => {
                if let Some(hold) = &commit.hold {
                    self.request(hold.channel, hold.request);
                }
                self.streams
                    .extend(commit.children.iter().map(|Child { draft, .. }| draft.channel));
            }
            Task::Do(Operation::Barrier { .. } | Operation::Checkpoint { .. }) => {}
            Task::Reserve { call, .. } => self.request(call.channel, call.request),
            Task::Extend { channel, request, .. } | Task::Release { channel, request, .. } => {
                self.request(*channel, *request);
            }
        }
    }

    fn channel(&mut self, channel: B256) {
        self.channels.insert(channel);
    }

    fn request(&mut self, channel: B256, request: B256) {
        self.channels.insert(channel);
        self.requests.insert((channel, request));
    }
}

/// Channel and request.
pub(super) type CallKey = (B256, B256);

/// What the database says of what a batch is about: exact until the transaction ends.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) state: State,
    pub(super) before: BTreeMap<B256, ChannelView>,
    /// Calls in flight, under which lease each.
    pub(super) held: BTreeMap<CallKey, (i64, Reservation)>,
    /// Entries in the log.
    pub(super) size: u64,
}

/// Begins a transaction, locks, reads: one round trip. `None` if the lease `epoch` is lost.
pub(super) async fn load(
    connection: &Connection,
    keys: &Keys,
    (epoch, batch): (i64, i64),
    oldest_ms: u64,
    domain: &Domain,
) -> Result<Option<Loaded>, LoadError> {
    let channels: Vec<&[u8]> = keys.channels.iter().map(|id| id.as_slice()).collect();
    let (of, requests): (Vec<&[u8]>, Vec<&[u8]>) =
        keys.requests.iter().map(|(id, request)| (id.as_slice(), request.as_slice())).unzip();
    let streams: Vec<&[u8]> = keys.streams.iter().map(|id| id.as_slice()).collect();
    let oldest_ms = signed(oldest_ms);
    let lock = if planted(Bug::MissingLock) { UNLOCKED } else { LOCK };
    // Sent in this order, none waiting for the answer of the one before.
    let (_, log, fence, channels, holds, calls, streams) = try_join!(
        connection.run("BEGIN"),
        connection.query(lock, &[]),
        async { connection.query(FENCE, &[&epoch, &batch]).await },
        async { connection.query(CHANNELS, &[&channels]).await },
        async { connection.query(HOLDS, &[&channels]).await },
        async { connection.query(CALLS, &[&of, &requests, &oldest_ms]).await },
        async { connection.query(STREAMS, &[&streams]).await },
    )?;
    if fence.is_empty() {
        return Ok(None);
    }
    let size = log.first().map_or(Ok(0), |row| number(row, 0))?;
    let mut loaded =
        Loaded { state: State::default(), before: BTreeMap::new(), held: BTreeMap::new(), size };
    loaded.channels(&channels, &holds, domain)?;
    for row in &calls {
        let (channel, request) = (hash(row, 0)?, hash(row, 1)?);
        loaded.state.answered(channel, request, number(row, 2)?, number(row, 3)?);
    }
    for row in &streams {
        loaded.state.streams.restore(hash(row, 0)?, number(row, 1)?, amount(row, 2)?);
    }
    Ok(Some(loaded))
}

impl Loaded {
    fn channels(&mut self, channels: &[Row], holds: &[Row], domain: &Domain) -> Result<()> {
        for row in channels {
            self.state.insert(account(row, domain)?.0);
        }
        for row in holds {
            let (channel, request) = (hash(row, 0)?, hash(row, 1)?);
            let account = self.state.account_mut(&channel)?;
            let reservation = account.in_flight(request, amount(row, 3)?)?;
            self.held.insert((channel, request), (get(row, 2)?, reservation));
        }
        let views = self.state.accounts().map(|account| (account.channel.id(), account.view()));
        self.before = views.collect();
        Ok(())
    }
}

/// Why nothing was read.
#[derive(Debug)]
pub(super) enum LoadError {
    Failed(Failure),
    /// What was read cannot be used.
    Broken(crate::error::Error),
}

impl From<Failure> for LoadError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<crate::error::Error> for LoadError {
    fn from(error: crate::error::Error) -> Self {
        Self::Broken(error)
    }
}
