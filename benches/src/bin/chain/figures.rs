//! From what was measured to what is told.

use std::{collections::BTreeMap, fmt, time::Duration};

use vouch_benches::figure::{Better, Figure, median, print, quantile_ms};

use crate::{
    BENCH,
    ceilings::Ceilings,
    growth::Grown,
    measure::{Measured, SEND_SYNC, Shape},
    node::Who,
};

const LOADS: [Shape; 3] = [Shape::single(1), Shape::single(8), Shape::BATCHES];

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    names: BTreeMap<Who, String>,
    measured: BTreeMap<(Who, Shape), Vec<Measured>>,
    /// How long a start took: after `kill -9`, and after Ctrl-C.
    pub(crate) starts: Vec<[Duration; 2]>,
    pub(crate) ceilings: Vec<Ceilings>,
    pub(crate) growth: Option<(Vec<Grown>, [Duration; 2])>,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, batch, method } = self;
        match (batch, *connections) {
            _ if *method == SEND_SYNC => f.write_str(method),
            (1, 1) => f.write_str("1 connection"),
            (1, connections) => write!(f, "{connections} connections"),
            (batch, connections) => write!(f, "batches of {batch}, {connections} connections"),
        }
    }
}

impl Results {
    pub(crate) fn add(&mut self, who: Who, shape: Shape, name: String, measured: Measured) {
        self.names.insert(who, name);
        self.measured.entry((who, shape)).or_default().push(measured);
    }

