//! What was measured, by whom and over how many connections.

use std::time::Duration;

use vouch_benches::{
    figure::{median, quantile_ms},
    load::Load,
};

/// Who was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Stub,
    Vouch,
    LiteLlm,
    X402,
    /// The server of x402 again, called by its own client.
    X402Client,
}

/// What one of them did, over all rounds, at one number of connections.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) calls_per_second: Vec<f64>,
    pub(crate) latencies: Vec<Duration>,
    pub(crate) cpu: Duration,
    pub(crate) stub_cpu: Duration,
    pub(crate) load_cpu: Duration,
    /// From a charge to its receipt on the disk, summed over the calls.
    pub(crate) commits: Duration,
}

impl Tally {
    pub(crate) fn add(&mut self, load: &Load, cpu: Duration, stub_cpu: Duration) {
        self.calls_per_second.push(load.latencies.len() as f64 / load.wall.as_secs_f64());
        self.latencies.extend(&load.latencies);
        self.cpu += cpu;
        self.stub_cpu += stub_cpu;
        self.load_cpu += load.own_cpu;
    }

    pub(crate) fn rate(&self) -> f64 {
        median(&self.calls_per_second)
    }

    /// The latency that this share of the calls did not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        quantile_ms(&self.latencies, share)
    }

    pub(crate) fn us_per_call(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.latencies.len().max(1) as f64
    }
}
