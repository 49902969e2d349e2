//! Counts for `/metrics`, in Prometheus' text form.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use vouch_core::receipt::{Receipt, Status};

use crate::app::App;

/// Upper bounds of the commit latency's buckets, in microseconds.
const BUCKETS_US: [u64; 9] = [250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    complete: AtomicU64,
    stopped: AtomicU64,
    out_of_funds: AtomicU64,
    failed: AtomicU64,
    repeated: AtomicU64,
    unpaid: AtomicU64,
    refused: AtomicU64,
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
    /// Atomic units; wraps after 2^64 of them, as Prometheus' counters may.
    charged: AtomicU64,
    commits: [AtomicU64; BUCKETS_US.len() + 1],
    commit_sum_us: AtomicU64,
}

impl Metrics {
    pub(crate) fn committed(&self, receipt: &Receipt, took: Duration) {
        add(self.of(receipt.status), 1);
        add(&self.input_tokens, receipt.usage.input.saturating_add(receipt.usage.cached));
        add(&self.output_tokens, receipt.usage.output);
        add(&self.charged, u64::try_from(receipt.charge).unwrap_or(u64::MAX));
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS_US.len());
        add(&self.commits[bucket], 1);
        add(&self.commit_sum_us, us);
    }

    pub(crate) fn repeated(&self) {
        add(&self.repeated, 1);
    }

    pub(crate) fn unpaid(&self) {
        add(&self.unpaid, 1);
    }

    pub(crate) fn refused(&self) {
        add(&self.refused, 1);
    }

    fn of(&self, status: Status) -> &AtomicU64 {
        match status {
            Status::Complete => &self.complete,
            Status::StoppedByPayer => &self.stopped,
            Status::OutOfFunds => &self.out_of_funds,
            Status::Failed => &self.failed,
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// The whole page.
pub(crate) fn render(app: &App) -> String {
    let metrics = &app.metrics;
    let mut page = String::with_capacity(2048);
    let calls = [
        ("complete", &metrics.complete),
        ("stopped-by-payer", &metrics.stopped),
        ("out-of-funds", &metrics.out_of_funds),
        ("failed", &metrics.failed),
        ("repeated", &metrics.repeated),
        ("unpaid", &metrics.unpaid),
        ("refused", &metrics.refused),
    ];
    line(&mut page, format_args!("# TYPE vouch_calls_total counter"));
    for (status, count) in calls {
        line(&mut page, format_args!("vouch_calls_total{{status=\"{status}\"}} {}", get(count)));
    }
    line(&mut page, format_args!("# TYPE vouch_tokens_total counter"));
    for (kind, count) in [("input", &metrics.input_tokens), ("output", &metrics.output_tokens)] {
        line(&mut page, format_args!("vouch_tokens_total{{kind=\"{kind}\"}} {}", get(count)));
    }
    line(&mut page, format_args!("# TYPE vouch_charged_units_total counter"));
    line(&mut page, format_args!("vouch_charged_units_total {}", get(&metrics.charged)));
    histogram(&mut page, metrics);
    let gauges = [
        ("vouch_calls_running", app.work.running() as u64),
        ("vouch_calls_waiting", app.work.waiting() as u64),
        ("vouch_log_size", app.store.size()),
        ("vouch_checkpoint_age_ms", app.checkpoint_age_ms()),
    ];
    for (name, value) in gauges {
        line(&mut page, format_args!("# TYPE {name} gauge\n{name} {value}"));
    }
    page
}

fn histogram(page: &mut String, metrics: &Metrics) {
    line(page, format_args!("# TYPE vouch_commit_seconds histogram"));
    let mut total = 0;
    for (bound, count) in BUCKETS_US.iter().zip(&metrics.commits) {
        total += get(count);
        let seconds = *bound as f64 / 1e6;
        line(page, format_args!("vouch_commit_seconds_bucket{{le=\"{seconds}\"}} {total}"));
    }
    total += get(&metrics.commits[BUCKETS_US.len()]);
    line(page, format_args!("vouch_commit_seconds_bucket{{le=\"+Inf\"}} {total}"));
    let sum = get(&metrics.commit_sum_us) as f64 / 1e6;
    line(page, format_args!("vouch_commit_seconds_sum {sum}\nvouch_commit_seconds_count {total}"));
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.push_str(&text.to_string());
    page.push('\n');
}
