//! An executor through the signer's process: every order becomes intents under a mandate.
//!
//! An order names addresses and an intent only permissions, so an order for which the mandate has no
//! permission fails here, and whatever else is wrong with it fails there.

use std::path::PathBuf;

use alloy::{
    eips::BlockId,
    providers::{DynProvider, Provider},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use alloy_primitives::{Address, B256, U256};
use futures_util::future::{BoxFuture, FutureExt};
use vouch_contracts::bindings::{Erc20, VouchGovernor};

use super::{
    Action, Executor, Fill, Note, Order, Outcome, Result, Sent, Venue,
    direct::{failed, outcome},
};
use crate::{
    act::Request,
    intent::{Intent, Range},
    mandate::{self, Mandate, Permission},
    market::{Error, v2},
    signer::{self, Client, ClientError, Reply},
};

/// Sends intents to a signer's socket, for the owner of a mandate.
#[derive(Debug)]
pub struct Signed {
    signer: Client,
    mandate: Mandate,
    strategy: B256,
    provider: DynProvider,
}

impl Signed {
    /// Through the signer at `socket`, which holds the key of `mandate`'s agent. `strategy` goes into
    /// the acts' receipts; `provider` is asked what became of an order whose reply was lost.
    #[must_use]
    pub fn new(socket: PathBuf, mandate: Mandate, strategy: B256, provider: DynProvider) -> Self {
        Self { signer: Client::new(socket), mandate, strategy, provider }
    }

    async fn carry_out(&self, order: &Order, note: Note<'_>) -> Result<Outcome> {
        let intents = match intents(&self.mandate, order) {
            Ok(intents) => intents,
            Err(why) => return Ok(failed(why)),
        };
        note(Sent { order: order.id, transaction: None })?;
        let mut came: Option<Fill> = None;
        for intent in intents {
            match (self.act(order, intent).await, &mut came) {
                (Outcome::Settled(fill), Some(before)) => {
                    before.gas_cost = before.gas_cost.saturating_add(fill.gas_cost);
                    before.received.extend(fill.received);
                    before.spent.extend(fill.spent);
                }
                (Outcome::Settled(fill), none) => *none = Some(fill),
                // The first intent is done: what it freed waits in the position for the next order.
                (_, Some(_)) => break,
                (other, None) => return Ok(other),
            }
        }
        Ok(came.map_or_else(|| failed("it is no intent".to_owned()), Outcome::Settled))
    }

    async fn act(&self, order: &Order, intent: Intent) -> Outcome {
        let parent = order.relied_on.first().copied().unwrap_or_default();
        let relied_on = order.relied_on.clone();
        let strategy = self.strategy;
        let request = Request { intent, relied_on, strategy, parent, evidence: None };
        match self.signer.act(&request).await {
            Ok(reply) => told(reply, self.mandate.owner),
            Err(absent @ ClientError::Absent { .. }) => failed(absent.to_string()),
            // It may have been taken.
            Err(_) => Outcome::Unknown,
        }
    }

    /// What the chain shows of an order whose reply was lost: one order is open at a time, so a
    /// transfer between the owner and its pool since then is its own.
    async fn look(&self, order: &Order, sent: Option<Sent>) -> Result<Outcome> {
        if sent.is_none() {
            return Ok(failed("it was never sent".to_owned()));
        }
        // Before the search: what is mined later than this block is past the deadline, or found again.
        let block = self.provider.get_block(BlockId::latest()).await;
        let block = block.map_err(Error::rpc("for its newest block"))?;
        let expired = block.is_some_and(|block| block.header.timestamp > order.deadline);
        if let Some(transaction) = self.trace(order).await? {
            let receipt = self.provider.get_transaction_receipt(transaction).await;
            let receipt = receipt.map_err(Error::rpc("for a transaction's receipt"))?;
            return Ok(
                receipt.map_or(Outcome::Unknown, |receipt| outcome(&receipt, self.mandate.owner))
            );
        }
        Ok(match expired {
            true => failed("it was not mined before its deadline".to_owned()),
            false => Outcome::Unknown,
        })
    }

    async fn trace(&self, order: &Order) -> Result<Option<B256>> {
        let owner = self.mandate.owner;
        let (contract, event, topics) = match &order.action {
            Action::Swap { pool, sell, .. } => {
                (*sell, Erc20::Transfer::SIGNATURE_HASH, Some((owner, *pool)))
            }
            Action::AddLiquidity { pool, tokens, amounts, .. } => {
                let token = if amounts.0.is_zero() { tokens.1 } else { tokens.0 };
                (token, Erc20::Transfer::SIGNATURE_HASH, Some((owner, *pool)))
            }
            Action::RemoveLiquidity { pool, tokens, minima, .. } => {
                let token = if minima.0.is_zero() { tokens.1 } else { tokens.0 };
                (token, Erc20::Transfer::SIGNATURE_HASH, Some((*pool, owner)))
            }
            // Nothing is lost if it is done again.
            Action::Collect { .. } => return Ok(None),
            Action::Vote { governor, .. } => {
                (*governor, VouchGovernor::VoteCast::SIGNATURE_HASH, None)
            }
        };
        let mut filter = Filter::new()
            .address(contract)
            .event_signature(event)
            .from_block(order.block.saturating_add(1));
        filter = match topics {
            Some((from, to)) => filter.topic1(from.into_word()).topic2(to.into_word()),
            None => filter.topic1(owner.into_word()),
        };
        let logs = self.provider.get_logs(&filter).await;
        let logs = logs.map_err(Error::rpc("for what became of an order"))?;
        let ours = logs.into_iter().find(|log| match &order.action {
            Action::Swap { amount_in, .. } => Erc20::Transfer::decode_log(&log.inner)
                .is_ok_and(|transfer| transfer.value == *amount_in),
            Action::Vote { proposal, .. } => VouchGovernor::VoteCast::decode_log(&log.inner)
                .is_ok_and(|vote| vote.proposalId == *proposal),
            _ => true,
        });
        Ok(ours.and_then(|log| log.transaction_hash))
    }
}

impl Executor for Signed {
    fn execute<'a>(&'a self, order: &'a Order, note: Note<'a>) -> BoxFuture<'a, Result<Outcome>> {
        self.carry_out(order, note).boxed()
    }

    fn reconcile<'a>(
        &'a self,
        order: &'a Order,
        sent: Option<Sent>,
    ) -> BoxFuture<'a, Result<Outcome>> {
        self.look(order, sent).boxed()
    }
}

