//! What a call has generated and what that costs: pure.

use vouch_core::money::{Prices, Usage};
use vouch_wire::openai::ResponseVouch;

/// What was generated so far.
#[derive(Debug)]
pub(super) struct Meter {
    prices: Prices,
    /// What the caller asked for at most: an engine's own report may say more.
    max_output: u64,
    usage: Usage,
    text: String,
    ids: Option<ResponseVouch>,
    started: bool,
}

impl Meter {
    pub(super) fn new(prices: Prices, max_output: u32) -> Self {
        let usage = Usage::default();
        let max_output = max_output.into();
        Self { prices, max_output, usage, text: String::new(), ids: None, started: false }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether the engine has taken the input on.
    pub(super) fn has_started(&self) -> bool {
        self.started
    }

    pub(super) fn has_ids(&self) -> bool {
        self.ids.is_some()
    }

    /// The prompt's ids, where the engine has them.
    pub(super) fn input_ids(&self) -> Option<Vec<u32>> {
        self.ids.as_ref().map(|ids| ids.input_ids.clone())
    }

    /// Takes in that the engine started.
    pub(super) fn start(&mut self, input_ids: Option<Vec<u32>>, input_tokens: u32, cached: u32) {
        // What is charged is what can be recounted.
        let input = input_ids.as_ref().map_or(u64::from(input_tokens), |ids| ids.len() as u64);
        let cached = u64::from(cached).min(input);
        self.usage = Usage { input: input - cached, cached, output: self.usage.output };
        self.ids = input_ids.map(|input_ids| ResponseVouch {
            input_ids,
            output_ids: Vec::new(),
            sources: None,
        });
        self.started = true;
    }

    /// The usage with a delta that is not taken in yet.
    pub(super) fn with(&self, ids: &[u32], tokens: u32) -> Usage {
        let more = if self.has_ids() { ids.len() as u64 } else { u64::from(tokens) };
        let output = self.usage.output.saturating_add(more).min(self.max_output);
        Usage { output, ..self.usage }
    }

    /// Takes in a delta that the hold covers.
    pub(super) fn take(&mut self, usage: Usage, text: &str, ids: &[u32]) {
        self.usage = usage;
        self.text.push_str(text);
        if let Some(known) = &mut self.ids {
            known.output_ids.extend_from_slice(ids);
        }
    }

    /// Takes in the engine's last word, where there are no ids to count.
    pub(super) fn finish(&mut self, input: u32, cached: u32, output: u32) {
        if self.has_ids() {
            return;
        }
        let cached = u64::from(cached).min(u64::from(input));
        let output = u64::from(output).min(self.max_output);
        self.usage = Usage { input: u64::from(input) - cached, cached, output };
    }

    /// The price of a usage; more than can be said counts as more than anyone has.
    pub(super) fn price(&self, usage: &Usage) -> u128 {
        self.prices.charge(usage).unwrap_or(u128::MAX)
    }

    /// The price of what was generated, lowered to what `limit` covers: an engine without ids may
    /// report more than was set aside, and the provider bears that. The usage is lowered with it,
    /// so that the receipt's charge follows from its counts.
    pub(super) fn settle(&mut self, limit: u128) -> u128 {
        let whole = self.usage;
        if self.price(&whole) > limit {
            self.usage = self.fit(limit, whole);
        }
        self.price(&self.usage).min(limit)
    }

    fn fit(&self, limit: u128, whole: Usage) -> Usage {
        let with_output = |output| Usage { output, ..whole };
        let with_input = |input| Usage { input, cached: 0, output: 0 };
        let affordable = |usage: &Usage| self.price(usage) <= limit;
        let none = with_output(0);
        if affordable(&none) {
            return with_output(largest(whole.output, |n| affordable(&with_output(n))));
        }
        with_input(largest(whole.input, |n| affordable(&with_input(n))))
    }

    /// Text and ids.
    pub(super) fn into_parts(self) -> (String, Option<ResponseVouch>) {
        (self.text, self.ids)
    }
}

/// The largest count up to `most` that holds; 0 if none does.
fn largest(most: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> Meter {
        let prices = Prices { input: 1_000_000, cached: 500_000, output: 2_000_000, request: 3 };
        Meter::new(prices, 1000)
    }

    #[test]
    fn ids_are_what_counts() {
        let mut meter = meter();
        meter.start(Some(vec![1, 2, 3]), 99, 1);
        let usage = meter.with(&[7, 8], 50);
        meter.take(usage, "ab", &[7, 8]);
        meter.finish(77, 0, 77);
        assert_eq!(meter.usage(), Usage { input: 2, cached: 1, output: 2 });
        // 2 * 1 + 1 * 0.5 + 2 * 2, rounded up, and 3 for the request.
        assert_eq!(meter.settle(u128::MAX), 10);
    }

    #[test]
    fn a_report_above_the_hold_is_lowered_and_still_adds_up() {
        let mut meter = meter();
        meter.start(None, 10, 0);
        meter.finish(10, 0, 1000);
        assert_eq!(meter.settle(24), 23);
        assert_eq!(meter.usage(), Usage { input: 10, cached: 0, output: 5 });
        assert_eq!(meter.settle(8), 8);
        assert_eq!(meter.usage(), Usage { input: 5, cached: 0, output: 0 });
    }

    #[test]
    fn the_largest_that_holds() {
        for most in 0..20 {
            for bound in 0..20 {
                assert_eq!(largest(most, |n| n <= bound), most.min(bound));
            }
        }
    }
}
