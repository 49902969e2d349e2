//! From an intent to the one call that it means, by the mandate alone. Pure.

use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, Bytes, U256};
use vouch_contracts::bindings::{Erc20, NonfungiblePositionManager as Positions, VouchGovernor};

use super::{
    Refusal,
    calldata::{add_liquidity, remove_liquidity, swap},
};
use crate::{
    intent::{Intent, MAX_NOTE_BYTES, MAX_REASON_BYTES},
    mandate::{Grant, Mandate, Permission, Use, Venue},
};

/// A deadline further away would leave a transaction lying about.
const MAX_DEADLINE_S: u64 = 3_600;
/// What an intent comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The permission, by index.
    pub permission: usize,
    /// What is called; `None` if nothing is sent to a chain.
    pub call: Option<Call>,
    /// The most that it takes from the owner: token, amount.
    pub spends: Vec<(Address, u128)>,
    /// Atomic dollars set aside for an answer, or handed on for answers.
    pub dollars: u128,
    /// Handed on to a sub-agent.
    pub hands_on: u128,
}

/// One call of one contract from the owner's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Under which leaf.
    pub usage: Use,
    /// The contract.
    pub target: Address,
    /// The calldata.
    pub data: Bytes,
    /// What it must do, and nothing else.
    pub expected: Expected,
}

/// The effects that a simulation must show.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "as the intents")]
pub enum Expected {
    Transfer {
        token: Address,
        payee: Address,
        amount: u128,
    },
    Swap {
        sell: Address,
        buy: Address,
        amount_in: u128,
        min_out: u128,
    },
    /// At most these leave, and at least the minima do.
    Add {
        tokens: [Address; 2],
        minima: [u128; 2],
    },
    /// These come in, or wait in the position.
    Remove {
        tokens: [Address; 2],
        minima: [u128; 2],
        position: Option<U256>,
    },
    Collect {
        tokens: [Address; 2],
        position: U256,
    },
    Nothing,
}

/// Checks an intent against the mandate's words and makes the call of it. What was used up before is
/// the ledger's to know.
///
/// # Errors
/// [`Refusal`].
pub fn plan(grant: &Grant, intent: &Intent, now: u64) -> Result<Plan, Refusal> {
    let mandate = &grant.mandate;
    if now < mandate.start {
        return Err(Refusal::NotStarted { start: mandate.start, now });
    }
    if now >= mandate.expiry {
        return Err(Refusal::Expired { expiry: mandate.expiry, now });
    }
    let index = intent.permission();
    let permission = mandate.permissions.get(index).filter(|_| grant.reaches(index));
    let permission = permission.ok_or(Refusal::NoPermission(index))?;
    check_deadline(intent, now)?;
    build(mandate, permission, intent)
}

fn check_deadline(intent: &Intent, now: u64) -> Result<(), Refusal> {
    match *intent {
        Intent::Swap { deadline, .. }
        | Intent::AddLiquidity { deadline, .. }
        | Intent::RemoveLiquidity { deadline, .. }
            if deadline <= now || deadline > now.saturating_add(MAX_DEADLINE_S) =>
        {
            Err(Refusal::Deadline { deadline, now, most: MAX_DEADLINE_S })
        }
        _ => Ok(()),
    }
}

