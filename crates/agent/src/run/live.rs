//! The run on a chain.

use alloy_primitives::Address;

use super::{
    Adviser, Begin, Effect, Entry, Event, Executor, Journal, Machine, Order, Outcome, Phase,
    Result, executor::Note, replay,
};
use crate::{
    market::{Chain, Watch},
    portfolio::Portfolio,
    strategy::{Advice, Question},
};

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// There is no new block.
    Waiting,
    /// A block was seen, and nothing decided.
    Seen(u64),
    /// An order was carried out, or reconciled.
    Ordered(Box<Order>, Outcome),
    /// A question was asked.
    Asked(Question, Advice),
}

/// A run on a chain. Each event and effect is durable before anything acts on it.
pub struct Live<'a> {
    machine: Machine,
    journal: Journal,
    chain: Chain,
    watch: Watch,
    executor: &'a dyn Executor,
    adviser: Option<&'a dyn Adviser>,
    /// Effects that are due, in order.
    due: Vec<Effect>,
}

impl std::fmt::Debug for Live<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl<'a> Live<'a> {
    /// Begins the run, or goes on with what the journal holds. An order that was open is reconciled by
    /// the next [`Live::step`], never sent again.
    ///
    /// # Errors
    /// [`Error::Other`](super::Error::Other), [`Error::Diverged`](super::Error::Diverged),
    /// [`Error::Journal`](super::Error::Journal).
    pub fn open(
        portfolio: Portfolio,
        account: Address,
        mut journal: Journal,
        chain: Chain,
        executor: &'a dyn Executor,
        adviser: Option<&'a dyn Adviser>,
    ) -> Result<Self> {
        journal.begin(Begin::new(&portfolio, account))?;
        let watch = portfolio.watch(account);
        let past = replay(Machine::new(portfolio), journal.entries())?;
        let (machine, due) = (past.machine, Vec::new());
        let mut live = Self { machine, journal, chain, watch, executor, adviser, due };
        live.repair(past.missing)?;
        Ok(live)
    }

    /// A crash between an event and its effects leaves effects that were never written, so never acted
    /// on. They are written now; an order among them is then reconciled to failed, as it was not sent.
    fn repair(&mut self, missing: Vec<Effect>) -> Result<()> {
        self.journal.append(missing.into_iter().map(Entry::Effect).collect())?;
        match self.machine.open_question().map(|question| question.id) {
            // Asked or not, nobody waits for that answer any more; its payment is the buyer's matter.
            Some(open) => self.tell(Event::Advice(Advice::none(open))),
            None => Ok(()),
        }
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What was written so far.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.journal.entries()
    }

    /// Whether the stop-loss has ended the run.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.machine.phase() == Phase::Stopped
    }

    /// Reconciles what is open, else looks for a new block and does what follows from it.
    ///
    /// # Errors
    /// [`Error::Market`](super::Error::Market) if the chain cannot be read: try again later.
    /// [`Error::Journal`](super::Error::Journal) ends the run.
    pub async fn step(&mut self) -> Result<Progress> {
        if let Some(order) = self.machine.open_order().cloned() {
            let sent = self.journal.sent(order.id);
            let outcome = self.executor.reconcile(&order, sent).await?;
            if outcome != Outcome::Unknown {
                self.tell(Event::Outcome { order: order.id, outcome: outcome.clone() })?;
                return Ok(Progress::Ordered(Box::new(order), outcome));
            }
        }
        let last = self.machine.snapshot().map(|snapshot| snapshot.number);
        if Some(self.chain.head().await?) <= last {
            return Ok(Progress::Waiting);
        }
        let snapshot = self.chain.snapshot(&self.watch).await?;
        let number = snapshot.number;
        self.tell(Event::Block(Box::new(snapshot)))?;
        for effect in std::mem::take(&mut self.due) {
            match effect {
                Effect::Order(order) => return self.carry_out(order).await,
                Effect::Ask(question) => return self.ask(question).await,
                Effect::Refused(refusal) => {
                    tracing::info!(block = refusal.block, why = refusal.why, "refused");
                }
            }
        }
        Ok(Progress::Seen(number))
    }

    /// Writes an event with what follows from it, in one sync.
    fn tell(&mut self, event: Event) -> Result<()> {
        let effects = self.machine.step(&event);
        let mut entries = vec![Entry::Event(event)];
        entries.extend(effects.iter().cloned().map(Entry::Effect));
        self.journal.append(entries)?;
        self.due.extend(effects);
        Ok(())
    }

    async fn carry_out(&mut self, order: Order) -> Result<Progress> {
        let journal = &mut self.journal;
        let mut note = |sent| journal.append(vec![Entry::Sent(sent)]);
        let note: Note<'_> = &mut note;
        let outcome = self.executor.execute(&order, note).await?;
        self.tell(Event::Outcome { order: order.id, outcome: outcome.clone() })?;
        Ok(Progress::Ordered(Box::new(order), outcome))
    }

    async fn ask(&mut self, question: Question) -> Result<Progress> {
        let advice = match self.adviser {
            Some(adviser) => adviser.ask(&question).await,
            None => Advice::none(question.id),
        };
        self.tell(Event::Advice(advice.clone()))?;
        Ok(Progress::Asked(question, advice))
    }
}
