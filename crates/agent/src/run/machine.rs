//! The pure core: events in, effects out.

use alloy_primitives::U256;

use super::{Effect, Event, Order, Outcome, Refusal, limit::action};
use crate::{
    market::Snapshot,
    portfolio::{Portfolio, StrategyConfig},
    strategy::{Advice, Choice, Question, Strategy, View, Want, part, strategy, total},
};

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The strategy decides.
    Running,
    /// The stop-loss sells everything for the quote token.
    Leaving,
    /// All is sold: nothing more happens. A new run needs a new journal.
    Stopped,
}

/// A run's state; see the module.
#[derive(Debug)]
pub struct Machine {
    portfolio: Portfolio,
    strategy: Box<dyn Strategy>,
    snapshot: Option<Box<Snapshot>>,
    phase: Phase,
    /// The order whose outcome is not known.
    open: Option<Order>,
    question: Option<(Question, u64)>,
    advice: Option<Advice>,
    cool_until: u64,
    /// The highest value so far.
    peak: U256,
    orders: u64,
    /// What was refused last, so that the same is not said in every block.
    refused: Option<Want>,
}

impl Machine {
    /// At the beginning of a run, with the strategy that the portfolio names.
    #[must_use]
    pub fn new(portfolio: Portfolio) -> Self {
        let strategy = strategy(&portfolio);
        Self::with_strategy(portfolio, strategy)
    }

    /// With another strategy than the portfolio names.
    #[must_use]
    pub fn with_strategy(portfolio: Portfolio, strategy: Box<dyn Strategy>) -> Self {
        Self {
            portfolio,
            strategy,
            snapshot: None,
            phase: Phase::Running,
            open: None,
            question: None,
            advice: None,
            cool_until: 0,
            peak: U256::ZERO,
            orders: 0,
            refused: None,
        }
    }

    /// The order whose outcome is not known.
    #[must_use]
    pub fn open_order(&self) -> Option<&Order> {
        self.open.as_ref()
    }

    /// The question that is not answered.
    #[must_use]
    pub fn open_question(&self) -> Option<&Question> {
        self.question.as_ref().map(|(question, _)| question)
    }

