//! Proposals, and what they would set.

use std::fmt;

use alloy::{
    providers::{DynProvider, Provider},
    rpc::types::Filter,
    sol_types::{SolCall, SolEvent},
};
use alloy_primitives::{Address, Bytes, U256};
use vouch_contracts::bindings::{ProtocolParameters, VouchGovernor};

use super::Policy;
use crate::market::Error;

/// Most blocks of one question for logs; public nodes refuse more.
const LOG_BLOCKS: u64 = 10_000;
/// Most calls of a proposal that are looked at; one with more is not understood.
const MAX_CALLS: usize = 16;

/// What governance may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parameter {
    /// `feeShareBps`.
    FeeShare,
    /// `slashingShareBps`.
    SlashingShare,
    /// `minimumStake`.
    MinimumStake,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FeeShare => "fee_share_bps",
            Self::SlashingShare => "slashing_share_bps",
            Self::MinimumStake => "minimum_stake",
        })
    }
}

/// What one call of a proposal would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Set a parameter.
    Set {
        /// Which.
        parameter: Parameter,
        /// Its value now.
        from: U256,
        /// And then.
        to: U256,
    },
    /// Something that this version does not understand.
    Unknown {
        /// Whom it calls.
        target: Address,
        /// The method's selector, or less.
        selector: Bytes,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { parameter, from, to } => write!(f, "{parameter} from {from} to {to}"),
            Self::Unknown { target, selector } => write!(f, "call {selector} of {target}"),
        }
    }
}

/// A proposal that can be voted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Its id.
    pub id: U256,
    /// Unix seconds at which its vote ends.
    pub deadline: u64,
    /// What it would do, in order.
    pub changes: Vec<Change>,
}

/// The parameters' values now.
#[derive(Debug, Clone, Copy)]
struct Values {
    fee_share: U256,
    slashing_share: U256,
    minimum_stake: U256,
}

/// The proposals whose vote is open and in which `account` has not voted, and the block to begin the
/// next look from: proposals before it are closed or were returned.
pub(super) async fn open(
    provider: &DynProvider,
    policy: &Policy,
    account: Address,
    from_block: u64,
) -> Result<Vec<Proposal>, Error> {
    let head = provider.get_block_number().await.map_err(Error::rpc("for its newest block"))?;
    let governor = VouchGovernor::new(policy.governor, provider);
    let not = |expected| Error::NotA { address: policy.governor, expected };
    let mut values = None;
    let mut open = Vec::new();
    let mut first = from_block;
    while first <= head {
        let last = head.min(first.saturating_add(LOG_BLOCKS - 1));
        let filter = Filter::new()
            .address(policy.governor)
            .event_signature(VouchGovernor::ProposalCreated::SIGNATURE_HASH)
            .from_block(first)
            .to_block(last);
        let logs = provider.get_logs(&filter).await.map_err(Error::rpc("for proposals"))?;
        for log in logs {
            let Ok(created) = VouchGovernor::ProposalCreated::decode_log(&log.inner) else {
                continue;
            };
            let id = created.proposalId;
            let state = governor.state(id).call().await;
            let state = state.map_err(|_| not("a governor"))?;
            let voted = governor.hasVoted(id, account).call().await;
            if state != VouchGovernor::ProposalState::Active
                || voted.map_err(|_| not("a governor"))?
            {
                continue;
            }
            let now = match values {
                Some(values) => values,
                None => *values.insert(read(provider, policy.parameters).await?),
            };
            open.push(Proposal {
                id,
                deadline: u64::try_from(created.voteEnd).unwrap_or(u64::MAX),
                changes: decode(policy.parameters, &now, &created),
            });
        }
        first = last.saturating_add(1);
    }
    Ok(open)
}

async fn read(provider: &DynProvider, address: Address) -> Result<Values, Error> {
    let parameters = ProtocolParameters::new(address, provider);
    let not = |_| Error::NotA { address, expected: "the protocol's parameters" };
    Ok(Values {
        fee_share: U256::from(parameters.feeShareBps().call().await.map_err(not)?),
        slashing_share: U256::from(parameters.slashingShareBps().call().await.map_err(not)?),
        minimum_stake: parameters.minimumStake().call().await.map_err(not)?,
    })
}

fn decode(
    parameters: Address,
    values: &Values,
    created: &VouchGovernor::ProposalCreated,
) -> Vec<Change> {
    let calls = created.targets.iter().zip(&created.values).zip(&created.calldatas);
    let mut now = *values;
    let mut changes: Vec<Change> = calls
        .take(MAX_CALLS)
        .map(|((target, value), data)| {
            let known = *target == parameters && value.is_zero();
            known.then(|| set(data, &mut now)).flatten().unwrap_or_else(|| Change::Unknown {
                target: *target,
                selector: data.get(..4).unwrap_or(data).to_vec().into(),
            })
        })
        .collect();
    let counts = [created.targets.len(), created.values.len(), created.calldatas.len()];
    if counts.iter().any(|count| *count != changes.len()) {
        changes.push(Change::Unknown { target: parameters, selector: Bytes::new() });
    }
    changes
}

/// A call that sets a parameter, from where the calls before it left it.
fn set(data: &Bytes, now: &mut Values) -> Option<Change> {
    let (parameter, slot, to) = if let Ok(call) =
        ProtocolParameters::setFeeShareBpsCall::abi_decode_validate(data)
    {
        (Parameter::FeeShare, &mut now.fee_share, U256::from(call.value))
    } else if let Ok(call) = ProtocolParameters::setSlashingShareBpsCall::abi_decode_validate(data)
    {
        (Parameter::SlashingShare, &mut now.slashing_share, U256::from(call.value))
    } else if let Ok(call) = ProtocolParameters::setMinimumStakeCall::abi_decode_validate(data) {
        (Parameter::MinimumStake, &mut now.minimum_stake, call.value)
    } else {
        return None;
    };
    let from = std::mem::replace(slot, to);
    Some(Change::Set { parameter, from, to })
}
