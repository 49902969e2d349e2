//! Whether a receipt is where and what it can be, after those that came before.

use std::ops::Bound::{Excluded, Unbounded};

use super::{
    ledger::{Channel, Ledger},
    record::Entry,
};
use crate::Misconduct;

impl Ledger {
    /// Whether a receipt has the place of another, in its channel or in the log: the faults that
    /// two signatures prove to anyone.
    pub(crate) fn reuses(&self, entry: &Entry) -> Option<Misconduct> {
        let Entry { digest, sequence, index, .. } = *entry;
        let channel = self.channels.get(&entry.channel);
        let there = channel.and_then(|channel| channel.receipts.get(&sequence));
        if there.is_some_and(|(other, ..)| *other != digest) {
            return Some(Misconduct::SequenceReused { sequence });
        }
        let there = self.by_index.get(&(entry.provider, index));
        there.is_some_and(|other| *other != digest).then_some(Misconduct::IndexReused { index })
    }

    /// Whether a receipt's total fits those before it. Receipts of parallel calls come in any
    /// order.
    pub(crate) fn fits(&self, entry: &Entry) -> Result<(), Misconduct> {
        let Entry { sequence, charge, cumulative, .. } = *entry;
        let Some(channel) = self.channels.get(&entry.channel) else { return Ok(()) };
        let wrong = |why| Err(Misconduct::Total { cumulative, why });
        let Some(began) = cumulative.checked_sub(charge) else {
            return wrong("it is below its own charge");
        };
        let before = channel.receipts.range(..sequence).next_back();
        if let Some((at, (_, _, total))) = before {
            let adjacent = at.checked_add(1) == Some(sequence);
            if *total > began || (adjacent && *total != began) {
                return wrong("the receipt before it and its charge make another");
            }
        }
        let after = channel.receipts.range((Excluded(sequence), Unbounded)).next();
        if let Some((at, (_, charge, total))) = after {
            let next = total.saturating_sub(*charge);
            let adjacent = sequence.checked_add(1) == Some(*at);
            if cumulative > next || (adjacent && cumulative != next) {
                return wrong("the receipt after it began at another");
            }
        }
        if charge > channel.ahead() {
            return wrong("more is charged than was signed for");
        }
        self.only_calls_made(channel, entry).map_or(Ok(()), wrong)
    }

    /// What a receipt says of calls that were never made, if anything: in its total, or by leaving
    /// more places before it than there are calls in flight.
    fn only_calls_made(&self, channel: &Channel, entry: &Entry) -> Option<&'static str> {
        let others = self
            .calls
            .values()
            .filter(|call| call.channel() == entry.channel && call.nonce != entry.nonce);
        let known = channel.charged.saturating_add(entry.charge);
        let most = others.clone().fold(known, |sum, call| sum.saturating_add(call.max_charge()));
        if entry.cumulative > most {
            return Some("there are charges for calls that were never made");
        }
        let last = channel.receipts.keys().next_back().copied().unwrap_or(0).max(entry.sequence);
        let places = channel.receipts.len().saturating_add(others.count()).saturating_add(1);
        let skipped = u64::try_from(places).is_ok_and(|places| last > places);
        skipped.then_some("there are places for calls that were never made")
    }
}