fn build(mandate: &Mandate, permission: &Permission, intent: &Intent) -> Result<Plan, Refusal> {
    let index = intent.permission();
    let owner = mandate.owner;
    let on_chain = |spends, usage, target, data: Vec<u8>, expected| {
        let call = Some(Call { usage, target, data: data.into(), expected });
        Ok(Plan { permission: index, call, spends, dollars: 0, hands_on: 0 })
    };
    match (permission, intent) {
        (Permission::Transfer { token, payees }, Intent::Transfer { payee, amount, .. }) => {
            let to =
                *payees.get(*payee).ok_or(Refusal::NoPayee { permission: index, payee: *payee })?;
            let amount = positive(*amount)?;
            let data = Erc20::transferCall { to, value: U256::from(amount) }.abi_encode();
            let expected = Expected::Transfer { token: *token, payee: to, amount };
            on_chain(vec![(*token, amount)], Use::Transfer(*payee), *token, data, expected)
        }
        (
            Permission::Swap { venue, router, sell, buy, fee, .. },
            Intent::Swap { amount_in, min_out, deadline, .. },
        ) => {
            let (amount_in, min_out) = (positive(*amount_in)?, positive(*min_out)?);
            let amounts = [amount_in, min_out];
            let data = swap(*venue, [*sell, *buy], *fee, amounts, owner, *deadline);
            let expected = Expected::Swap { sell: *sell, buy: *buy, amount_in, min_out };
            on_chain(vec![(*sell, amount_in)], Use::Swap, *router, data, expected)
        }
        (
            Permission::Liquidity { venue, manager, token0, token1, fee, .. },
            Intent::AddLiquidity { amount0, amount1, min0, min1, range, deadline, .. },
        ) => {
            positive(amount0.saturating_add(*amount1))?;
            let minima = [*min0, *min1];
            if min0 > amount0 || min1 > amount1 {
                return Err(Refusal::Malformed("a minimum is above its amount"));
            }
            let tokens = [*token0, *token1];
            let amounts = [*amount0, *amount1, *min0, *min1];
            let data = add_liquidity(*venue, tokens, *fee, *range, amounts, owner, *deadline)?;
            let spends = vec![(*token0, *amount0), (*token1, *amount1)];
            on_chain(spends, Use::AddLiquidity, *manager, data, Expected::Add { tokens, minima })
        }
        (
            Permission::Liquidity { venue, manager, token0, token1, .. },
            Intent::RemoveLiquidity { position, liquidity, min0, min1, deadline, .. },
        ) => {
            let liquidity = positive(*liquidity)?;
            let (tokens, minima) = ([*token0, *token1], [*min0, *min1]);
            let data =
                remove_liquidity(*venue, tokens, *position, liquidity, minima, owner, *deadline)?;
            let position = (*venue == Venue::UniswapV3).then_some(*position);
            let expected = Expected::Remove { tokens, minima, position };
            on_chain(Vec::new(), Use::RemoveLiquidity, *manager, data, expected)
        }
        (
            Permission::Liquidity { venue: Venue::UniswapV3, manager, token0, token1, .. },
            Intent::Collect { position, .. },
        ) => {
            let params = Positions::CollectParams {
                tokenId: *position,
                recipient: owner,
                amount0Max: u128::MAX,
                amount1Max: u128::MAX,
            };
            let data = Positions::collectCall { params }.abi_encode();
            let expected = Expected::Collect { tokens: [*token0, *token1], position: *position };
            on_chain(Vec::new(), Use::Collect, *manager, data, expected)
        }
        (Permission::Vote { governor }, Intent::Vote { proposal, support, reason, .. }) => {
            if reason.len() > MAX_REASON_BYTES || reason.chars().any(char::is_control) {
                return Err(Refusal::Malformed(
                    "the reason is too long or has control characters: 1000 bytes of plain text",
                ));
            }
            let data = VouchGovernor::castVoteWithReasonCall {
                proposalId: *proposal,
                support: *support as u8,
                reason: reason.clone(),
            };
            on_chain(Vec::new(), Use::Vote, *governor, data.abi_encode(), Expected::Nothing)
        }
        (Permission::Ask { max_per_call, .. }, Intent::Ask { max_charge, request, .. }) => {
            let dollars = positive(*max_charge)?;
            if *request == B256::ZERO {
                return Err(Refusal::Malformed("the question has no commitment"));
            }
            if dollars > *max_per_call {
                return Err(Refusal::PerCall { asked: dollars, most: *max_per_call });
            }
            Ok(Plan { permission: index, call: None, spends: Vec::new(), dollars, hands_on: 0 })
        }
        (Permission::Ask { .. }, Intent::Answer { note, .. }) => {
            if note.len() > MAX_NOTE_BYTES || note.chars().any(char::is_control) {
                return Err(Refusal::Malformed(
                    "the note is too long or has control characters: 200 bytes of plain text",
                ));
            }
            Ok(Plan { permission: index, call: None, spends: Vec::new(), dollars: 0, hands_on: 0 })
        }
        (Permission::Delegate { .. }, Intent::Delegate { limit, dollars, .. }) => {
            let (hands_on, dollars) = (positive(*limit)?, *dollars);
            Ok(Plan { permission: index, call: None, spends: Vec::new(), dollars, hands_on })
        }
        _ => Err(Refusal::OtherKind {
            permission: index,
            is: permission.kind(),
            asked: intent.kind(),
        }),
    }
}

fn positive(amount: u128) -> Result<u128, Refusal> {
    if amount > 0 { Ok(amount) } else { Err(Refusal::Malformed("an amount is 0")) }
}