/// A signer's outcome as the run counts.
fn told(reply: Reply, owner: Address) -> Outcome {
    let gas = |mined: &signer::Mined| u128::from(mined.gas_used).saturating_mul(mined.gas_price);
    match reply.outcome {
        signer::Outcome::Refused { code, reason } => {
            failed(format!("refused by the signer ({code}): {reason}"))
        }
        signer::Outcome::Settled { mined, moved, .. } => {
            let side = |of: fn(&signer::Moved) -> Address| {
                let moved = moved.iter().filter(move |moved| of(moved) == owner);
                moved.map(|moved| (moved.token, U256::from(moved.amount))).collect()
            };
            Outcome::Settled(Fill {
                transaction: mined.map_or(B256::ZERO, |mined| mined.transaction),
                block: mined.map_or(0, |mined| mined.block),
                gas_cost: mined.as_ref().map_or(0, gas),
                spent: side(|moved| moved.from),
                received: side(|moved| moved.to),
            })
        }
        signer::Outcome::Failed { mined, reason } => match failed(reason) {
            Outcome::Failed { reason, .. } => Outcome::Failed {
                reason,
                transaction: Some(mined.transaction),
                gas_cost: gas(&mined),
            },
            other => other,
        },
        signer::Outcome::Unknown { .. } => Outcome::Unknown,
    }
}