    /// How far it has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The newest block it was told.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_deref()
    }

    /// The portfolio.
    #[must_use]
    pub fn portfolio(&self) -> &Portfolio {
        &self.portfolio
    }

    /// Takes an event and says what follows from it.
    pub fn step(&mut self, event: &Event) -> Vec<Effect> {
        match event {
            Event::Block(snapshot) => self.block(snapshot),
            Event::Outcome { order, outcome } => {
                self.outcome(*order, outcome);
                Vec::new()
            }
            Event::Advice(advice) => {
                let open = self.question.as_ref().map(|(question, _)| question.id);
                if open == Some(advice.question) {
                    self.question = None;
                    self.advice = Some(advice.clone());
                }
                Vec::new()
            }
        }
    }

    fn outcome(&mut self, order: u64, outcome: &Outcome) {
        let ours = self.open.as_ref().is_some_and(|open| open.id == order);
        if ours && *outcome != Outcome::Unknown {
            self.open = None;
            let now = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.time);
            self.cool_until = now.saturating_add(self.portfolio.limits.cool_down_s);
        }
    }

    fn block(&mut self, snapshot: &Snapshot) -> Vec<Effect> {
        if self.snapshot.as_ref().is_some_and(|last| snapshot.number <= last.number) {
            return Vec::new();
        }
        let jumped = self.jumped(snapshot);
        self.snapshot = Some(Box::new(snapshot.clone()));
        self.expire(snapshot.time);
        if self.open.is_some() || self.question.is_some() || jumped || self.phase == Phase::Stopped
        {
            return Vec::new();
        }
        self.stop_loss(snapshot);
        if snapshot.time < self.cool_until {
            return Vec::new();
        }
        let advice = self.advice.take();
        let choices = match self.phase {
            Phase::Running => {
                let view = View { snapshot, portfolio: &self.portfolio, advice: advice.as_ref() };
                self.strategy.decide(&view)
            }
            _ => self.leave(snapshot),
        };
        self.take(snapshot, choices)
    }

    /// The first choice that the limits allow.
    fn take(&mut self, snapshot: &Snapshot, choices: Vec<Choice>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for choice in choices {
            match choice {
                Choice::Ask(question) => {
                    self.question = Some((question.clone(), snapshot.time));
                    effects.push(Effect::Ask(question));
                    return effects;
                }
                Choice::Act { want, reason, relied_on } => {
                    let view = View { snapshot, portfolio: &self.portfolio, advice: None };
                    match action(&view, &want) {
                        Ok(action) => {
                            self.orders = self.orders.saturating_add(1);
                            let order = Order {
                                id: self.orders,
                                block: snapshot.number,
                                deadline: snapshot
                                    .time
                                    .saturating_add(self.portfolio.limits.deadline_s),
                                action,
                                reason,
                                relied_on,
                            };
                            self.open = Some(order.clone());
                            self.refused = None;
                            effects.push(Effect::Order(order));
                            return effects;
                        }
                        Err(why) => effects.extend(self.refuse(snapshot.number, want, why)),
                    }
                }
            }
        }
        effects
    }

    fn refuse(&mut self, block: u64, want: Want, why: String) -> Option<Effect> {
        if self.refused.as_ref() == Some(&want) {
            return None;
        }
        self.refused = Some(want.clone());
        Some(Effect::Refused(Refusal { block, want, why }))
    }

    /// Whether a price moved further since the last block than may be decided on.
    fn jumped(&self, snapshot: &Snapshot) -> bool {
        let most = self.portfolio.limits.max_move_bps;
        let Some(last) = self.snapshot.as_ref().filter(|_| most > 0) else { return false };
        let moved = |pool: &crate::market::Pool| {
            last.pool(pool.address()).is_some_and(|earlier| pool.moved_bps(earlier) > most)
        };
        snapshot.pools.iter().any(moved)
    }

    /// A question that stays open too long is answered by nothing.
    fn expire(&mut self, now: u64) {
        let StrategyConfig::Advised { patience_s, .. } = self.portfolio.strategy else { return };
        let late = |(_, asked): &(Question, u64)| now > asked.saturating_add(patience_s);
        if self.question.as_ref().is_some_and(late)
            && let Some((question, _)) = self.question.take()
        {
            self.advice = Some(Advice::none(question.id));
        }
    }

    fn stop_loss(&mut self, snapshot: &Snapshot) {
        let stop = self.portfolio.limits.stop_loss_bps;
        let Some(value) = total(snapshot, &self.portfolio) else { return };
        self.peak = self.peak.max(value);
        let floor = self.peak.saturating_sub(part(self.peak, stop));
        if stop > 0 && self.phase == Phase::Running && value <= floor {
            self.phase = Phase::Leaving;
            self.cool_until = 0;
        }
    }

    /// Back to the quote token: liquidity first, then the tokens.
    fn leave(&mut self, snapshot: &Snapshot) -> Vec<Choice> {
        let act = |want| Choice::Act {
            want,
            reason: "the stop-loss sells everything".to_owned(),
            relied_on: Vec::new(),
        };
        let positions = snapshot.positions.iter();
        let mut choices: Vec<Choice> = positions
            .map(|position| act(Want::Withdraw { pool: position.pool, id: position.id }))
            .collect();
        let view = View { snapshot, portfolio: &self.portfolio, advice: None };
        for asset in &self.portfolio.assets {
            let held = snapshot.balance(asset.address);
            let value = view.value(asset.address, held).unwrap_or_default();
            if asset.address != self.portfolio.quote && value >= self.portfolio.limits.min_trade {
                choices.push(act(Want::Swap {
                    sell: asset.address,
                    buy: self.portfolio.quote,
                    amount_in: held,
                }));
            }
        }
        if choices.is_empty() {
            self.phase = Phase::Stopped;
        }
        choices
    }
}
