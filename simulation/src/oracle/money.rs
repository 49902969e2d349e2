//! What was signed, served, charged and claimed on a channel.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use vouch_core::receipt::Receipt;
use vouch_store::Store;

use super::{Invariant, Judged, Violation, ensure, receipt};
use crate::{
    chain::{Chain, Held, State},
    message::{Payment, Said},
    parties::{FINALITY, parties},
};

/// Looks at a notice of withdrawal after which what it threatens must have been claimed.
const LOOKS_TO_CLAIM: u32 = 8;

/// A call that was paid for.
#[derive(Debug, Clone, Default)]
struct Call {
    max_charge: u128,
    runs: bool,
    /// What was given out of its answer is worth.
    served: u128,
    /// What the gateway says is set aside for it.
    held: u128,
}

/// A receipt that was seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    digest: B256,
    charge: u128,
    cumulative: u128,
}

/// One channel.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) gateway: Option<usize>,
    /// The highest voucher.
    pub(crate) signed: u128,
    /// Its payer has asked to close it.
    pub(crate) closing: bool,
    calls: BTreeMap<B256, Call>,
    /// By sequence.
    receipts: BTreeMap<u64, Seen>,
    by_request: BTreeMap<B256, B256>,
    /// Charges of all receipts that were seen.
    charged: u128,
    /// Set aside for calls that a crash has cut: some may be charged, which nobody was told.
    cut: u128,
    /// What may be served on what the provider last saw of the chain.
    limit: Option<u128>,
    /// Of a notice of withdrawal: looks since it is known, and what was charged by then.
    notice: Option<(u32, u128)>,
    /// The block from which on the chain covers it although it is frozen.
    frozen_since: Option<u64>,
}

impl Book {
    pub(crate) fn paying(&mut self, gateway: usize, payment: &Payment) {
        self.gateway = Some(gateway);
        // 3 for the request, 10 for a token.
        let max_charge = 3 + 10 * u128::from(payment.max_tokens);
        self.calls.insert(payment.call, Call { max_charge, ..Call::default() });
    }

    pub(crate) fn said(&mut self, call: &B256, said: &Said) {
        let Some(call) = self.calls.get_mut(call) else { return };
        match said {
            Said::Started { held } => {
                (call.runs, call.served, call.held) = (true, 0, *held);
            }
            Said::Served { worth, held } => (call.served, call.held) = (*worth, *held),
            Said::Left => (call.runs, call.served, call.held) = (false, 0, 0),
            _ => {}
        }
    }

    /// Takes a receipt in.
    pub(crate) fn answered(&mut self, call: &B256, digest: B256, receipt: &Receipt) -> Judged {
        let (sequence, charge) = (receipt.sequence, receipt.charge);
        let known = self.by_request.insert(receipt.request, digest);
        ensure(known.is_none_or(|known| known == digest), Invariant::ChargedOnce, || {
            format!("request {} is charged by two receipts", receipt.request)
        })?;
        let seen = Seen { digest, charge, cumulative: receipt.cumulative };
        let before = self.receipts.insert(sequence, seen);
        ensure(
            before.is_none_or(|before| before.digest == digest),
            Invariant::SequencesAddUp,
            || format!("sequence {sequence} is of two receipts"),
        )?;
        if before.is_some() {
            return Ok(());
        }
        self.fits(sequence)?;
        let terms = 3 + 10 * u128::from(receipt.usage.output);
        let most = self.calls.get(call).map_or(0, |call| call.max_charge);
        ensure(charge == terms && charge <= most, Invariant::ChargeByTerms, || {
            format!("sequence {sequence} is charged {charge}, {terms} by its terms, {most} at most")
        })?;
        self.charged += charge;
        if let Some(call) = self.calls.get_mut(call) {
            if !call.runs {
                // It was cut by a crash and committed before that.
                self.limit = self.limit.map(|limit| limit + charge);
                self.cut = self.cut.saturating_sub(charge);
            }
            (call.runs, call.served, call.held) = (false, 0, 0);
        }
        ensure(receipt.cumulative <= self.signed, Invariant::WithinSigned, || {
            format!("charged {} in all, {} are signed for", receipt.cumulative, self.signed)
        })
    }

