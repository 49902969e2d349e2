//! The delegate: looks, decides, votes, and remembers.

use alloy::providers::Provider;
use alloy_primitives::{Address, U256};

use super::{Decision, Policy, Proposal, decide, proposal, question};
use crate::{
    market::{self, Chain},
    run::{
        Action, Adviser, Begin, Effect, Entry, Event, Executor, Journal, Order, Outcome, Result,
    },
};

/// A vote, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voted {
    /// The order.
    pub order: Order,
    /// What came of it.
    pub outcome: Outcome,
}

/// Votes for an account. Every vote is durable before it is sent, and one whose outcome is not known is
/// reconciled before any other.
pub struct Delegate<'a> {
    policy: Policy,
    account: Address,
    chain: Chain,
    journal: Journal,
    executor: &'a dyn Executor,
    adviser: Option<&'a dyn Adviser>,
    from_block: u64,
    orders: u64,
    questions: u64,
    open: Option<Order>,
}

impl std::fmt::Debug for Delegate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delegate").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl<'a> Delegate<'a> {
    /// Begins, or goes on with what the journal holds. Proposals before `from_block` are not looked at.
    ///
    /// # Errors
    /// [`Error::Other`](crate::run::Error::Other) if the journal is another policy's,
    /// [`Error::Journal`](crate::run::Error::Journal).
    pub fn open(
        policy: Policy,
        (chain_id, account): (u64, Address),
        mut journal: Journal,
        chain: Chain,
        executor: &'a dyn Executor,
        adviser: Option<&'a dyn Adviser>,
        from_block: u64,
    ) -> Result<Self> {
        journal.begin(Begin { portfolio: policy.hash(), ..Begin::of(chain_id, account) })?;
        let mut open = None;
        let (mut orders, mut questions) = (0, 0);
        for entry in journal.entries() {
            match entry {
                Entry::Effect(Effect::Order(order)) => {
                    orders = order.id;
                    open = Some(order.clone());
                }
                Entry::Effect(Effect::Ask(question)) => questions = question.id,
                Entry::Event(Event::Outcome { outcome, .. }) if *outcome != Outcome::Unknown => {
                    open = None;
                }
                _ => {}
            }
        }
        Ok(Self {
            policy,
            account,
            chain,
            journal,
            executor,
            adviser,
            from_block,
            orders,
            questions,
            open,
        })
    }

    /// That what the policy names stands on this chain: without code there are no proposals, and
    /// nothing would ever be voted on.
    ///
    /// # Errors
    /// [`Error::Market`](crate::run::Error::Market) if it does not, or the chain cannot be read.
    pub async fn check(&self) -> Result<()> {
        let Policy { governor, parameters, .. } = self.policy;
        let named = [(governor, "the policy's `governor`"), (parameters, "its `parameters`")];
        for (address, what) in named {
            let code = self.chain.provider().get_code_at(address).await;
            if code.map_err(market::Error::rpc("for a contract's code"))?.is_empty() {
                return Err(market::Error::NoCode { address, what }.into());
            }
        }
        Ok(())
    }

    /// What was written so far.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.journal.entries()
    }

    /// Looks once: reconciles what is open, then votes on every open proposal that has no vote yet.
    ///
    /// # Errors
    /// [`Error::Market`](crate::run::Error::Market) if the chain cannot be read: try again later.
    /// [`Error::Journal`](crate::run::Error::Journal) ends it.
    pub async fn step(&mut self) -> Result<Vec<Voted>> {
        let mut done = Vec::new();
        if let Some(order) = self.open.clone() {
            let outcome = self.executor.reconcile(&order, self.journal.sent(order.id)).await?;
            if outcome == Outcome::Unknown {
                return Ok(done);
            }
            done.push(self.note(order, outcome)?);
        }
        let provider = self.chain.provider();
        let open = proposal::open(provider, &self.policy, self.account, self.from_block).await?;
        for proposal in open {
            if self.failed_before(proposal.id) {
                continue;
            }
            let voted = self.vote(&proposal).await?;
            let unknown = voted.outcome == Outcome::Unknown;
            done.push(voted);
            if unknown {
                break;
            }
        }
        Ok(done)
    }

    /// A vote that the chain refused once is not tried in every block; a restart tries it again only
    /// if it was never sent.
    fn failed_before(&self, id: U256) -> bool {
        let of = |order: u64| {
            self.entries().iter().any(|entry| match entry {
                Entry::Effect(Effect::Order(Order { id: this, action, .. })) => {
                    *this == order
                        && matches!(action, Action::Vote { proposal, .. } if *proposal == id)
                }
                _ => false,
            })
        };
        self.entries().iter().any(|entry| match entry {
            Entry::Event(Event::Outcome {
                order,
                outcome: Outcome::Failed { transaction, .. },
            }) => transaction.is_some() && of(*order),
            _ => false,
        })
    }

    async fn vote(&mut self, proposal: &Proposal) -> Result<Voted> {
        let advice = match question(&self.policy, proposal, self.questions.saturating_add(1)) {
            Some(question) => {
                self.questions = question.id;
                self.journal.append(vec![Entry::Effect(Effect::Ask(question.clone()))])?;
                let advice = match self.adviser {
                    Some(adviser) => adviser.ask(&question).await,
                    None => crate::strategy::Advice::none(question.id),
                };
                self.journal.append(vec![Entry::Event(Event::Advice(advice.clone()))])?;
                Some(advice)
            }
            None => None,
        };
        let Decision { support, reason, relied_on } =
            decide(&self.policy, proposal, advice.as_ref());
        self.orders = self.orders.saturating_add(1);
        let order = Order {
            id: self.orders,
            block: self.chain.head().await?,
            deadline: proposal.deadline,
            action: Action::Vote {
                governor: self.policy.governor,
                proposal: proposal.id,
                support,
                reason: reason.clone(),
            },
            reason,
            relied_on,
        };
        self.journal.append(vec![Entry::Effect(Effect::Order(order.clone()))])?;
        self.open = Some(order.clone());
        let journal = &mut self.journal;
        let mut note = |sent| journal.append(vec![Entry::Sent(sent)]);
        let outcome = self.executor.execute(&order, &mut note).await?;
        self.note(order, outcome)
    }

    fn note(&mut self, order: Order, outcome: Outcome) -> Result<Voted> {
        let event = Event::Outcome { order: order.id, outcome: outcome.clone() };
        self.journal.append(vec![Entry::Event(event)])?;
        if outcome != Outcome::Unknown {
            self.open = None;
        }
        Ok(Voted { order, outcome })
    }
}
