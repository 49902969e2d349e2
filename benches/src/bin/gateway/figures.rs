//! From what was measured to what is told.

use anyhow::{Context, ensure};
use vouch_benches::figure::{Better, Figure};

use crate::{
    BENCH,
    bench::Bench,
    tally::{Tally, Who},
};

impl Bench {
    /// All but the starts, with LiteLLM's where it ran.
    pub(crate) fn figures(&self) -> anyhow::Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for connections in self.connections() {
            figures.extend(self.figures_at(connections)?);
        }
        let resident = self.resident()?;
        figures.push(match &self.litellm {
            Some(peer) => {
                let bytes = peer.process.resident_bytes()?;
                resident.beside(&peer.name, megabytes(bytes), Better::Lower)
            }
            None => resident,
        });
        let receipts = self.books.receipts() as f64;
        figures.push(Figure::alone(BENCH, "receipts, all in the books", "", receipts));
        let sign = self.signing.as_secs_f64() * 1e6 / self.signed as f64;
        figures.push(Figure::alone(BENCH, "payer: sign and encode, untimed", "us", sign));
        Ok(figures)
    }

    /// Ours again, beside x402; none where it did not run.
    pub(crate) fn x402_figures(&self) -> anyhow::Result<Vec<Figure>> {
        let Some(peer) = &self.x402 else { return Ok(Vec::new()) };
        let mut figures = Vec::new();
        for connections in self.connections() {
            figures.extend(shared(
                connections,
                self.measured(Who::Stub, connections)?,
                self.measured(Who::Vouch, connections)?,
                Some((&peer.name, self.measured(Who::X402, connections)?)),
            ));
            let own = self.measured(Who::X402Client, connections)?;
            let alone = |metric: &str, unit, value| {
                let metric = format!("x402 by its own client: {metric}");
                Figure::alone(BENCH, &named_at(&metric, connections), unit, value)
            };
            figures.extend([
                alone("calls", "1/s", own.rate()),
                alone("p50", "ms", own.quantile_ms(0.5)),
                alone("p99", "ms", own.quantile_ms(0.99)),
                alone("CPU a call", "us", own.us_per_call(own.cpu)),
                alone("the client's CPU a call", "us", own.us_per_call(own.load_cpu)),
            ]);
        }
        let bytes = peer.resident_bytes()?;
        figures.push(self.resident()?.beside(&peer.name, megabytes(bytes), Better::Lower));
        Ok(figures)
    }

    fn figures_at(&self, connections: usize) -> anyhow::Result<Vec<Figure>> {
        let stub = self.measured(Who::Stub, connections)?;
        let ours = self.measured(Who::Vouch, connections)?;
        let peer = match &self.litellm {
            Some(peer) => Some((peer.name.as_str(), self.measured(Who::LiteLlm, connections)?)),
            None => None,
        };
        let alone = |metric: &str, unit, value| {
            Figure::alone(BENCH, &named_at(metric, connections), unit, value)
        };
        let mut figures = shared(connections, stub, ours, peer);
        figures.extend([
            alone("stub alone: calls", "1/s", stub.rate()),
            alone("stub alone: p50", "ms", stub.quantile_ms(0.5)),
            alone("stub alone: p99", "ms", stub.quantile_ms(0.99)),
            alone("of a paid call, in the commit", "ms", ours.us_per_call(ours.commits) / 1e3),
            alone("stub: CPU a paid call", "us", ours.us_per_call(ours.stub_cpu)),
            alone("load: CPU a paid call", "us", ours.us_per_call(ours.load_cpu)),
        ]);
        Ok(figures)
    }

    fn measured(&self, who: Who, connections: usize) -> anyhow::Result<&Tally> {
        let tally = self.tallies.get(&(who, connections)).context("nothing was measured")?;
        ensure!(!tally.latencies.is_empty(), "too few calls: raise --calls and --peer-calls");
        Ok(tally)
    }

    fn connections(&self) -> Vec<usize> {
        let mut connections: Vec<_> =
            self.tallies.keys().map(|(_, connections)| *connections).collect();
        connections.sort_unstable();
        connections.dedup();
        connections
    }

    fn resident(&self) -> anyhow::Result<Figure> {
        let bytes = self.vouch.process.resident_bytes()?;
        Ok(Figure::alone(BENCH, "memory after all calls", "MB", megabytes(bytes)))
    }
}

/// What ours and a peer have in common.
fn shared(
    connections: usize,
    stub: &Tally,
    ours: &Tally,
    peer: Option<(&str, &Tally)>,
) -> Vec<Figure> {
    let figure = |metric: &str, unit, better, value: &dyn Fn(&Tally) -> f64| {
        let figure = Figure::alone(BENCH, &named_at(metric, connections), unit, value(ours));
        match peer {
            Some((name, tally)) => figure.beside(name, value(tally), better),
            None => figure,
        }
    };
    let added = |share| move |tally: &Tally| tally.quantile_ms(share) - stub.quantile_ms(share);
    vec![
        figure("calls", "1/s", Better::Higher, &Tally::rate),
        figure("added p50", "ms", Better::Lower, &added(0.5)),
        figure("added p99", "ms", Better::Lower, &added(0.99)),
        figure("CPU a call", "us", Better::Lower, &|tally| tally.us_per_call(tally.cpu)),
    ]
}

fn named_at(metric: &str, connections: usize) -> String {
    format!("{metric}, {connections} at once")
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
