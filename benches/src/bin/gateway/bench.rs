//! The processes, the load on each in turn, and the payers' books.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context;
use hyper::Method;
use tempfile::TempDir;
use vouch_benches::{
    books::Books,
    figure::{Better, Figure, median},
    load::{self, Call, Load},
    market::{BODY, CHAT, Market},
    payer::Payer,
    peers::{LiteLlm, X402},
    process::Process,
    stub,
    vouch::{Up, Vouch},
};

use crate::{
    BENCH, Options, note,
    tally::{Tally, Who},
};

/// Starts of the gateway, of which the median is told.
const STARTS: usize = 5;

/// The processes that run, the payers, and what was measured so far.
pub(crate) struct Bench {
    pub(crate) stub: Process,
    pub(crate) stub_address: SocketAddr,
    pub(crate) vouch: Up,
    pub(crate) data: TempDir,
    pub(crate) market: Market,
    pub(crate) payers: Vec<Payer>,
    pub(crate) books: Books,
    pub(crate) litellm: Option<LiteLlm>,
    pub(crate) x402: Option<X402>,
    pub(crate) tallies: BTreeMap<(Who, usize), Tally>,
    pub(crate) signing: Duration,
    pub(crate) signed: usize,
}

impl Bench {
    pub(crate) async fn start(options: &Options) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let (stub, ready) = Process::ready(command.arg("stub"))?;
        let stub_address = ready["address"].as_str().context("the stub has no address")?.parse()?;
        let data = tempfile::tempdir_in(&options.data_dir)?;
        let (vouch, _) = vouch(options, &data, stub_address)?;
        let market = Market::visit(vouch.address).await?;
        let (mut payers, mut books) = (Vec::new(), Books::default());
        for number in 0..options.connections.iter().copied().max().unwrap_or(0) {
            let (payer, payment) = Payer::open(&market, number).await?;
            books.enter(&market, &[payment], 1)?;
            payers.push(payer);
        }
        let litellm = match &options.litellm {
            Some(venv) => {
                note("starting LiteLLM");
                Some(LiteLlm::start(venv, data.path(), stub_address).await?)
            }
            None => None,
        };
        let x402 = match &options.x402 {
            Some(peers) => {
                note("starting x402");
                let chain = vouch.field("chain")?;
                Some(X402::start(peers, &market, chain, stub_address, payers.len()).await?)
            }
            None => None,
        };
        Ok(Self {
            stub,
            stub_address,
            vouch,
            data,
            market,
            payers,
            books,
            litellm,
            x402,
            tallies: BTreeMap::new(),
            signing: Duration::ZERO,
            signed: 0,
        })
    }

    pub(crate) async fn warm_up(&mut self) -> anyhow::Result<()> {
        let connections = self.payers.len();
        let calls = self.paid(connections, 50)?;
        self.pay(calls).await?;
        load::run(self.stub_address, unpaid(self.stub_address, connections, 50)?).await?;
        if let Some(peer) = &self.litellm {
            load::run(peer.address, unpaid(peer.address, connections, 10)?).await?;
        }
        if let Some(peer) = &mut self.x402 {
            // Compiled code comes late in JavaScript.
            peer.pay(peer.calls(connections, 50).await?).await?;
        }
        Ok(())
    }

    /// Each in turn, under the same load.
    pub(crate) async fn round(
        &mut self,
        options: &Options,
        connections: usize,
    ) -> anyhow::Result<()> {
        let of_one = |calls: usize| if connections == 1 { calls / 8 } else { calls / connections };
        let calls = unpaid(self.stub_address, connections, of_one(options.calls))?;
        let before = self.stub.cpu()?;
        let load = load::run(self.stub_address, calls).await?;
        self.tally(Who::Stub, connections, &load, Duration::ZERO, before)?;

        let calls = self.paid(connections, of_one(options.calls))?;
        let commits = self.market.commits().await?;
        let (before, stub_before) = (self.vouch.process.cpu()?, self.stub.cpu()?);
        let load = self.pay(calls).await?;
        let cpu = self.vouch.process.cpu()?.saturating_sub(before);
        let commits = self.market.commits().await?.saturating_sub(commits);
        self.tally(Who::Vouch, connections, &load, cpu, stub_before)?;
        self.tallies.entry((Who::Vouch, connections)).or_default().commits += commits;

        if let Some(peer) = &self.litellm {
            let calls = unpaid(peer.address, connections, of_one(options.peer_calls))?;
            let (before, stub_before) = (peer.process.cpu()?, self.stub.cpu()?);
            let load = load::run(peer.address, calls).await?;
            let cpu = peer.process.cpu()?.saturating_sub(before);
            self.tally(Who::LiteLlm, connections, &load, cpu, stub_before)?;
        }
        self.x402_round(connections, of_one(options.peer_calls)).await
    }

    /// Signed ahead and under the same load as ours, then by its own client.
    async fn x402_round(&mut self, connections: usize, each: usize) -> anyhow::Result<()> {
        let Some(peer) = &mut self.x402 else { return Ok(()) };
        let calls = peer.calls(connections, each).await?;
        let (before, stub_before) = (peer.cpu()?, self.stub.cpu()?);
        let load = peer.pay(calls).await?;
        let (between, stub_between) = (peer.cpu()?, self.stub.cpu()?);
        let whole = peer.call(connections, each).await?;
        let (cpu, client_cpu) =
            (between.saturating_sub(before), peer.cpu()?.saturating_sub(between));
        self.tally(Who::X402, connections, &load, cpu, stub_before)?;
        self.tally(Who::X402Client, connections, &whole, client_cpu, stub_between)
    }

    fn tally(
        &mut self,
        who: Who,
        connections: usize,
        load: &Load,
        cpu: Duration,
        stub_before: Duration,
    ) -> anyhow::Result<()> {
        let stub_cpu = self.stub.cpu()?.saturating_sub(stub_before);
        self.tallies.entry((who, connections)).or_default().add(load, cpu, stub_cpu);
        Ok(())
    }

    /// Signs calls, before any clock starts.
    fn paid(&mut self, connections: usize, each: usize) -> anyhow::Result<Vec<Vec<Call>>> {
        let start = Instant::now();
        let payers = self.payers.iter_mut().take(connections);
        let calls = payers.map(|payer| payer.calls(&self.market, each)).collect();
        self.signing += start.elapsed();
        self.signed += connections * each;
        calls
    }

    async fn pay(&mut self, calls: Vec<Vec<Call>>) -> anyhow::Result<Load> {
        let count = calls.iter().map(Vec::len).sum();
        let load = load::run(self.market.address, calls).await?;
        self.books.enter(&self.market, &load.payments, count)?;
        Ok(load)
    }

    /// Kills the gateway, starts it again on the same data, compares the books once more; then
    /// starts new ones.
    pub(crate) async fn starts(mut self, options: &Options) -> anyhow::Result<Vec<Figure>> {
        note("killing the gateway and starting it again");
        self.vouch.process.kill();
        let (again, restart) = vouch(options, &self.data, self.stub_address)?;
        self.market.address = again.address;
        self.books.compare(&self.market).await?;
        again.process.kill();
        let mut seconds = Vec::new();
        for _ in 0..STARTS {
            let data = tempfile::tempdir_in(&options.data_dir)?;
            let (new, start) = vouch(options, &data, self.stub_address)?;
            new.process.kill();
            seconds.push(start.as_secs_f64());
        }
        let start = Figure::alone(BENCH, "start, new data", "s", median(&seconds));
        let start = match &self.litellm {
            Some(peer) => start.beside(&peer.name, peer.start.as_secs_f64(), Better::Lower),
            None => start,
        };
        let restart = restart.as_secs_f64();
        Ok(vec![start, Figure::alone(BENCH, "start after kill -9, all receipts", "s", restart)])
    }
}

/// The same calls without payment.
fn unpaid(address: SocketAddr, connections: usize, each: usize) -> anyhow::Result<Vec<Vec<Call>>> {
    let calls = || (0..each).map(|_| load::call(address, Method::POST, CHAT, BODY)).collect();
    (0..connections).map(|_| calls()).collect()
}

/// Starts `vouch up` on free ports in front of the stub; with the time until it was ready.
fn vouch(options: &Options, data: &TempDir, stub: SocketAddr) -> anyhow::Result<(Up, Duration)> {
    let upstream = format!("http://{stub}/v1");
    let upstream = ["--upstream", &upstream, "--upstream-model", stub::MODEL];
    let start = Instant::now();
    let up = Vouch(options.vouch.clone()).up(data.path(), &upstream)?;
    Ok((up, start.elapsed()))
}
