use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use super::{ChannelConfig, SignedVoucher};
use crate::{
    domain::Domain,
    planted::{Bug, planted},
};

/// Who may run ahead of whom; a channel's first request fixes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// x402's own rule: one request at a time, each voucher exactly the total plus the maximum.
    Stock,
    /// Signed requests, many at a time; vouchers may run ahead of the charges.
    Session,
}

/// What the chain says of a channel, in atomic units.
///
/// `balance` is what was deposited less what was withdrawn; claims do not lower it, because
/// vouchers are cumulative and include what was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OnChain {
    /// Deposits less withdrawals and refunds.
    #[serde(with = "crate::serde_decimal")]
    pub balance: u128,
    /// The total that was claimed.
    #[serde(with = "crate::serde_decimal")]
    pub claimed: u128,
    /// What the payer has given notice to withdraw.
    #[serde(with = "crate::serde_decimal")]
    pub withdrawing: u128,
    /// Number of the block in which this was seen.
    pub block: u64,
}

impl OnChain {
    /// What counts of two views of the chain: a deposit once it is final, a withdrawal or its
    /// notice as soon as it is seen. `notice` is what the payer asked for; claims since then may
    /// have left less. `block` is the newest one's number.
    #[must_use]
    pub fn seen(final_balance: u128, newest: (u128, u128), notice: u128, block: u64) -> Self {
        let (balance, claimed) = newest;
        let withdrawing = notice.min(balance.saturating_sub(claimed));
        Self { balance: final_balance.min(balance), claimed, withdrawing, block }
    }

    /// The total to claim for what was charged under the best voucher; `None` where that brings
    /// nothing. A withdrawal that went through may have left less than was charged: then it is
    /// what there is.
    #[must_use]
    pub fn claimable(&self, charged: u128, accepted: u128) -> Option<u128> {
        let total = charged.min(accepted).min(self.balance);
        (total > self.claimed).then_some(total)
    }

    /// The highest voucher that the deposit covers.
    #[must_use]
    pub fn covers(&self) -> u128 {
        self.balance.saturating_sub(self.withdrawing)
    }
}

/// Why a channel takes no more work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freeze {
    /// The deposit no longer covers the accepted voucher: a withdrawal or a reorg.
    Uncovered,
    /// The payer has given notice to withdraw.
    Withdrawing,
    /// The parties are closing the channel.
    Closing,
}

/// Why the machine refused a step. The channel is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// A voucher for another channel.
    #[error("the voucher is for channel {found}, not {expected}")]
    OtherChannel {
        /// This channel.
        expected: B256,
        /// The voucher's.
        found: B256,
    },
    /// A voucher below the best one so far.
    #[error(
        "the voucher allows {found}, less than the {accepted} already accepted: sign a higher total"
    )]
    LowerVoucher {
        /// What the voucher allows.
        found: u128,
        /// What was accepted before.
        accepted: u128,
    },
    /// A voucher that the deposit does not cover.
    #[error(
        "the voucher allows {found}, more than the {covered} that the deposit covers: deposit more first"
    )]
    OverDeposit {
        /// What the voucher allows.
        found: u128,
        /// What the deposit covers.
        covered: u128,
    },
    /// In stock mode, a voucher that is not the total plus the maximum.
    #[error(
        "the voucher allows {found}, but charged total plus this call's maximum is {expected}: sign exactly that"
    )]
    CumulativeMismatch {
        /// What the voucher allows.
        found: u128,
        /// The only amount that fits.
        expected: u128,
    },
    /// Not enough is signed for.
    #[error("{required} must be signed for, {accepted} is: send a voucher for at least {required}")]
    VoucherNeeded {
        /// The total that would be needed.
        required: u128,
        /// The best voucher so far.
        accepted: u128,
    },
    /// Another request is in flight in stock mode.
    #[error(
        "another request is in flight on this channel: wait for its answer, or use session mode for parallel requests"
    )]
    Busy,
    /// The channel belongs to the other mode.
    #[error(
        "the channel is in {0:?} mode since its first request: open another channel for the other mode"
    )]
    OtherMode(Mode),
    /// The channel takes no more work.
    #[error("the channel is frozen ({0:?}): open another channel")]
    Frozen(Freeze),
    /// A charge above what was reserved for it.
    #[error("a charge of {charge} exceeds the {reserved} reserved for it")]
    OverReservation {
        /// What would be charged.
        charge: u128,
        /// What was reserved.
        reserved: u128,
    },
    /// Totals beyond 128 bits.
    #[error("the channel's total does not fit 128 bits")]
    Overflow,
}

/// Money set aside for one request. It ends in [`Channel::commit`] or [`Channel::release`];
/// it cannot be copied, so it cannot be spent twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a reservation that is dropped stays reserved until a restart"]
pub struct Reservation {
    amount: u128,
}

impl Reservation {
    /// How much is set aside.
    #[must_use]
    pub fn amount(&self) -> u128 {
        self.amount
    }
}