    /// A receipt follows the one before it and goes before the one after it.
    fn fits(&self, sequence: u64) -> Judged {
        let Some(this) = self.receipts.get(&sequence) else { return Ok(()) };
        let before = self.receipts.range(..sequence).next_back();
        let after = self.receipts.range(sequence + 1..).next();
        let follows = |first: Option<(&u64, &Seen)>, second: (u64, &Seen)| {
            let (at, total) = first.map_or((0, 0), |(at, seen)| (*at, seen.cumulative));
            let total = total.checked_add(second.1.charge);
            match second.0 == at + 1 {
                true => total == Some(second.1.cumulative),
                false => total.is_some_and(|total| total <= second.1.cumulative),
            }
        };
        let holds = follows(before, (sequence, this))
            && after.is_none_or(|(at, seen)| follows(Some((&sequence, this)), (*at, seen)));
        ensure(holds, Invariant::SequencesAddUp, || {
            format!("sequence {sequence} has cumulative {}, which does not add up", this.cumulative)
        })
    }

    fn served(&self) -> u128 {
        self.charged + self.calls.values().map(|call| call.served).sum::<u128>()
    }

    /// What calls that run may still cost, beyond what they have served.
    fn reserved(&self) -> u128 {
        let running = self.calls.values().filter(|call| call.runs);
        running.map(|call| call.held.saturating_sub(call.served)).sum()
    }

    /// What is given out stays within what is signed and what the chain covered.
    pub(crate) fn judge(&self, channel: &B256) -> Judged {
        let served = self.served();
        ensure(served <= self.signed, Invariant::WithinSigned, || {
            format!("{served} are served on {channel}, {} are signed for", self.signed)
        })?;
        ensure(self.limit.is_none_or(|limit| served <= limit), Invariant::WithinDeposit, || {
            let limit = self.limit.unwrap_or_default();
            format!("{served} are served on {channel}, of which the provider saw {limit} covered")
        })
    }

    pub(crate) fn crashed(&mut self) {
        for call in self.calls.values_mut().filter(|call| call.runs) {
            self.cut += call.held;
            (call.runs, call.served, call.held) = (false, 0, 0);
        }
    }

    pub(crate) fn reorganised(&mut self) {
        // A claim that was mined may be gone: it is due again, and time enough must be left.
        self.notice = self.notice.map(|(_, charged)| (0, charged));
    }

    /// A channel does not stay frozen, by its public state, that the chain covers and has covered
    /// for long.
    pub(crate) fn opens_again(&mut self, id: &B256, store: &dyn Store, chain: &Chain) -> Judged {
        let Some(view) = store.channel(id) else { return Ok(()) };
        let (covers, newest) = covered(id, chain);
        let rightly = self.closing || view.accepted > covers || newest.notice.is_some();
        if rightly || view.frozen.is_none() {
            self.frozen_since = None;
            return Ok(());
        }
        let head = chain.newest().head.number;
        let since = *self.frozen_since.get_or_insert(head);
        ensure(head <= since + 3 * FINALITY, Invariant::OpensAgain, || {
            format!("{id} is frozen ({:?}), the chain covers {covers}", view.frozen)
        })
    }

    /// The provider reads the chain.
    pub(crate) fn looked(&mut self, id: &B256, chain: &Chain, whole: bool) {
        let (covers, newest) = covered(id, chain);
        let least = self.served() + self.reserved();
        self.limit = Some(covers.max(least));
        self.notice = match (newest.notice, self.notice) {
            (Some(_), None) => Some((0, self.charged)),
            (Some(_), Some((looks, charged))) => Some((looks + u32::from(whole), charged)),
            (None, _) => None,
        };
    }

    /// A claim is mined.
    pub(crate) fn claimed(&self, channel: &B256, total: u128) -> Judged {
        let running: u128 = self.calls.values().map(|call| call.held).sum();
        let most = self.charged + self.cut + running;
        ensure(total <= most && total <= self.signed, Invariant::ClaimedByReceipts, || {
            format!("{total} are claimed of {channel}, receipts make {most} at most")
        })
    }

    /// A withdrawal is mined.
    pub(crate) fn withdrawn(&mut self, channel: &B256, before: &Held, after: &Held) -> Judged {
        let Some((looks, charged)) = self.notice.take() else { return Ok(()) };
        let owed = charged.min(before.balance);
        let late = looks >= LOOKS_TO_CLAIM && after.claimed < owed;
        ensure(!late, Invariant::ClaimedInTime, || {
            format!(
                "{channel} is withdrawn with {} claimed of {owed}, after {looks} looks at the notice",
                after.claimed
            )
        })
    }

