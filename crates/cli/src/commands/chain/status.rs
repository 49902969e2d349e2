//! The line at the bottom of the terminal: how the chain is doing, as it runs.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use vouch_chain::{Chain, Monitor, Status};

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(500);

/// See the module. Shown on a terminal only.
pub(crate) struct Line {
    bar: ProgressBar,
    task: JoinHandle<()>,
}

impl Line {
    pub(crate) fn start(chain: &Chain, hidden: bool) -> Self {
        let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        let (shown, monitor) = (bar.clone(), chain.monitor());
        let task = tokio::spawn(async move {
            if !shown.is_hidden() {
                keep(&shown, &monitor).await;
            }
        });
        Self { bar, task }
    }

    pub(crate) fn end(self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

async fn keep(bar: &ProgressBar, monitor: &Monitor) {
    let (mut before, mut at) = (monitor.status(), Instant::now());
    loop {
        tokio::time::sleep(EVERY).await;
        let (now, then) = (monitor.status(), at);
        at = Instant::now();
        bar.set_message(describe(&before, &now, at - then));
        before = now;
    }
}

fn describe(before: &Status, now: &Status, within: Duration) -> String {
    // What was taken back is not counted against what was made.
    let rate = |now: u64, before: u64| {
        HumanCount((now.saturating_sub(before) as f64 / within.as_secs_f64()) as u64)
    };
    let memory = now.resident_bytes.map_or("?".to_owned(), |bytes| HumanBytes(bytes).to_string());
    format!(
        "block {}  {} tx/s  {} gas/s  pool {}  memory {memory}",
        HumanCount(now.block),
        rate(now.transactions, before.transactions),
        rate(now.gas_used, before.gas_used),
        HumanCount(now.waiting),
    )
}
