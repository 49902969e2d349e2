//! Bugs that tests plant, to prove that they would be caught.
//!
//! A check that cannot fail proves nothing. Each bug here stands in the code as one branch that is
//! compiled out unless the feature `planted` is on, which only unpublished test crates ask for, and
//! which then is off until a test calls `plant`.

/// A bug of one of the kinds that lose money or records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// A commit is acknowledged without its sync.
    LostSync = 1,
    /// A voucher above the deposit is accepted.
    WrongComparison,
    /// Two gateways read a channel and then write it, with nothing between that holds it.
    MissingLock,
    /// A full tile is taken for a partial one, or the other way round.
    TileBoundary,
    /// A gateway that lost a channel's ownership goes on writing it.
    StaleEpoch,
    /// A reservation is given back twice.
    ReleasedTwice,
    /// A voucher's chain is not looked at.
    ChainUnchecked,
    /// Two transactions are sent with one nonce.
    NonceReused,
    /// A deposit goes on counting after the block it was in is gone.
    ReorgIgnored,
    /// A time that a stranger claims is believed.
    TimestampTrusted,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::LostSync,
        Self::WrongComparison,
        Self::MissingLock,
        Self::TileBoundary,
        Self::StaleEpoch,
        Self::ReleasedTwice,
        Self::ChainUnchecked,
        Self::NonceReused,
        Self::ReorgIgnored,
        Self::TimestampTrusted,
    ];
}

#[cfg(feature = "planted")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a bug in this process, in place of the one before; `None` pulls it out.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    let number = bug.map_or(0, |bug| bug as u8);
    PLANTED.store(number, std::sync::atomic::Ordering::SeqCst);
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether this bug is planted: never, without the feature `planted`.
#[cfg(not(feature = "planted"))]
#[must_use]
#[inline(always)]
pub const fn planted(_: Bug) -> bool {
    false
}