    /// The provider shows all receipts of the channel: they are those that were seen, add up, and
    /// cover what it claimed. Gives digest and index of each.
    pub(crate) fn shown(
        &self,
        channel: &B256,
        store: &dyn Store,
        claimed: u128,
    ) -> Result<Vec<(B256, u64)>, Violation> {
        let (mut shown, mut total) = (Vec::new(), 0);
        for sequence in 1.. {
            let Ok(Some(found)) = store.receipt_by_sequence(channel, sequence) else { break };
            let digest = receipt::digest(&found.receipt);
            total += found.receipt.charge;
            ensure(
                (found.receipt.sequence, found.receipt.cumulative) == (sequence, total),
                Invariant::SequencesAddUp,
                || format!("receipt {sequence} of {channel} does not add up to {total}"),
            )?;
            let seen = self.receipts.get(&sequence);
            ensure(
                seen.is_none_or(|seen| seen.digest == digest),
                Invariant::AcknowledgedIsKept,
                || format!("receipt {sequence} of {channel} is not the one that was acknowledged"),
            )?;
            shown.push((digest, found.promise.index));
        }
        let last = self.receipts.keys().next_back().copied().unwrap_or(0);
        ensure(shown.len() as u64 >= last, Invariant::AcknowledgedIsKept, || {
            format!("{last} receipts of {channel} were acknowledged, {} are there", shown.len())
        })?;
        ensure(claimed <= total, Invariant::ClaimedByReceipts, || {
            format!("{claimed} are claimed of {channel}, receipts make {total}")
        })?;
        Ok(shown)
    }
}

/// What the chain covers of a channel for who waits for finality, and what it holds of it: a deposit
/// counts when final, what takes it away at once.
fn covered(id: &B256, chain: &Chain) -> (u128, Held) {
    let held = |depth| chain.state(depth).channels.get(id).copied().unwrap_or_default();
    let (last, newest): (Held, Held) = (held(FINALITY), held(0));
    let notice = newest.notice.map_or(0, |(amount, _)| amount);
    let taken = notice.min(newest.balance - newest.claimed);
    (last.balance.min(newest.balance).saturating_sub(taken), newest)
}

/// Escrow and accounts make nothing of nothing, and no channel is claimed above its balance.
pub(crate) fn conserved(state: &State) -> Judged {
    let mut escrow = 0;
    for (id, held) in &state.channels {
        ensure(held.claimed <= held.balance, Invariant::MoneyIsConserved, || {
            format!("{} are claimed of {id}, which holds {}", held.claimed, held.balance)
        })?;
        escrow += held.balance - held.claimed;
    }
    let outside: i128 = state.accounts.values().sum();
    ensure(
        escrow == state.escrow && outside + state.escrow as i128 == 0,
        Invariant::MoneyIsConserved,
        || format!("channels hold {escrow}, the contract {}, all others {outside}", state.escrow),
    )
}

/// What each party lost or won is what its channels say.
pub(crate) fn accounts_add_up(chain: &Chain, state: &State) -> Judged {
    let mut expected: BTreeMap<_, i128> = BTreeMap::new();
    let transactions = chain.blocks().iter().flat_map(|block| &block.transactions);
    let channels: BTreeMap<_, _> = transactions
        .filter_map(|transaction| match &transaction.call {
            crate::chain::Call::Deposit { channel, .. } => Some((channel.id, channel.config)),
            _ => None,
        })
        .collect();
    for (id, config) in channels {
        let held = state.channels.get(&id).copied().unwrap_or_default();
        *expected.entry(config.payer).or_default() -= held.balance as i128;
        *expected.entry(config.receiver).or_default() += held.claimed as i128;
    }
    let everyone = parties().payers.iter().chain(parties().providers.iter().map(|p| &p.party));
    for party in everyone {
        let has = state.accounts.get(&party.address).copied().unwrap_or_default();
        let should = expected.get(&party.address).copied().unwrap_or_default();
        ensure(has == should, Invariant::MoneyIsConserved, || {
            format!("{} has {has}, its channels make {should}", party.address)
        })?;
    }
    Ok(())
}
