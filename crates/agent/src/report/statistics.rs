//! Returns and risk; the formulas are on the module's page.

use serde::Serialize;

use super::Point;

const DAY_S: u64 = 86_400;
const YEAR_S: u64 = 365 * DAY_S;
/// Fewer returns say nothing about risk; those of periods without a block are not counted.
const MIN_RETURNS: usize = 20;

/// The distance of the returns that a ratio is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Of spans below two days.
    Minute,
    /// Of spans below 60 days.
    Hour,
    /// Of longer ones.
    Day,
}

impl Period {
    fn of(span_s: u64) -> Self {
        match span_s {
            0..172_800 => Self::Minute,
            172_800..5_184_000 => Self::Hour,
            _ => Self::Day,
        }
    }

    fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => DAY_S,
        }
    }
}

/// Return for risk, annualised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratios {
    /// The distance of the returns.
    pub period: Period,
    /// How many there are.
    pub returns: usize,
    /// Mean over standard deviation; none if nothing varies.
    pub sharpe: Option<f64>,
    /// Mean over downside deviation; none if nothing fell.
    pub sortino: Option<f64>,
}

/// The deepest fall from a highest value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drawdown {
    /// 0.1 is a tenth below the highest.
    pub depth: f64,
    /// Unix seconds of the highest value before it.
    pub peak: u64,
    /// Of the lowest.
    pub trough: u64,
    /// Of the first value as high again; none if that has not come.
    pub recovered: Option<u64>,
}

pub(super) fn change(first: f64, last: f64) -> f64 {
    if first > 0.0 { last / first - 1.0 } else { 0.0 }
}

pub(super) fn cagr(total_return: f64, span_s: u64) -> Option<f64> {
    let grown = 1.0 + total_return;
    (span_s >= 30 * DAY_S && grown > 0.0).then(|| grown.powf(YEAR_S as f64 / span_s as f64) - 1.0)
}

/// The last value of each period that has begun; periods without a block keep the value before.
fn resampled(curve: &[Point], period_s: u64) -> Vec<f64> {
    let Some(first) = curve.first() else { return Vec::new() };
    let mut values = vec![first.value];
    let mut at = first.time / period_s;
    for point in curve {
        let now = point.time / period_s;
        while at < now {
            let last = values.last().copied().unwrap_or_default();
            values.push(last);
            at += 1;
        }
        if let Some(last) = values.last_mut() {
            *last = point.value;
        }
    }
    values
}

pub(super) fn ratios(curve: &[Point]) -> Option<Ratios> {
    let span = curve.last()?.time.saturating_sub(curve.first()?.time);
    let period = Period::of(span);
    let values = resampled(curve, period.seconds());
    let returns: Vec<f64> =
        values.windows(2).filter_map(|pair| Some(change(*pair.first()?, *pair.last()?))).collect();
    let same =
        |one: &Point, next: &Point| one.time / period.seconds() == next.time / period.seconds();
    if curve.chunk_by(same).count() <= MIN_RETURNS {
        return None;
    }
    let count = returns.len() as f64;
    let mean = returns.iter().sum::<f64>() / count;
    let variance = returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let downside = (returns.iter().map(|r| r.min(0.0).powi(2)).sum::<f64>() / count).sqrt();
    let scale = (YEAR_S as f64 / period.seconds() as f64).sqrt();
    let ratio = |risk: f64| (risk > 0.0).then(|| mean / risk * scale);
    let (sharpe, sortino) = (ratio(variance.sqrt()), ratio(downside));
    Some(Ratios { period, returns: returns.len(), sharpe, sortino })
}

