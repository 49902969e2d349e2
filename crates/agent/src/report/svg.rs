//! Charts as SVG, drawn here: a few lines need no library.

use std::fmt::Write;

use super::date::date;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 24.0;
/// More points than pixels show nothing more.
const MAX_POINTS: usize = 1_000;

/// One line of a chart.
pub(super) struct Line<'a> {
    pub(super) class: &'static str,
    pub(super) points: &'a [(u64, f64)],
}

/// A chart of lines over time.
pub(super) fn chart(label: &str, lines: &[Line<'_>]) -> String {
    let all = || lines.iter().flat_map(|line| line.points).filter(|(_, value)| value.is_finite());
    let (first, last) =
        all().fold((u64::MAX, 0), |(low, high), (time, _)| (low.min(*time), high.max(*time)));
    let (low, high) =
        all().fold((f64::MAX, f64::MIN), |(low, high), (_, v)| (low.min(*v), high.max(*v)));
    if first > last || low > high {
        return String::new();
    }
    let high = if high > low { high } else { low + 1.0 };
    let span = (last - first).max(1) as f64;
    let x = |time: u64| LEFT + (time - first) as f64 / span * (WIDTH - LEFT - 10.0);
    let y = |value: f64| 10.0 + (high - value) / (high - low) * (HEIGHT - BOTTOM - 10.0);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        super::html::escape(label)
    );
    for step in 0..=4 {
        let value = low + (high - low) * f64::from(step) / 4.0;
        let _infallible = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/>\
             <text x=\"{2:.0}\" y=\"{3:.1}\" text-anchor=\"end\">{value:.2}</text>",
            WIDTH - 10.0,
            y(value),
            LEFT - 6.0,
            y(value) + 4.0
        );
    }
    for (time, anchor) in [(first, "start"), (last, "end")] {
        let _infallible = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"{anchor}\">{}</text>",
            x(time),
            HEIGHT - 6.0,
            date(time)
        );
    }
    for line in lines {
        let every = line.points.len().div_ceil(MAX_POINTS).max(1);
        let kept = line
            .points
            .iter()
            .enumerate()
            .filter(|(at, _)| at % every == 0 || at.saturating_add(1) == line.points.len());
        let _infallible = write!(svg, "<polyline class=\"{}\" points=\"", line.class);
        for (_, (time, value)) in kept.filter(|(_, (_, value))| value.is_finite()) {
            let _infallible = write!(svg, "{:.1},{:.1} ", x(*time), y(*value));
        }
        svg.push_str("\"/>");
    }
    svg.push_str("</svg>");
    svg
}
