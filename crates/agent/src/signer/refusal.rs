//! Why the signer does not sign.

use alloy_primitives::{Address, TxHash};

/// Why an intent was refused. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each message says what its fields are")]
pub enum Refusal {
    #[error("the mandate has no permission {0} for this key")]
    NoPermission(usize),
    #[error("permission {permission} is a {is} and the intent a {asked}")]
    OtherKind { permission: usize, is: &'static str, asked: &'static str },
    #[error("permission {permission} has no payee {payee}")]
    NoPayee { permission: usize, payee: usize },
    #[error("{0}")]
    Malformed(&'static str),
    #[error("the mandate starts at {start} and now is {now}")]
    NotStarted { start: u64, now: u64 },
    #[error("the mandate expired at {expiry} and now is {now}")]
    Expired { expiry: u64, now: u64 },
    #[error("the deadline {deadline} is past, or more than {most} seconds from now ({now})")]
    Deadline { deadline: u64, now: u64, most: u64 },
    #[error("the mandate's {0} calls are used up")]
    Calls(u64),
    #[error("{asked} of {token} is asked for and {left} is left of {cap} in this period")]
    OverCap { token: Address, asked: u128, left: u128, cap: u128 },
    #[error("{asked} is asked for and {left} is left of the {limit} that were handed on")]
    OverHand { asked: u128, left: u128, limit: u128 },
    #[error("an answer may cost {most} and {asked} is asked for")]
    PerCall { asked: u128, most: u128 },
    #[error("{asked} is asked for answers and {left} is left of {total}")]
    OverTotal { asked: u128, left: u128, total: u128 },
    #[error("no question is open that this would answer")]
    NoQuestion,
    #[error("what the answer cost is not proven: {0}")]
    NotProven(&'static str),
    #[error("the answer cost {charge} and {aside} was set aside for it")]
    OverAside { charge: u128, aside: u128 },
    #[error("the mandate was revoked by its owner")]
    Revoked,
    #[error("the chain would refuse it: {0}")]
    Reverts(String),
    #[error(
        "the minimum {min_out} is more than {max_slippage_bps} basis points below the {expected} that the pool gives now"
    )]
    Slippage { min_out: u128, expected: u128, max_slippage_bps: u16 },
    #[error(
        "the swap would move the price by {impact_bps} basis points and {max_impact_bps} are allowed"
    )]
    Impact { impact_bps: u32, max_impact_bps: u16 },
    #[error("there is no such pool, or it is empty")]
    NoPool,
    #[error("position {0} is not in the permission's pool")]
    OtherPosition(String),
    #[error("the simulation does not show what was asked for: {0}")]
    Effects(String),
    #[error("the outcome of transaction {0} is not known yet: nothing more is sent before it is")]
    Pending(TxHash),
    #[error("transaction {0} can never be mined: the agent's key has signed another in its place")]
    Replaced(TxHash),
    #[error("an earlier act could not be logged: start the signer again")]
    Unlogged,
    #[error("the chain could not be asked: {0}")]
    Rpc(String),
    #[error("the signer's own record could not be written: {0}")]
    Journal(String),
}

impl Refusal {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPermission(_) | Self::OtherKind { .. } | Self::NoPayee { .. } => {
                "not-permitted"
            }
            Self::Malformed(_) => "malformed",
            Self::NotStarted { .. } => "not-started",
            Self::Expired { .. } => "expired",
            Self::Deadline { .. } => "deadline",
            Self::Calls(_) => "calls",
            Self::OverCap { .. } | Self::OverHand { .. } => "over-cap",
            Self::PerCall { .. } | Self::OverTotal { .. } | Self::OverAside { .. } => "over-budget",
            Self::NoQuestion => "no-question",
            Self::NotProven(_) => "not-proven",
            Self::Revoked => "revoked",
            Self::Reverts(_) => "reverts",
            Self::Slippage { .. } => "slippage",
            Self::Impact { .. } => "impact",
            Self::NoPool => "no-pool",
            Self::OtherPosition(_) => "other-position",
            Self::Effects(_) => "effects",
            Self::Pending(_) => "pending",
            Self::Replaced(_) => "replaced",
            Self::Unlogged => "unlogged",
            Self::Rpc(_) => "chain",
            Self::Journal(_) => "journal",
        }
    }
}
