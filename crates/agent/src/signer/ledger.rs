//! What has been used of a mandate, as the signer itself counts. Pure: the journal makes it durable.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use super::{Plan, Refusal};
use crate::mandate::{Grant, Permission};

/// What one act takes. Taken before anything is signed, given back if nothing came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// Transactions.
    pub calls: u64,
    /// Of caps.
    pub spends: Vec<Spend>,
    /// Atomic dollars for answers.
    #[serde(with = "crate::decimal")]
    pub dollars: u128,
    /// The question that dollars are set aside for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<B256>,
    /// Under which `delegate`, and how much.
    pub handed: Option<(usize, Amount)>,
}

/// Of one cap in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spend {
    /// The cap, by index.
    pub cap: usize,
    /// The period, from 0.
    pub period: u64,
    /// Atomic units.
    pub amount: Amount,
}

/// Atomic units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(#[serde(with = "crate::decimal")] pub u128);

/// What was taken so far. Invariant: in no period more than the cap allows, calls and dollars never
/// above their totals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    calls: u64,
    spent: BTreeMap<(usize, u64), u128>,
    dollars: u128,
    handed: BTreeMap<usize, Handed>,
}

/// Under one `delegate`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Handed {
    /// Of its token.
    amount: u128,
    /// For answers.
    dollars: u128,
}

impl Ledger {
    /// Checks what a plan would take. Changes nothing.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn admit(&self, grant: &Grant, plan: &Plan, now: u64) -> Result<Taken, Refusal> {
        let mandate = &grant.mandate;
        let mut taken = Taken { dollars: plan.dollars, ..Taken::default() };
        if plan.call.is_some() {
            taken.calls = 1;
            if self.calls >= mandate.calls {
                return Err(Refusal::Calls(mandate.calls));
            }
        }
        for (token, asked) in plan.spends.iter().copied().filter(|(_, amount)| *amount > 0) {
            let Some((index, cap)) = mandate.cap(token) else {
                return Err(Refusal::OverCap { token, asked, left: 0, cap: 0 });
            };
            let period = mandate
                .period(cap, now)
                .ok_or(Refusal::NotStarted { start: mandate.start, now })?;
            let spent = self.spent.get(&(index, period)).copied().unwrap_or_default();
            let left = cap.amount.saturating_sub(spent);
            if asked > left {
                return Err(Refusal::OverCap { token, asked, left, cap: cap.amount });
            }
            self.check_hand(grant, index, asked)?;
            taken.spends.push(Spend { cap: index, period, amount: Amount(asked) });
        }
        let (asked, left) = (plan.dollars, self.dollars_left(grant));
        if asked > left {
            return Err(Refusal::OverTotal { asked, left, total: dollars(grant) });
        }
        let permission = mandate.permissions.get(plan.permission);
        if let Some(Permission::Delegate { limit, dollars, .. }) = permission {
            let handed = self.handed.get(&plan.permission).copied().unwrap_or_default();
            check_handed(plan.hands_on, handed.amount, *limit)?;
            check_handed(plan.dollars, handed.dollars, *dollars)?;
            taken.handed = Some((plan.permission, Amount(plan.hands_on)));
        }
        Ok(taken)
    }

    /// Atomic dollars for answers that are neither set aside nor handed on.
    #[must_use]
    pub fn dollars_left(&self, grant: &Grant) -> u128 {
        dollars(grant).saturating_sub(self.dollars)
    }

    /// A sub-agent's own limit, over its whole life.
    fn check_hand(&self, grant: &Grant, cap: usize, asked: u128) -> Result<(), Refusal> {
        let Some(hand) = &grant.hand else { return Ok(()) };
        let of_cap = self.spent.iter().filter(|((index, _), _)| *index == cap);
        let spent = of_cap.fold(0_u128, |sum, (_, amount)| sum.saturating_add(*amount));
        check_handed(asked, spent, hand.limit)
    }

    /// Takes what was admitted.
    pub fn take(&mut self, taken: &Taken) {
        self.calls = self.calls.saturating_add(taken.calls);
        self.dollars = self.dollars.saturating_add(taken.dollars);
        for spend in &taken.spends {
            let sum = self.spent.entry((spend.cap, spend.period)).or_default();
            *sum = sum.saturating_add(spend.amount.0);
        }
        if let Some((permission, amount)) = taken.handed {
            let sum = self.handed.entry(permission).or_default();
            sum.amount = sum.amount.saturating_add(amount.0);
            sum.dollars = sum.dollars.saturating_add(taken.dollars);
        }
    }

    /// Gives back what was taken and not used.
    pub fn give_back(&mut self, taken: &Taken) {
        self.calls = self.calls.saturating_sub(taken.calls);
        self.dollars = self.dollars.saturating_sub(taken.dollars);
        for spend in &taken.spends {
            if let Some(sum) = self.spent.get_mut(&(spend.cap, spend.period)) {
                *sum = sum.saturating_sub(spend.amount.0);
            }
        }
        if let Some((permission, amount)) = taken.handed
            && let Some(sum) = self.handed.get_mut(&permission)
        {
            sum.amount = sum.amount.saturating_sub(amount.0);
            sum.dollars = sum.dollars.saturating_sub(taken.dollars);
        }
    }

    /// Spent of a cap in a period, atomic units.
    #[must_use]
    pub fn spent(&self, cap: usize, period: u64) -> u128 {
        self.spent.get(&(cap, period)).copied().unwrap_or_default()
    }

    /// Atomic dollars spent on answers, set aside for them, or handed on.
    #[must_use]
    pub fn dollars(&self) -> u128 {
        self.dollars
    }

    /// Transactions.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Handed on under a `delegate` permission.
    #[must_use]
    pub fn handed(&self, permission: usize) -> u128 {
        self.handed.get(&permission).map_or(0, |handed| handed.amount)
    }
}

fn check_handed(asked: u128, before: u128, limit: u128) -> Result<(), Refusal> {
    let left = limit.saturating_sub(before);
    if asked > left { Err(Refusal::OverHand { asked, left, limit }) } else { Ok(()) }
}

/// Atomic dollars for answers in all: the mandate's, or of them what was handed on.
fn dollars(grant: &Grant) -> u128 {
    let total = grant.mandate.permissions.iter().find_map(|permission| match permission {
        Permission::Ask { total, .. } => Some(*total),
        _ => None,
    });
    let total = total.unwrap_or_default();
    grant.hand.as_ref().map_or(total, |hand| total.min(hand.dollars))
}