/// A channel as its provider sees it: a pure machine over vouchers, reservations and charges.
///
/// Invariant, asserted after every step: `charged + reserved <= accepted`. The chain's side,
/// `accepted <= on_chain.covers()`, can be broken by the payer or a reorg; then the channel
/// freezes and the best voucher is to be claimed at once.
#[derive(Debug, Clone)]
pub struct Channel {
    id: B256,
    config: ChannelConfig,
    mode: Mode,
    on_chain: OnChain,
    best: Option<SignedVoucher>,
    charged: u128,
    reserved: u128,
    sequence: u64,
    in_flight: u64,
    frozen: Option<Freeze>,
}

impl Channel {
    /// A channel with nothing charged.
    #[must_use]
    pub fn new(config: ChannelConfig, domain: &Domain, mode: Mode, on_chain: OnChain) -> Self {
        let mut channel = Self {
            id: config.id(domain),
            config,
            mode,
            on_chain: OnChain::default(),
            best: None,
            charged: 0,
            reserved: 0,
            sequence: 0,
            in_flight: 0,
            frozen: None,
        };
        channel.observe(on_chain);
        channel
    }

    /// The channel as a durable record has it: nothing reserved, because whatever was in flight
    /// ended with the process. It may come back frozen, which no later [`Self::observe`] tells as
    /// new: whoever claims asks [`Self::frozen`] after a restart.
    #[must_use]
    pub fn restore(mut self, best: Option<SignedVoucher>, charged: u128, sequence: u64) -> Self {
        self.best = best;
        self.charged = charged;
        self.sequence = sequence;
        self.observe(self.on_chain);
        self
    }

    /// The channel's id.
    #[must_use]
    pub fn id(&self) -> B256 {
        self.id
    }

    /// Who pays whom.
    #[must_use]
    pub fn config(&self) -> &ChannelConfig {
        &self.config
    }

    /// Its mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What the chain says.
    #[must_use]
    pub fn on_chain(&self) -> OnChain {
        self.on_chain
    }

    /// The best voucher.
    #[must_use]
    pub fn best(&self) -> Option<&SignedVoucher> {
        self.best.as_ref()
    }

    /// The best voucher's amount.
    #[must_use]
    pub fn accepted(&self) -> u128 {
        self.best.map_or(0, |best| best.voucher.max_claimable_amount)
    }

    /// The total charged.
    #[must_use]
    pub fn charged(&self) -> u128 {
        self.charged
    }

    /// What is set aside for requests in flight.
    #[must_use]
    pub fn reserved(&self) -> u128 {
        self.reserved
    }

    /// The last receipt's sequence.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Why it takes no more work, if so.
    #[must_use]
    pub fn frozen(&self) -> Option<Freeze> {
        self.frozen
    }

    /// Takes in what the chain says; true if that froze the channel, so that the best voucher
    /// must be claimed at once.
    pub fn observe(&mut self, on_chain: OnChain) -> bool {
        self.on_chain = on_chain;
        let freeze = if self.accepted() > on_chain.covers() {
            Some(Freeze::Uncovered)
        } else if on_chain.withdrawing > 0 {
            Some(Freeze::Withdrawing)
        } else {
            None
        };
        let newly = freeze.is_some() && self.frozen.is_none();
        if self.frozen != Some(Freeze::Closing) {
            self.frozen = freeze;
        }
        newly
    }

    /// Stops new work for good, so that the parties can settle.
    pub fn close(&mut self) {
        self.frozen = Some(Freeze::Closing);
    }

    /// Takes a voucher whose signature was checked; true if it raised the accepted total.
    /// The same voucher again changes nothing.
    ///
    /// # Errors
    /// [`ChannelError`]: another channel's, lower, over the deposit, or the channel is frozen.
    pub fn accept(&mut self, voucher: SignedVoucher) -> Result<bool, ChannelError> {
        let Self { id, on_chain, .. } = *self;
        if voucher.voucher.channel_id != id {
            return Err(ChannelError::OtherChannel {
                expected: id,
                found: voucher.voucher.channel_id,
            });
        }
        let (found, accepted) = (voucher.voucher.max_claimable_amount, self.accepted());
        if found == accepted && self.best.is_some() {
            return Ok(false);
        }
        if let Some(freeze) = self.frozen {
            return Err(ChannelError::Frozen(freeze));
        }
        if found < accepted {
            return Err(ChannelError::LowerVoucher { found, accepted });
        }
        if found > on_chain.covers() && !planted(Bug::WrongComparison) {
            return Err(ChannelError::OverDeposit { found, covered: on_chain.covers() });
        }
        self.best = Some(voucher);
        self.assert_invariant();
        Ok(true)
    }

