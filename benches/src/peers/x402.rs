//! The official x402 packages: facilitator, server and client, in a process each.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, ensure};
use hyper::{Method, StatusCode, header::HeaderValue};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use vouch_wire::x402::PAYMENT_SIGNATURE;

use crate::{
    load::{self, Call, Load},
    market::{BODY, CHAT, Market},
    process::Process,
    vouch::{faucet, text},
};

/// A server that sells the stub's answer for a voucher a call, and who pays it.
#[derive(Debug)]
pub struct X402 {
    facilitator: Process,
    server: Process,
    client: Process,
    address: SocketAddr,
    client_address: SocketAddr,
    paid: usize,
    /// With its version.
    pub name: String,
}

impl X402 {
    /// Starts them from the folder with `x402.mjs` and its packages, on the chain that is called
    /// at `rpc` and whose faucet `market` has, and opens a channel for each payer.
    ///
    /// # Errors
    /// If one does not become ready, or a channel is not opened.
    pub async fn start(
        peers: &Path,
        market: &Market,
        rpc: &str,
        stub: SocketAddr,
        payers: usize,
    ) -> anyhow::Result<Self> {
        let offer = &market.offer;
        let start = |role: &str, mut terms: Value| -> anyhow::Result<_> {
            terms["network"] = json!(offer.network);
            terms["asset"] = json!(offer.asset);
            let mut command = Command::new("node");
            command.arg("x402.mjs").arg(role).arg(terms.to_string()).current_dir(peers);
            let (process, ready) = Process::ready(&mut command)?;
            Ok((process, text(&ready, "address")?.parse::<SocketAddr>()?, ready))
        };
        let (facilitator, address, ready) = start("facilitator", json!({ "rpc": rpc }))?;
        faucet(market.address, text(&ready, "account")?.parse()?).await?;
        let mut terms = json!({ "facilitator": address, "stub": stub });
        terms["name"] = json!(offer.extra.name);
        terms["version"] = json!(offer.extra.version);
        let (server, address, _) = start("server", terms)?;
        let terms = json!({ "server": address, "path": CHAT, "body": BODY, "payers": payers });
        let (client, client_address, ready) = start("client", terms)?;
        for account in Vec::<String>::deserialize(&ready["accounts"])? {
            faucet(market.address, account.parse()?).await?;
        }
        let name = format!("x402 {}", version_of(peers)?);
        let mut x402 = Self { facilitator, server, client, address, client_address, paid: 0, name };
        // One after another: the facilitator's transactions at once would take the same nonce.
        for deposit in x402.calls(payers, 1).await? {
            x402.pay(vec![deposit]).await?;
        }
        Ok(x402)
    }

    /// The next calls of so many payers, with vouchers that the client signs.
    ///
    /// # Errors
    /// If it does not.
    pub async fn calls(&self, payers: usize, each: usize) -> anyhow::Result<Vec<Vec<Call>>> {
        let mut calls = Vec::new();
        for payer in 0..payers {
            let asked = json!({ "payer": payer, "count": each });
            let payments: Vec<String> = post(self.client_address, "/sign", &asked).await?;
            let call = |payment: String| {
                let mut call = load::call(self.address, Method::POST, CHAT, BODY)?;
                call.headers_mut().insert(PAYMENT_SIGNATURE, HeaderValue::try_from(payment)?);
                Ok(call)
            };
            calls.push(payments.into_iter().map(call).collect::<anyhow::Result<_>>()?);
        }
        Ok(calls)
    }

    /// Sends signed calls to the server, as ours are sent to the gateway.
    ///
    /// # Errors
    /// If one is not answered and settled.
    pub async fn pay(&mut self, calls: Vec<Vec<Call>>) -> anyhow::Result<Load> {
        let count: usize = calls.iter().map(Vec::len).sum();
        let load = load::run(self.address, calls).await?;
        let settled = load.payments.len();
        ensure!(settled == count, "{count} calls to x402 and {settled} settled");
        self.paid += count;
        Ok(load)
    }

    /// Has the client make whole calls: asked the price, signed and paid one after another.
    ///
    /// # Errors
    /// If one is not answered.
    pub async fn call(&mut self, payers: usize, each: usize) -> anyhow::Result<Load> {
        let cpu = self.client.cpu()?;
        let asked = json!({ "payers": payers, "count": each });
        let called: Called = post(self.client_address, "/call", &asked).await?;
        self.paid += payers * each;
        Ok(Load {
            wall: Duration::from_secs_f64(called.wall_s),
            latencies: called.latencies_s.into_iter().map(Duration::from_secs_f64).collect(),
            own_cpu: self.client.cpu()?.saturating_sub(cpu),
            ..Load::default()
        })
    }

    /// Claims the vouchers on the chain, and compares with what was paid.
    ///
    /// # Errors
    /// If not every call was paid.
    pub async fn claim(&self) -> anyhow::Result<()> {
        let claimed: usize = post(self.address, "/claim", &json!({})).await?;
        let paid = self.paid;
        ensure!(claimed == paid, "x402 was called {paid} times and could claim {claimed}");
        Ok(())
    }

    /// CPU time so far, of server and facilitator.
    ///
    /// # Errors
    /// If one has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(self.server.cpu()? + self.facilitator.cpu()?)
    }

    /// Resident memory in bytes, of server and facilitator.
    ///
    /// # Errors
    /// If one has ended.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        Ok(self.server.resident_bytes()? + self.facilitator.resident_bytes()?)
    }
}

/// What the client's own calls took.
#[derive(Debug, Deserialize)]
struct Called {
    wall_s: f64,
    latencies_s: Vec<f64>,
}

async fn post<T: DeserializeOwned>(
    address: SocketAddr,
    path: &str,
    body: &Value,
) -> anyhow::Result<T> {
    let call = load::call(address, Method::POST, path, &body.to_string())?;
    let (parts, body) = load::exchange(address, call).await?;
    let said = String::from_utf8_lossy(&body);
    ensure!(parts.status == StatusCode::OK, "x402 answered {path} with {}: {said}", parts.status);
    serde_json::from_slice(&body).with_context(|| format!("x402 answered {path} with {said}"))
}

fn version_of(peers: &Path) -> anyhow::Result<String> {
    let package = std::fs::read(peers.join("node_modules/@x402/core/package.json"))?;
    Ok(text(&serde_json::from_slice(&package)?, "version")?.to_owned())
}
