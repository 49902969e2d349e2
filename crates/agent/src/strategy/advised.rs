//! Let a model choose among what the rules allow.

use std::fmt::Write;

use alloy_primitives::{Address, U256};

use super::{Choice, Question, Strategy, View, Want, view::part};
use crate::market::math::bps_up;

/// Lists the swaps of one step that keep every weight near its target, asks for a letter, and does
/// what the letter says. Any other answer, and none, is the first option: to hold.
#[derive(Debug, Clone)]
pub struct Advised {
    model: String,
    every_s: u64,
    step_bps: u64,
    drift_bps: u64,
    asked: u64,
    asked_at: Option<u64>,
    /// Of the open question; the first is to hold.
    options: Vec<Swap>,
}

#[derive(Debug, Clone, Copy)]
struct Swap {
    sell: Address,
    buy: Address,
}

/// As many options as there are letters, less the one to hold.
const MAX_SWAPS: usize = 25;

impl Advised {
    /// Asks `model` every `every_s` seconds which step of `step_bps` of the whole to take, among
    /// those that leave each weight within `drift_bps` of its target.
    #[must_use]
    pub fn new(model: String, every_s: u64, step_bps: u64, drift_bps: u64) -> Self {
        Self { model, every_s, step_bps, drift_bps, asked: 0, asked_at: None, options: Vec::new() }
    }

    fn ask(&mut self, view: &View<'_>) -> Option<Choice> {
        let due =
            self.asked_at.is_none_or(|at| view.snapshot.time >= at.saturating_add(self.every_s));
        if !due {
            return None;
        }
        let values = view.values()?;
        let total = values.iter().copied().fold(U256::ZERO, U256::saturating_add);
        let step = part(total, self.step_bps);
        let weights: Vec<u64> =
            values.iter().map(|value| u64::from(bps_up(*value, total.max(U256::ONE)))).collect();
        let options = self.allowed(view, &weights);
        if options.is_empty() || step < view.portfolio.limits.min_trade {
            return None;
        }
        let mut text = String::from("You advise a portfolio. Its assets:\n");
        for ((asset, value), weight) in view.portfolio.assets.iter().zip(&values).zip(&weights) {
            let worth = view.portfolio.amount(view.portfolio.quote, *value);
            // Every word of this is the owner's or ours: nothing that a token says of itself.
            let _infallible = writeln!(
                text,
                "{}: worth {worth}, {}.{:02}% of the whole, target {}.{:02}%",
                asset.name,
                weight / 100,
                weight % 100,
                asset.weight_bps / 100,
                asset.weight_bps % 100
            );
        }
        text.push_str("Choose one option. Answer with its letter and nothing else.\nA: hold\n");
        let mut letters = String::from("A");
        for (letter, option) in ('B'..='Z').zip(&options) {
            letters.push(letter);
            let (sell, buy) = (view.portfolio.label(option.sell), view.portfolio.label(option.buy));
            let step = view.portfolio.amount(view.portfolio.quote, step);
            let _infallible = writeln!(text, "{letter}: sell {sell} worth {step} for {buy}");
        }
        self.options = options;
        self.asked = self.asked.saturating_add(1);
        self.asked_at = Some(view.snapshot.time);
        Some(Choice::Ask(Question { id: self.asked, model: self.model.clone(), text, letters }))
    }

    /// The swaps of one step that leave both weights near enough to their targets.
    fn allowed(&self, view: &View<'_>, weights: &[u64]) -> Vec<Swap> {
        let assets = &view.portfolio.assets;
        let mut allowed = Vec::new();
        for (sold, sold_weight) in assets.iter().zip(weights) {
            for (bought, bought_weight) in assets.iter().zip(weights) {
                let pair = (sold.address, bought.address);
                let after = sold_weight.checked_sub(self.step_bps);
                let low = after
                    .is_some_and(|after| after.saturating_add(self.drift_bps) >= sold.weight_bps);
                let high = bought_weight.saturating_add(self.step_bps)
                    <= bought.weight_bps.saturating_add(self.drift_bps);
                let traded = pair.0 != pair.1 && view.pools(pair.0, pair.1).next().is_some();
                if low && high && traded && allowed.len() < MAX_SWAPS {
                    allowed.push(Swap { sell: pair.0, buy: pair.1 });
                }
            }
        }
        allowed
    }

    fn follow(&mut self, view: &View<'_>) -> Option<Choice> {
        let advice = view.advice.filter(|advice| advice.question == self.asked)?;
        let options = std::mem::take(&mut self.options);
        let letters: String = ('A'..='Z').take(options.len().saturating_add(1)).collect();
        let option = advice.option(&letters)?;
        let swap = options.get(option.checked_sub(1)?)?;
        let values = view.values()?;
        let total = values.iter().copied().fold(U256::ZERO, U256::saturating_add);
        let amount_in = view.worth(swap.sell, part(total, self.step_bps))?;
        let amount_in = amount_in.min(view.snapshot.balance(swap.sell));
        let letter = letters.chars().nth(option)?;
        Some(Choice::Act {
            want: Want::Swap { sell: swap.sell, buy: swap.buy, amount_in },
            reason: format!("the model chose option {letter} of question {}", advice.question),
            relied_on: advice.receipt.into_iter().collect(),
        })
    }
}

impl Strategy for Advised {
    fn decide(&mut self, view: &View<'_>) -> Vec<Choice> {
        if view.advice.is_some() {
            return self.follow(view).into_iter().collect();
        }
        self.ask(view).into_iter().collect()
    }
}
