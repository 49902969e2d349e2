//! One load on one node: the accounts are filled, and transfers sent until they are in blocks.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use anyhow::ensure;
use futures_util::future::try_join_all;
use vouch_benches::{disk, process::own_cpu};

use crate::{
    node::Node,
    rpc::{BATCH, Body, Connection, number},
    transfers::Transfers,
};

pub(crate) const SEND: &str = "eth_sendRawTransaction";
/// With an answer only when the transaction is in a block (EIP-7966).
pub(crate) const SEND_SYNC: &str = "eth_sendRawTransactionSync";

const LOOK: Duration = Duration::from_millis(1);
/// Until the last transaction is in a block: longer than any node needs for a block.
const PATIENCE: Duration = Duration::from_secs(120);

/// How transfers are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Calls in a request.
    pub(crate) batch: usize,
    pub(crate) method: &'static str,
}

impl Shape {
    pub(crate) const fn single(connections: usize) -> Self {
        Self { connections, batch: 1, method: SEND }
    }

    pub(crate) const BATCHES: Self = Self { connections: 8, batch: 100, method: SEND };
    pub(crate) const SYNC: Self = Self { connections: 1, batch: 1, method: SEND_SYNC };

    /// The requests of each connection. A sender has one connection, so that its nonces come in
    /// order.
    fn requests(
        self,
        transfers: &Transfers,
        range: Range<usize>,
        window: Option<usize>,
    ) -> Vec<Vec<Request>> {
        let senders = transfers.senders.len();
        let mut each: Vec<Vec<usize>> = vec![Vec::new(); self.connections];
        for index in range {
            each[index % senders % self.connections].push(index);
        }
        let every = window.map(|window| (window / (self.connections * self.batch)).max(1));
        let request = |(number, part): (usize, &[usize])| {
            let signed: Vec<_> = part.iter().map(|index| &transfers.signed[*index]).collect();
            let waits = every.is_some_and(|every| (number + 1) % every == 0);
            let last = part.last().filter(|_| waits);
            Request {
                body: Body::transactions(self.method, &signed),
                until: last.map(|index| (transfers.signed[*index].sender, nonce(*index, senders))),
            }
        };
        let requests =
            |indices: &Vec<usize>| indices.chunks(self.batch).enumerate().map(request).collect();
        each.iter().map(requests).collect()
    }
}

/// What is sent at once.
#[derive(Debug)]
struct Request {
    body: Body,
    /// What goes on only when this account has had so many transactions in blocks.
    until: Option<(Address, u64)>,
}

/// The nonce that a sender has after the transfer of this number.
fn nonce(index: usize, senders: usize) -> u64 {
    (index / senders + 1) as u64
}

/// What a node did under a load.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) count: usize,
    /// From the first request until all transfers are in blocks.
    pub(crate) wall: Duration,
    /// Of each request.
    pub(crate) latencies: Vec<Duration>,
    /// Of the node, meanwhile.
    pub(crate) cpu: Duration,
    /// Of the load, meanwhile.
    pub(crate) own_cpu: Duration,
    pub(crate) resident_bytes: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) blocks: u64,
}

impl Measured {
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn us_each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.count as f64
    }
}

/// Deploys the token and fills the senders' accounts.
pub(crate) async fn prepare(node: &Node, transfers: &Transfers) -> anyhow::Result<()> {
    let mut connection = node.connect().await?;
    // Anvil may leave a transaction in its queue for ever if the one before it, of the same account,
    // gets into a block at that moment.
    for (nonce, signed) in (1..).zip(&transfers.setup) {
        connection.exchange(&Body::transactions(SEND, &[signed])).await?;
        settled(&mut connection, &[(transfers.giver, nonce)]).await?;
    }
    Ok(())
}

/// Sends the transfers of a range, which must follow those that the node has, and waits until they
/// are in blocks.
pub(crate) async fn run(
    node: &Node,
    transfers: &Transfers,
    range: Range<usize>,
    shape: Shape,
) -> anyhow::Result<Measured> {
    let requests = shape.requests(transfers, range.clone(), node.who.window());
    let nonces = transfers.nonces(range.end);
    let mut watch = node.connect().await?;
    let connections = try_join_all(requests.iter().map(|_| node.connect())).await?;
    let before = number(&watch.call("eth_blockNumber", "[]").await?)?;

    let (cpu, own, start) = (node.process.cpu()?, own_cpu()?, Instant::now());
    let each = connections.into_iter().zip(&requests);
    let parts = try_join_all(each.map(|(connection, requests)| send(connection, requests))).await?;
    settled(&mut watch, &nonces).await?;
    let (wall, own_cpu) = (start.elapsed(), own_cpu()?.saturating_sub(own));

    Ok(Measured {
        count: range.len(),
        wall,
        latencies: parts.concat(),
        cpu: node.process.cpu()?.saturating_sub(cpu),
        own_cpu,
        resident_bytes: node.process.resident_bytes()?,
        peak_bytes: node.process.peak_bytes()?,
        disk_bytes: disk::bytes(node.home.path())?,
        blocks: number(&watch.call("eth_blockNumber", "[]").await?)? - before,
    })
}

async fn send(mut connection: Connection, requests: &[Request]) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(requests.len());
    for Request { body, until } in requests {
        let start = Instant::now();
        connection.exchange(body).await?;
        latencies.push(start.elapsed());
        if let Some(account) = until {
            settled(&mut connection, &[*account]).await?;
        }
    }
    Ok(latencies)
}

/// Waits until accounts have had so many transactions in blocks.
pub(crate) async fn settled(
    connection: &mut Connection,
    nonces: &[(Address, u64)],
) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    // One account first: to ask for all of them again and again would be a load too.
    let (first, rest) = nonces.split_at(nonces.len().min(1));
    for part in [first].into_iter().chain(rest.chunks(BATCH)) {
        let parameters = part.iter().map(|(account, _)| format!(r#"["{account}","latest"]"#));
        let body = Body::new("eth_getTransactionCount", parameters);
        loop {
            let results = connection.results(&body).await?;
            let reached = results.iter().map(number).collect::<anyhow::Result<Vec<_>>>()?;
            if reached.iter().eq(part.iter().map(|(_, nonce)| nonce)) {
                break;
            }
            ensure!(Instant::now() < end, "not all transactions got into blocks: {reached:?}");
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}
