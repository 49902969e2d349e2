//! From what was measured to what is told.

use anyhow::{Context, ensure};
use vouch_benches::{
    figure::{Better, Figure},
    process::Process,
};

use crate::{
    BENCH,
    bench::Bench,
    tally::{Tally, Who},
};

impl Bench {
    /// All but the starts.
    pub(crate) fn figures(&self) -> anyhow::Result<Vec<Figure>> {
        let mut figures = Vec::new();
        let mut connections: Vec<_> =
            self.tallies.keys().map(|(_, connections)| *connections).collect();
        connections.sort_unstable();
        connections.dedup();
        for connections in connections {
            figures.extend(self.figures_at(connections)?);
        }
        let megabytes = |process: &Process| -> anyhow::Result<f64> {
            Ok(process.resident_bytes()? as f64 / 1e6)
        };
        let resident =
            Figure::alone(BENCH, "memory after all calls", "MB", megabytes(&self.vouch)?);
        figures.push(match &self.peer {
            Some(peer) => resident.beside(&peer.name, megabytes(&peer.process)?, Better::Lower),
            None => resident,
        });
        let receipts = self.books.receipts() as f64;
        figures.push(Figure::alone(BENCH, "receipts, all in the books", "", receipts));
        let sign = self.signing.as_secs_f64() * 1e6 / self.signed as f64;
        figures.push(Figure::alone(BENCH, "payer: sign and encode, untimed", "us", sign));
        Ok(figures)
    }

    fn figures_at(&self, connections: usize) -> anyhow::Result<Vec<Figure>> {
        let of = |who| self.tallies.get(&(who, connections));
        let (stub, ours) = of(Who::Stub).zip(of(Who::Vouch)).context("nothing was measured")?;
        ensure!(!ours.latencies.is_empty(), "too few calls: raise --calls");
        let named = self.peer.as_ref().zip(of(Who::Peer));
        let figure = |metric: &str, unit, better, value: &dyn Fn(&Tally) -> f64| {
            let figure = Figure::alone(BENCH, &named_at(metric, connections), unit, value(ours));
            match named {
                Some((peer, tally)) => figure.beside(&peer.name, value(tally), better),
                None => figure,
            }
        };
        let added = |share| move |tally: &Tally| tally.quantile_ms(share) - stub.quantile_ms(share);
        let alone = |metric: &str, unit, value| {
            Figure::alone(BENCH, &named_at(metric, connections), unit, value)
        };
        Ok(vec![
            figure("calls", "1/s", Better::Higher, &Tally::rate),
            figure("added p50", "ms", Better::Lower, &added(0.5)),
            figure("added p99", "ms", Better::Lower, &added(0.99)),
            figure("CPU a call", "us", Better::Lower, &|tally| tally.us_per_call(tally.cpu)),
            alone("stub alone: calls", "1/s", stub.rate()),
            alone("stub alone: p50", "ms", stub.quantile_ms(0.5)),
            alone("stub alone: p99", "ms", stub.quantile_ms(0.99)),
            alone("of a paid call, in the commit", "ms", ours.us_per_call(ours.commits) / 1e3),
            alone("stub: CPU a paid call", "us", ours.us_per_call(ours.stub_cpu)),
            alone("load: CPU a paid call", "us", ours.us_per_call(ours.load_cpu)),
        ])
    }
}

fn named_at(metric: &str, connections: usize) -> String {
    format!("{metric}, {connections} at once")
}