    /// A table for each peer, one for the ceilings, and one of what only ours has.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        let instant = LOADS.map(|shape| (Who::Vouch, shape)).to_vec();
        let sync = [&instant[..], &[(Who::Vouch, Shape::SYNC)]].concat();
        let interval = vec![(Who::Vouch, Shape::BATCHES), (Who::VouchInterval, Shape::BATCHES)];
        let peers = [(Who::Anvil, sync), (Who::AnvilInterval, interval), (Who::Hardhat, instant)];
        let mut tables: Vec<Vec<Figure>> = Vec::new();
        if self.measured.keys().all(|(who, _)| who.is_ours()) {
            let ours = self.measured.keys().flat_map(|(who, shape)| self.rows(*who, *shape, None));
            tables.push(ours.collect());
        } else {
            let rows = |(peer, ours): &(Who, Vec<(Who, Shape)>)| {
                ours.iter().flat_map(|(who, shape)| self.rows(*who, *shape, Some(*peer))).collect()
            };
            tables.extend(peers.iter().map(rows));
        }
        tables.extend([self.limits(), self.alone()]);
        for table in tables.iter().filter(|table| !table.is_empty()) {
            print(table, json)?;
        }
        Ok(())
    }

    /// What ours did under a load, and a peer under its own of this shape.
    fn rows(&self, who: Who, shape: Shape, peer: Option<Who>) -> Vec<Figure> {
        let Some(ours) = self.measured.get(&(who, shape)) else { return Vec::new() };
        let peer =
            peer.and_then(|peer| Some((self.named(peer), self.measured.get(&(peer, shape))?)));
        let figure = |metric: &str, unit, better, value: &dyn Fn(&[Measured]) -> f64| {
            let metric = format!("{metric}, {shape}{}", when(who));
            let figure = Figure::alone(BENCH, &metric, unit, value(ours));
            match &peer {
                Some((name, theirs)) => figure.beside(name, value(theirs), better),
                None => figure,
            }
        };
        if shape == Shape::SYNC {
            let quantile = |share| move |rounds: &[Measured]| latency_ms(rounds, share);
            return vec![
                figure("answered, p50", "ms", Better::Lower, &quantile(0.5)),
                figure("answered, p99", "ms", Better::Lower, &quantile(0.99)),
            ];
        }
        let count = |rounds: &[Measured]| rounds.first().map_or(0, |one| one.count);
        let count = match &peer {
            Some((_, theirs)) => format!("transfers ({} and {})", count(ours), count(theirs)),
            None => format!("transfers ({})", count(ours)),
        };
        vec![
            figure(&count, "1/s", Better::Higher, &|rounds| middle(rounds, Measured::rate)),
            figure("CPU a transfer", "us", Better::Lower, &|rounds| {
                middle(rounds, |one| one.us_each(one.cpu))
            }),
            figure("memory after all", "MB", Better::Lower, &|rounds| {
                middle(rounds, |one| megabytes(one.resident_bytes))
            }),
            figure("memory at most", "MB", Better::Lower, &|rounds| {
                middle(rounds, |one| megabytes(one.peak_bytes))
            }),
        ]
    }

    /// With the version, and when it makes blocks.
    fn named(&self, who: Who) -> String {
        let name = self.names.get(&who).map_or("", String::as_str);
        format!("{name}{}", when(who))
    }

    /// What the parts of the work do alone, and which share of it ours reaches as a whole.
    fn limits(&self) -> Vec<Figure> {
        if self.ceilings.is_empty() {
            return Vec::new();
        }
        let rate = |value: &dyn Fn(&Ceilings) -> f64| {
            median(&self.ceilings.iter().map(value).collect::<Vec<_>>())
        };
        let [run, in_block, recover, append, sync, in_turn, on_all_cores] = [
            rate(&|one| 1.0 / one.run_s),
            rate(&|one| 1.0 / one.run_in_block_s),
            rate(&|one| 1.0 / one.recover_s),
            rate(&|one| 1.0 / one.append_s),
            rate(&|one| 1.0 / one.sync_s),
            rate(&Ceilings::in_turn),
            rate(&Ceilings::on_all_cores),
        ];
        let alone =
            |metric: &str, value| Figure::alone(BENCH, &format!("alone: {metric}"), "1/s", value);
        let mut figures = vec![
            alone("transfers in revm, committed one by one, 1 thread", run),
            alone("transfers in revm, committed by 1,000, 1 thread", in_block),
            alone("senders recovered by libsecp256k1, 1 thread", recover),
            alone("appends of 512 bytes, each synced", append),
            alone("the same, the file's blocks there already", sync),
        ];
        let shares = [
            // One after another, each in a block of its own and durable.
            (Shape::SYNC, "recover, run and sync in turn", in_turn),
            (Shape::SYNC, "sync, the file's blocks there already", sync),
            (Shape::BATCHES, "recover and run, all cores", on_all_cores),
            (Shape::BATCHES, "recover, 1 thread", recover),
            (Shape::BATCHES, "revm, 1 thread", in_block),
        ];
        for (shape, what, limit) in shares {
            let Some(ours) = self.measured.get(&(Who::Vouch, shape)) else { continue };
            let metric = format!("transfers, {shape}; limit: {what}");
            let figure = Figure::alone(BENCH, &metric, "1/s", middle(ours, Measured::rate));
            figures.push(figure.beside("the limit", limit, Better::Higher));
        }
        figures
    }

    /// What no peer has.
    fn alone(&self) -> Vec<Figure> {
        let alone = |metric: &str, unit, value| Figure::alone(BENCH, metric, unit, value);
        let mut figures = Vec::new();
        for ((who, shape), rounds) in self.measured.iter().filter(|((who, _), _)| who.is_ours()) {
            let mut push = |metric: &str, unit, value: &dyn Fn(&Measured) -> f64| {
                let metric = format!("{metric}, {shape}{}", when(*who));
                figures.push(alone(&metric, unit, middle(rounds, value)));
            };
            push("disk", "MB", &|one| megabytes(one.disk_bytes));
            push("transfers a block", "", &|one| one.count as f64 / one.blocks.max(1) as f64);
            push("the load's CPU a transfer", "us", &|one| one.us_each(one.own_cpu));
        }
        for (index, after) in ["kill -9", "Ctrl-C"].into_iter().enumerate() {
            let seconds: Vec<_> = self.starts.iter().map(|one| one[index].as_secs_f64()).collect();
            if !seconds.is_empty() {
                let metric = format!("start after the batches and {after}");
                figures.push(alone(&metric, "s", median(&seconds)));
            }
        }
        let Some((grown, [killed, ended])) = &self.growth else { return figures };
        for Grown { transfers, measured } in grown {
            let at = |metric: &str| format!("growth: {metric} {transfers} transfers");
            figures.extend([
                alone(&at("transfers up to"), "1/s", measured.rate()),
                alone(&at("memory after"), "MB", megabytes(measured.resident_bytes)),
                alone(&at("disk after"), "MB", megabytes(measured.disk_bytes)),
            ]);
        }
        let (killed, ended) = (killed.as_secs_f64(), ended.as_secs_f64());
        figures.push(alone("growth: start of the longest after kill -9", "s", killed));
        figures.push(alone("growth: start of the longest after Ctrl-C", "s", ended));
        figures
    }
}

fn when(who: Who) -> &'static str {
    match who {
        Who::VouchInterval | Who::AnvilInterval => ", a block a second",
        Who::Vouch | Who::Anvil | Who::Hardhat => "",
    }
}

fn middle(rounds: &[Measured], value: impl Fn(&Measured) -> f64) -> f64 {
    median(&rounds.iter().map(value).collect::<Vec<_>>())
}

/// Over the requests of all rounds.
fn latency_ms(rounds: &[Measured], share: f64) -> f64 {
    let all: Vec<_> = rounds.iter().flat_map(|one| &one.latencies).copied().collect();
    quantile_ms(&all, share)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
