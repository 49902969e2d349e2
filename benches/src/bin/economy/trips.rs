//! One agent asks, another answers: signed both ways, paid, receipted, checked.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tempfile::TempDir;
use vouch_benches::{
    books::Books,
    figure::{Better, Figure, median, quantile_ms},
    market::{BODY, Market},
    peers::Uagents,
    process::{Process, own_cpu},
    stub,
    vouch::Up,
};
use vouch_buyer::Buyer;

use crate::{BENCH, Options, note, paid, start_stub};

const AT_ONCE: [usize; 2] = [1, 8];
/// One trip of the peer costs more.
const PEER_SHARE: usize = 4;

struct Trips {
    _stub: Process,
    _data: TempDir,
    up: Up,
    buyer: Buyer,
    books: Books,
    peer: Option<Uagents>,
}

/// What one of the two did, over all rounds.
#[derive(Default)]
struct Tally {
    per_second: Vec<f64>,
    latencies: Vec<Duration>,
    trips: usize,
    cpu: Duration,
}

impl Tally {
    fn add(&mut self, trips: usize, seconds: f64, cpu: Duration) {
        self.per_second.push(trips as f64 / seconds);
        self.trips += trips;
        self.cpu += cpu;
    }

    fn us_per_trip(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.trips.max(1) as f64
    }
}

pub(crate) async fn figures(options: &Options) -> anyhow::Result<Vec<Figure>> {
    note("round trips: starting two agents");
    let mut trips = Trips::start(options).await?;
    let mut tallies: BTreeMap<usize, (Tally, Tally)> = BTreeMap::new();
    for round in 1..=options.rounds {
        for at_once in AT_ONCE {
            note(&format!("round trips: round {round} of {}, {at_once} at once", options.rounds));
            let (ours, theirs) = tallies.entry(at_once).or_default();
            trips.ours(options.trips, at_once, ours).await?;
            trips.theirs(options.trips / PEER_SHARE, at_once, theirs).await?;
        }
    }
    let market = Market::visit(trips.up.address).await?;
    trips.books.compare(&market).await?;
    let mut figures = Vec::new();
    for (at_once, (ours, theirs)) in &tallies {
        let beside = |metric: &str, unit, better, value: fn(&Tally) -> f64| {
            let figure =
                Figure::alone(BENCH, &format!("{metric}, {at_once} at once"), unit, value(ours));
            match &trips.peer {
                Some(peer) => figure.beside(&peer.name, value(theirs), better),
                None => figure,
            }
        };
        figures
            .push(beside("round trips", "1/s", Better::Higher, |tally| median(&tally.per_second)));
        figures.push(beside("CPU a round trip, both agents", "us", Better::Lower, |tally| {
            tally.us_per_trip()
        }));
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let name = format!("round trip {name}, {at_once} at once");
            figures.push(Figure::alone(BENCH, &name, "ms", quantile_ms(&ours.latencies, share)));
        }
    }
    let receipts = trips.books.receipts() as f64;
    figures.push(Figure::alone(BENCH, "round trips, all in the books", "", receipts));
    Ok(figures)
}

impl Trips {
    async fn start(options: &Options) -> anyhow::Result<Self> {
        let (stub, upstream) = start_stub()?;
        let data = tempfile::tempdir_in(&options.data_dir)?;
        let upstream = ["--upstream", &upstream, "--upstream-model", stub::MODEL];
        let up = options.vouch().up(&data.path().join("provider"), &upstream)?;
        let buyer = paid::buyer(&data.path().join("buyer"), up.address)?;
        let peer = match &options.uagents {
            Some(peers) => Some(Uagents::start(peers, data.path())?),
            None => None,
        };
        let books = Books::default();
        let mut trips = Self { _stub: stub, _data: data, up, buyer, books, peer };
        // The first opens the channel.
        trips.ours(1, 1, &mut Tally::default()).await?;
        trips.ours(64, 8, &mut Tally::default()).await?;
        if let Some(peer) = &trips.peer {
            peer.warm_up().await?;
        }
        Ok(trips)
    }

    async fn ours(
        &mut self,
        trips: usize,
        at_once: usize,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let (cpu, start) = (self.cpu()?, Instant::now());
        let buyer = &self.buyer;
        let agent = |trips: usize| async move {
            let mut done = Vec::with_capacity(trips);
            for _ in 0..trips {
                let start = Instant::now();
                let answered = paid::call(buyer, BODY).await?;
                done.push((start.elapsed(), answered.bundle.receipt));
            }
            anyhow::Ok(done)
        };
        let done = try_join_all((0..at_once).map(|_| agent(trips / at_once))).await?.concat();
        let took = start.elapsed().as_secs_f64();
        tally.add(done.len(), took, self.cpu()?.saturating_sub(cpu));
        for (latency, receipt) in done {
            tally.latencies.push(latency);
            self.books.enter_one(&receipt)?;
        }
        Ok(())
    }

    /// Of both agents: this process asks.
    fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(own_cpu()? + self.up.process.cpu()?)
    }

    async fn theirs(&self, trips: usize, at_once: usize, tally: &mut Tally) -> anyhow::Result<()> {
        let Some(peer) = &self.peer else { return Ok(()) };
        let cpu = peer.cpu()?;
        let seconds = peer.round(trips, at_once).await?;
        tally.add(trips, seconds, peer.cpu()?.saturating_sub(cpu));
        Ok(())
    }
}
