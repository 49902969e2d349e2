//! What may be signed next for a channel.

use vouch_core::{
    Address, B256,
    channel::{SignedVoucher, Voucher},
};
use vouch_wallet::BudgetError;

use super::{
    ledger::{Channel, Ledger, Phase},
    record::Call,
};

/// What may be signed next for a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Raise {
    /// The best voucher is enough.
    Enough(SignedVoucher),
    /// This is to be signed.
    Sign(Voucher),
}

/// Why a voucher is not signed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RaiseError {
    #[error(transparent)]
    Budget(#[from] BudgetError),
    #[error(
        "the provider wants {required} signed for, but the calls in flight can bring the total to \
         {bound} at most"
    )]
    Overreach { required: u128, bound: u128 },
    #[error(
        "{required} must be signed for, but the deposit covers {covered}: the next call tops it up"
    )]
    Deposit { required: u128, covered: u128 },
    #[error("the channel is closed or closing: the next call opens another")]
    Closed,
    #[error("the provider {provider} is not dealt with any more: {why}")]
    Distrusted { provider: Address, why: String },
}

impl Ledger {
    /// The most that the channel's total can reach: what was charged and what the calls in flight
    /// may cost. Nothing is signed above it, whatever the provider asks for.
    pub(crate) fn bound(&self, id: &B256) -> u128 {
        let charged = self.channels.get(id).map_or(0, |channel| channel.charged);
        let in_flight = self.calls.values().filter(|call| call.channel() == *id);
        in_flight.fold(charged, |sum, call| sum.saturating_add(call.allowance()))
    }

    /// The total that the deposit must cover so that no call in flight stands still for want of
    /// one; `None` if it does.
    pub(crate) fn wants_deposit(&self, id: &B256) -> Option<u128> {
        self.wants_deposit_with(id, 0)
    }

    /// As [`Ledger::wants_deposit`], with one more call that may cost so much.
    fn wants_deposit_with(&self, id: &B256, max_charge: u128) -> Option<u128> {
        let channel = self.channels.get(id)?;
        let in_flight = self.calls.values().filter(|call| call.channel() == *id);
        let known = channel.charged.saturating_add(max_charge);
        let most = in_flight.fold(known, |sum, call| sum.saturating_add(call.max_charge()));
        let total = most.min(channel.signed().saturating_add(self.budget.left()));
        (total > channel.covers()).then_some(total)
    }

    /// What to sign so that the provider can go on: as far ahead as bound, budget and deposit
    /// allow, and at least `required`.
    pub(crate) fn raise(&self, id: &B256, required: u128) -> Result<Raise, RaiseError> {
        self.raise_within(id, required, self.bound(id))
    }

    /// What to sign for a call together with the call itself: nothing where a deposit must come
    /// first, the best voucher is enough, or none may be signed. [`Ledger::raise`] says which.
    pub(crate) fn raise_for(&self, call: &Call) -> Option<Voucher> {
        let id = call.channel();
        let pending = self.channels.get(&id)?.pending;
        if pending.is_some() || self.wants_deposit_with(&id, call.max_charge()).is_some() {
            return None;
        }
        let bound = self.bound(&id).saturating_add(call.allowance());
        match self.raise_within(&id, 0, bound) {
            Ok(Raise::Sign(voucher)) => Some(voucher),
            Ok(Raise::Enough(_)) | Err(_) => None,
        }
    }

    fn raise_within(&self, id: &B256, required: u128, bound: u128) -> Result<Raise, RaiseError> {
        let channel = self.channels.get(id).ok_or(RaiseError::Closed)?;
        if let Some(why) = self.stopped(channel) {
            // What is signed already stays good for asking for a call's receipt.
            let best = channel.best.filter(|_| required <= channel.signed());
            return best.map(Raise::Enough).ok_or(why);
        }
        if required > bound {
            return Err(RaiseError::Overreach { required, bound });
        }
        let (signed, covered) = (channel.signed(), channel.covers());
        let affordable = bound.min(signed.saturating_add(self.budget.left())).max(signed);
        // A voucher that allows nothing beyond the charges buys nothing.
        let least = required.max(channel.charged.saturating_add(1).min(bound));
        if affordable < least {
            let mut budget = self.budget;
            budget.sign(least.saturating_sub(signed))?;
        }
        if covered < least {
            return Err(RaiseError::Deposit { required: least, covered });
        }
        let target = affordable.min(covered).max(signed);
        match channel.best {
            Some(best) if target == signed => Ok(Raise::Enough(best)),
            _ => Ok(Raise::Sign(Voucher { channel_id: *id, max_claimable_amount: target })),
        }
    }

    /// Why nothing more is signed for a channel, if so.
    fn stopped(&self, channel: &Channel) -> Option<RaiseError> {
        let provider = channel.opened.provider();
        match self.distrusted.get(&provider) {
            Some(why) => Some(RaiseError::Distrusted { provider, why: why.clone() }),
            None => (channel.phase != Phase::Open).then_some(RaiseError::Closed),
        }
    }
}
