//! What was measured, for people or for programs.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Duration;

use serde::Serialize;

/// Whether more of it is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// As of a rate.
    Higher,
    /// As of a cost.
    Lower,
}

/// One measured figure, with the peer's where there is one.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// The benchmark.
    pub bench: &'static str,
    /// What was measured.
    pub metric: String,
    /// Of both values.
    pub unit: &'static str,
    /// Vouch's value.
    pub ours: f64,
    /// The peer's value.
    pub peer: Option<f64>,
    /// The peer and its version.
    pub peer_name: Option<String>,
    /// How many times better ours is: ours by the peer's for rates, the reverse for costs.
    pub ratio: Option<f64>,
}

impl Figure {
    /// A figure that no peer has.
    #[must_use]
    pub fn alone(bench: &'static str, metric: &str, unit: &'static str, ours: f64) -> Self {
        let metric = metric.to_owned();
        Self { bench, metric, unit, ours, peer: None, peer_name: None, ratio: None }
    }

    /// A figure beside a peer's; a value that is not positive has no ratio.
    #[must_use]
    pub fn beside(self, name: &str, peer: f64, better: Better) -> Self {
        let ratio = match better {
            Better::Higher => self.ours / peer,
            Better::Lower => peer / self.ours,
        };
        let ratio = (self.ours > 0.0 && peer > 0.0).then_some(ratio);
        Self { peer: Some(peer), peer_name: Some(name.to_owned()), ratio, ..self }
    }
}

/// Prints figures: a table, or a line of JSON each.
///
/// # Errors
/// Never, for finite values.
pub fn print(figures: &[Figure], json: bool) -> serde_json::Result<()> {
    if json {
        for figure in figures {
            println!("{}", serde_json::to_string(figure)?);
        }
        return Ok(());
    }
    let width = figures.iter().map(|figure| figure.metric.len()).max().unwrap_or(0);
    let peer = figures.iter().find_map(|figure| figure.peer_name.as_deref()).unwrap_or("none");
    println!("{:width$}  {:>10}  {:>10}  {:>7}  unit", "", "vouch", "peer", "ratio");
    for Figure { metric, unit, ours, peer, ratio, .. } in figures {
        let ours = short(*ours);
        let peer = peer.map_or_else(String::new, short);
        let ratio = ratio.map_or_else(String::new, |ratio| match ratio {
            1.0.. => format!("{ratio:.1}x"),
            _ => format!("{ratio:.2}x"),
        });
        println!("{metric:width$}  {ours:>10}  {peer:>10}  {ratio:>7}  {unit}");
    }
    println!("\npeer: {peer}; ratio: how many times better ours is");
    Ok(())
}

/// Three digits or so: no more is known.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The value in the middle; of nothing, 0.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The time that this share of them did not exceed, in milliseconds; of nothing, 0.
#[must_use]
pub fn quantile_ms(times: &[Duration], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * share) as usize).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