fn venue_of(venue: Venue) -> (mandate::Venue, u32) {
    match venue {
        Venue::V2 => (mandate::Venue::UniswapV2, v2::FEE_PIPS),
        Venue::V3 { fee } => (mandate::Venue::UniswapV3, fee),
    }
}

fn small(amount: U256) -> std::result::Result<u128, String> {
    u128::try_from(amount).map_err(|_| "an amount is above 2^128".to_owned())
}

/// The permission for liquidity in a pool, and whether it names the tokens the other way round.
fn liquidity(
    mandate: &Mandate,
    venue: Venue,
    tokens: (Address, Address),
) -> std::result::Result<(usize, bool), String> {
    let wanted = venue_of(venue);
    let found = mandate.permissions.iter().enumerate().find_map(|(at, permission)| {
        let Permission::Liquidity { venue, token0, token1, fee, .. } = permission else {
            return None;
        };
        let pair = (*token0, *token1);
        let turned = pair == (tokens.1, tokens.0);
        ((*venue, *fee) == wanted && (pair == tokens || turned)).then_some((at, turned))
    });
    found.ok_or_else(|| "the mandate has no permission for liquidity in this pool".to_owned())
}

/// The intents that carry an order out, in order.
fn intents(mandate: &Mandate, order: &Order) -> std::result::Result<Vec<Intent>, String> {
    let deadline = order.deadline;
    let turn = |pair: (U256, U256), turned| if turned { (pair.1, pair.0) } else { pair };
    match &order.action {
        Action::Swap { venue, sell, buy, amount_in, min_out, .. } => {
            let wanted = (venue_of(*venue), *sell, *buy);
            let permission = mandate.permissions.iter().position(|permission| {
                matches!(permission, Permission::Swap { venue, sell, buy, fee, .. }
                    if ((*venue, *fee), *sell, *buy) == wanted)
            });
            let permission = permission.ok_or("the mandate has no permission for this swap")?;
            let (amount_in, min_out) = (small(*amount_in)?, small(*min_out)?);
            Ok(vec![Intent::Swap { permission, amount_in, min_out, deadline }])
        }
        Action::AddLiquidity { venue, tokens, range, amounts, minima, .. } => {
            let (permission, turned) = liquidity(mandate, *venue, *tokens)?;
            let (amounts, minima) = (turn(*amounts, turned), turn(*minima, turned));
            let (lower, upper) = *range;
            Ok(vec![Intent::AddLiquidity {
                permission,
                amount0: small(amounts.0)?,
                amount1: small(amounts.1)?,
                min0: small(minima.0)?,
                min1: small(minima.1)?,
                range: matches!(venue, Venue::V3 { .. }).then_some(Range { lower, upper }),
                deadline,
            }])
        }
        Action::RemoveLiquidity { venue, tokens, id, liquidity: amount, minima, .. } => {
            let (permission, turned) = liquidity(mandate, *venue, *tokens)?;
            let minima = turn(*minima, turned);
            let mut intents = Vec::new();
            if *amount > 0 {
                intents.push(Intent::RemoveLiquidity {
                    permission,
                    position: *id,
                    liquidity: *amount,
                    min0: small(minima.0)?,
                    min1: small(minima.1)?,
                    deadline,
                });
            }
            if matches!(venue, Venue::V3 { .. }) {
                intents.push(Intent::Collect { permission, position: *id });
            }
            Ok(intents)
        }
        Action::Collect { venue, tokens, id, .. } => {
            let (permission, _) = liquidity(mandate, *venue, *tokens)?;
            Ok(vec![Intent::Collect { permission, position: *id }])
        }
        Action::Vote { governor, proposal, support, reason } => {
            let permission = mandate.permissions.iter().position(|permission| {
                matches!(permission, Permission::Vote { governor: at } if at == governor)
            });
            let permission = permission.ok_or("the mandate has no permission to vote there")?;
            let (proposal, support, reason) = (*proposal, *support, reason.clone());
            Ok(vec![Intent::Vote { permission, proposal, support, reason }])
        }
    }
}