    /// Stock mode: takes the voucher of one call and sets its maximum aside.
    ///
    /// # Errors
    /// [`ChannelError::Busy`] while a call is in flight, [`ChannelError::CumulativeMismatch`] if
    /// the voucher is not the charged total plus `max_charge`; else as [`Self::accept`].
    pub fn accept_stock(
        &mut self,
        voucher: SignedVoucher,
        max_charge: u128,
    ) -> Result<Reservation, ChannelError> {
        self.ready(Mode::Stock)?;
        if self.in_flight > 0 {
            return Err(ChannelError::Busy);
        }
        let expected = self.charged.checked_add(max_charge).ok_or(ChannelError::Overflow)?;
        let found = voucher.voucher.max_claimable_amount;
        if found != expected {
            return Err(ChannelError::CumulativeMismatch { found, expected });
        }
        // A call that cost less than its maximum leaves the accepted total above the next
        // voucher's: the older, higher voucher still covers this call.
        if found > self.accepted() {
            self.accept(voucher)?;
        } else if voucher.voucher.channel_id != self.id {
            return Err(ChannelError::OtherChannel {
                expected: self.id,
                found: voucher.voucher.channel_id,
            });
        }
        self.set_aside(max_charge)
    }

    /// Session mode: sets `amount` aside for one request.
    ///
    /// # Errors
    /// [`ChannelError::VoucherNeeded`] if the accepted voucher does not cover it.
    pub fn reserve(&mut self, amount: u128) -> Result<Reservation, ChannelError> {
        self.ready(Mode::Session)?;
        self.set_aside(amount)
    }

    /// Sets aside what a durable record says is set aside, whatever became of the channel since:
    /// for a store whose reservations outlive a process. To be called once for each.
    ///
    /// # Errors
    /// [`ChannelError::VoucherNeeded`] if the record contradicts the channel's.
    pub fn set_aside_again(&mut self, amount: u128) -> Result<Reservation, ChannelError> {
        self.set_aside(amount)
    }

    /// Sets `amount` more aside for a request in flight.
    ///
    /// # Errors
    /// [`ChannelError::VoucherNeeded`] if the accepted voucher does not cover it.
    pub fn extend(
        &mut self,
        reservation: &mut Reservation,
        amount: u128,
    ) -> Result<(), ChannelError> {
        if let Some(freeze) = self.frozen {
            return Err(ChannelError::Frozen(freeze));
        }
        self.require(amount)?;
        self.reserved = self.reserved.checked_add(amount).ok_or(ChannelError::Overflow)?;
        reservation.amount =
            reservation.amount.checked_add(amount).ok_or(ChannelError::Overflow)?;
        self.assert_invariant();
        Ok(())
    }

    /// Charges a request and gives back the rest of its reservation; returns the receipt's
    /// sequence and the channel's new total. A frozen channel still commits what was reserved.
    ///
    /// # Errors
    /// [`ChannelError::OverReservation`]; the reservation comes back.
    pub fn commit(
        &mut self,
        reservation: Reservation,
        charge: u128,
    ) -> Result<(u64, u128), (Reservation, ChannelError)> {
        let reserved = reservation.amount;
        if charge > reserved {
            return Err((reservation, ChannelError::OverReservation { charge, reserved }));
        }
        let (Some(charged), Some(sequence)) =
            (self.charged.checked_add(charge), self.sequence.checked_add(1))
        else {
            return Err((reservation, ChannelError::Overflow));
        };
        self.release(reservation);
        self.charged = charged;
        self.sequence = sequence;
        self.assert_invariant();
        Ok((sequence, charged))
    }

    /// Gives a reservation back uncharged.
    pub fn release(&mut self, reservation: Reservation) {
        self.reserved = self.reserved.saturating_sub(reservation.amount);
        if planted(Bug::ReleasedTwice) {
            self.reserved = self.reserved.saturating_sub(reservation.amount);
        }
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn ready(&self, mode: Mode) -> Result<(), ChannelError> {
        if let Some(freeze) = self.frozen {
            return Err(ChannelError::Frozen(freeze));
        }
        if self.mode == mode { Ok(()) } else { Err(ChannelError::OtherMode(self.mode)) }
    }

    fn require(&self, amount: u128) -> Result<(), ChannelError> {
        let required = self
            .charged
            .checked_add(self.reserved)
            .and_then(|sum| sum.checked_add(amount))
            .ok_or(ChannelError::Overflow)?;
        let accepted = self.accepted();
        if required <= accepted {
            Ok(())
        } else {
            Err(ChannelError::VoucherNeeded { required, accepted })
        }
    }

    fn set_aside(&mut self, amount: u128) -> Result<Reservation, ChannelError> {
        self.require(amount)?;
        self.reserved = self.reserved.checked_add(amount).ok_or(ChannelError::Overflow)?;
        self.in_flight = self.in_flight.saturating_add(1);
        self.assert_invariant();
        Ok(Reservation { amount })
    }

    fn assert_invariant(&self) {
        assert!(
            self.charged.checked_add(self.reserved).is_some_and(|sum| sum <= self.accepted()),
            "charged {} + reserved {} <= accepted {}",
            self.charged,
            self.reserved,
            self.accepted()
        );
    }
}

#[cfg(test)]
mod tests;