pub(super) fn max_drawdown(curve: &[Point]) -> Option<Drawdown> {
    let mut peak = curve.first()?;
    let mut deepest: Option<(Drawdown, f64)> = None;
    for point in curve {
        if let Some((fall, height)) = &mut deepest
            && fall.recovered.is_none()
            && point.value >= *height
        {
            fall.recovered = Some(point.time);
        }
        if point.value >= peak.value {
            peak = point;
        }
        let depth = if peak.value > 0.0 { 1.0 - point.value / peak.value } else { 0.0 };
        if depth > deepest.as_ref().map_or(0.0, |(fall, _)| fall.depth) {
            let (peak_s, trough) = (peak.time, point.time);
            let fall = Drawdown { depth, peak: peak_s, trough, recovered: None };
            deepest = Some((fall, peak.value));
        }
    }
    deepest.map(|(fall, _)| fall)
}

pub(super) fn under_water(curve: &[Point]) -> f64 {
    let (mut highest, mut below) = (f64::MIN, 0u64);
    for pair in curve.windows(2) {
        let [now, next] = pair else { continue };
        highest = highest.max(now.value);
        if now.value < highest {
            below += next.time.saturating_sub(now.time);
        }
    }
    let ends = curve.first().zip(curve.last());
    let span = ends.map_or(0, |(first, last)| last.time.saturating_sub(first.time));
    if span == 0 { 0.0 } else { below as f64 / span as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(values: &[f64]) -> Vec<Point> {
        let point = |(day, value): (usize, &f64)| Point {
            time: day as u64 * DAY_S,
            value: *value,
            hold: *value,
        };
        values.iter().enumerate().map(point).collect()
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * b.abs().max(1.0)
    }

    #[test]
    fn the_worst_fall_has_its_dates() {
        let curve = daily(&[100.0, 120.0, 90.0, 110.0, 125.0, 120.0]);
        let worst = max_drawdown(&curve).unwrap();
        assert!(near(worst.depth, 0.25));
        assert_eq!((worst.peak, worst.trough), (DAY_S, 2 * DAY_S));
        assert_eq!(worst.recovered, Some(4 * DAY_S));
        assert!(near(under_water(&curve), 2.0 / 5.0));
        assert_eq!(max_drawdown(&daily(&[1.0, 2.0, 3.0])), None);
        let open = max_drawdown(&daily(&[2.0, 1.0])).unwrap();
        assert_eq!(open.recovered, None);
    }

    #[test]
    fn a_later_smaller_fall_keeps_the_first_ones_recovery() {
        let worst = max_drawdown(&daily(&[100.0, 50.0, 100.0, 80.0, 79.0])).unwrap();
        assert_eq!((worst.trough, worst.recovered), (DAY_S, Some(2 * DAY_S)));
    }

    /// By hand: a pattern of five returns, fourteen times.
    #[test]
    fn ratios_are_the_formulas() {
        let mut values = vec![100.0];
        for day in 0..70 {
            let r = [0.01, -0.004, 0.002, -0.011, 0.008][day % 5];
            values.push(values[day] * (1.0 + r));
        }
        let ratios = ratios(&daily(&values)).unwrap();
        assert_eq!((ratios.period, ratios.returns), (Period::Day, 70));
        let (mean, count) = (0.001, 70.0f64);
        let square: f64 = [0.009f64, -0.005, 0.001, -0.012, 0.007].iter().map(|d| d * d).sum();
        let deviation = (square * 14.0 / (count - 1.0)).sqrt();
        assert!(near(ratios.sharpe.unwrap(), mean / deviation * 365f64.sqrt()));
        let down = ((0.004f64.powi(2) + 0.011f64.powi(2)) / 5.0).sqrt();
        assert!(near(ratios.sortino.unwrap(), mean / down * 365f64.sqrt()));
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(ratios(&daily(&[1.0, 2.0, 3.0])), None);
        assert_eq!(cagr(0.5, 29 * DAY_S), None);
        assert!(near(cagr(0.21, 2 * YEAR_S).unwrap(), 0.1));
        let flat = ratios(&daily(&[1.0; 80])).unwrap();
        assert_eq!((flat.sharpe, flat.sortino), (None, None));
    }
}
