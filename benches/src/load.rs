//! A closed load: each connection sends its calls one after another, and every answer is timed.
//!
//! The calls are built before the clock starts, and what comes back is read after it has stopped:
//! the load runs on the same cores as what it measures.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use vouch_wire::x402::PAYMENT_RESPONSE;

use crate::process::own_cpu;

/// A request that is ready to be sent.
pub type Call = Request<Full<Bytes>>;

/// What a server did under a load.
#[derive(Debug, Default)]
pub struct Load {
    /// From the first call's start to the last answer's end.
    pub wall: Duration,
    /// From a call's start to its answer's end.
    pub latencies: Vec<Duration>,
    /// The answers' `PAYMENT-RESPONSE` headers, where they have one.
    pub payments: Vec<HeaderValue>,
    /// CPU time that the load itself took.
    pub own_cpu: Duration,
}

/// A call to the model API of a server at `address`.
///
/// # Errors
/// Never, for an address and a path.
pub fn call(address: SocketAddr, method: Method, path: &str, body: &str) -> anyhow::Result<Call> {
    Ok(Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, "application/json")
        // No server here needs a key; clients send one all the same.
        .header(AUTHORIZATION, "Bearer none")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?)
}

/// Sends each list of calls over a connection of its own, all at once.
///
/// # Errors
/// If a connection breaks, or an answer is not 200.
pub async fn run(address: SocketAddr, calls: Vec<Vec<Call>>) -> anyhow::Result<Load> {
    let senders = try_join_all(calls.iter().map(|_| connect(address))).await?;
    let (cpu, start) = (own_cpu()?, Instant::now());
    let each = senders.into_iter().zip(calls).map(|(sender, calls)| one(sender, calls));
    let parts = try_join_all(each).await?;
    let (wall, own_cpu) = (start.elapsed(), own_cpu()?.saturating_sub(cpu));
    let mut load = Load { wall, own_cpu, ..Load::default() };
    for part in parts {
        load.latencies.extend(part.latencies);
        load.payments.extend(part.payments);
    }
    Ok(load)
}

async fn one(mut sender: SendRequest<Full<Bytes>>, calls: Vec<Call>) -> anyhow::Result<Load> {
    let mut load = Load::default();
    for call in calls {
        let start = Instant::now();
        sender.ready().await?;
        let mut response = sender.send_request(call).await?;
        let status = response.status();
        let payment = response.headers_mut().remove(PAYMENT_RESPONSE);
        let body = response.into_body().collect().await?.to_bytes();
        load.latencies.push(start.elapsed());
        ensure!(status == StatusCode::OK, "got {status}: {}", String::from_utf8_lossy(&body));
        load.payments.extend(payment);
    }
    Ok(load)
}

/// A connection that is kept alive, for one request at a time.
///
/// # Errors
/// If nothing listens there.
pub async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.context("nothing listens")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender; what breaks it, the sender says.
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender)
}

/// One exchange, untimed.
///
/// # Errors
/// If the connection breaks.
pub async fn exchange(
    address: SocketAddr,
    call: Call,
) -> anyhow::Result<(hyper::http::response::Parts, Bytes)> {
    let mut sender = connect(address).await?;
    let (parts, body) = sender.send_request(call).await?.into_parts();
    Ok((parts, body.collect().await?.to_bytes()))
}
