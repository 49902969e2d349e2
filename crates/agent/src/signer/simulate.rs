//! What a call would do, asked of the chain before anything is signed.
//!
//! One `eth_call` with Multicall3's code at the agent's address: it reads the owner's balances and
//! allowances, redeems as the agent, and reads them again. Nothing is deployed for it, and any node
//! that takes state overrides answers.

use alloy::{
    providers::{DynProvider, Provider},
    rpc::types::{TransactionRequest, state::StateOverridesBuilder},
    sol_types::{Panic, Revert, SolCall, SolError, SolValue},
};
use alloy_primitives::{Address, Bytes, U256};
use serde::{Deserialize, Serialize};
use vouch_contracts::bindings::{Erc20, NonfungiblePositionManager as Positions};

use super::{Call, Expected, Refusal, price::Spot};
use crate::mandate::{
    Grant,
    abi::Multicall::{Call3, Result as Answer, aggregate3Call, getEthBalanceCall},
};

/// One number that the simulation or the mined transaction changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Of what: a token, zero for the chain's coin.
    pub token: Address,
    /// Whose.
    pub account: Address,
    /// In atomic units.
    pub before: U256,
    /// In atomic units.
    pub after: U256,
}

/// What is looked at before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Coin(Address),
    Balance {
        token: Address,
        account: Address,
    },
    Allowance {
        token: Address,
        spender: Address,
    },
    /// What a v3 position owes: token 0 and 1.
    Owed(U256),
}

/// A call that went through in simulation.
#[derive(Debug)]
pub(super) struct Simulated {
    watched: Vec<(Watch, [U256; 2], [U256; 2])>,
    owner: Address,
    /// What the pool gave before, where it is a swap.
    pub(super) spot: Option<u128>,
}

fn watches(grant: &Grant, call: &Call) -> Vec<Watch> {
    let owner = grant.mandate.owner;
    let tokens = grant.mandate.tokens();
    let mut watches = vec![Watch::Coin(owner)];
    watches.extend(tokens.iter().map(|token| Watch::Balance { token: *token, account: owner }));
    let allowances = grant.mandate.allowances();
    watches.extend(
        allowances
            .iter()
            .map(|(token, spender)| Watch::Allowance { token: *token, spender: *spender }),
    );
    match call.expected {
        Expected::Transfer { token, payee, .. } => {
            watches.push(Watch::Balance { token, account: payee });
            watches.push(Watch::Allowance { token, spender: payee });
        }
        Expected::Remove { position: Some(position), .. } | Expected::Collect { position, .. } => {
            watches.push(Watch::Owed(position));
        }
        _ => {}
    }
    watches
}

impl Watch {
    fn question(self, grant: &Grant, call: &Call, agent: Address) -> Call3 {
        let owner = grant.mandate.owner;
        let (target, data) = match self {
            Self::Coin(account) => (agent, getEthBalanceCall { account }.abi_encode()),
            Self::Balance { token, account } => {
                (token, Erc20::balanceOfCall { account }.abi_encode())
            }
            Self::Allowance { token, spender } => {
                (token, Erc20::allowanceCall { owner, spender }.abi_encode())
            }
            Self::Owed(position) => {
                (call.target, Positions::positionsCall { tokenId: position }.abi_encode())
            }
        };
        Call3 { target, allowFailure: true, callData: data.into() }
    }

    fn answer(self, call: &Call, answer: &Answer) -> Result<[U256; 2], Refusal> {
        if !answer.success {
            return Err(match self {
                Self::Owed(id) => Refusal::OtherPosition(id.to_string()),
                other => Refusal::Effects(format!("{other:?} cannot be read")),
            });
        }
        let Self::Owed(id) = self else {
            let value = U256::abi_decode(answer.returnData.get(..32).unwrap_or_default());
            let value =
                value.map_err(|_| Refusal::Effects(format!("{self:?} answers with no number")))?;
            return Ok([value, U256::ZERO]);
        };
        let position = Positions::positionsCall::abi_decode_returns(&answer.returnData)
            .map_err(|_| Refusal::OtherPosition(id.to_string()))?;
        let tokens = match call.expected {
            Expected::Remove { tokens, .. } | Expected::Collect { tokens, .. } => tokens,
            _ => return Err(Refusal::OtherPosition(id.to_string())),
        };
        if [position.token0, position.token1] != tokens {
            return Err(Refusal::OtherPosition(id.to_string()));
        }
        Ok([U256::from(position.tokensOwed0), U256::from(position.tokensOwed1)])
    }
}

/// Runs `redemption` (calldata of the manager) as the agent and reads what it changes.
pub(super) async fn simulate(
    provider: &DynProvider,
    grant: &Grant,
    call: &Call,
    redemption: Bytes,
    spot: Option<Spot>,
) -> Result<Simulated, Refusal> {
    let agent = grant.agent();
    let watches = watches(grant, call);
    let reads = || watches.iter().map(|watch| watch.question(grant, call, agent));
    let mut calls: Vec<Call3> = reads().collect();
    let manager = grant.contracts.manager;
    let before = spot.as_ref().map_or_else(Vec::new, |spot| vec![spot.question()]);
    let spot_at = before.first().map(|_| calls.len());
    calls.extend(before);
    let redeemed_at = calls.len();
    calls.push(Call3 { target: manager, allowFailure: true, callData: redemption });
    calls.extend(reads());
    let answers = ask(provider, agent, calls).await?;
    let missing = || Refusal::Rpc("the simulation's answer is cut short".into());
    let redeemed = answers.get(redeemed_at).ok_or_else(missing)?;
    if !redeemed.success {
        return Err(Refusal::Reverts(reason(&redeemed.returnData)));
    }
    let later = redeemed_at.saturating_add(1);
    let mut watched = Vec::with_capacity(watches.len());
    for (index, watch) in watches.iter().enumerate() {
        let read = |at: usize| {
            let answer = answers.get(at).ok_or_else(missing)?;
            watch.answer(call, answer)
        };
        watched.push((*watch, read(index)?, read(later.saturating_add(index))?));
    }
    let spot = match (spot, spot_at.and_then(|at| answers.get(at))) {
        (Some(spot), Some(answer)) => Some(spot.out(answer)?),
        _ => None,
    };
    Ok(Simulated { watched, owner: grant.mandate.owner, spot })
}

async fn ask(
    provider: &DynProvider,
    agent: Address,
    calls: Vec<Call3>,
) -> Result<Vec<Answer>, Refusal> {
    let code = vouch_contracts::artefacts().map_err(|error| Refusal::Rpc(error.to_string()))?;
    let code = Bytes::from_static(code.multicall.runtime);
    let overrides = StateOverridesBuilder::default().with_code(agent, code).build();
    let request = TransactionRequest::default()
        .to(agent)
        .input(Bytes::from(aggregate3Call { calls }.abi_encode()).into());
    let answer = provider.call(request).overrides(overrides).await;
    let answer = answer.map_err(|error| Refusal::Rpc(error.to_string()))?;
    aggregate3Call::abi_decode_returns(&answer).map_err(|error| Refusal::Rpc(error.to_string()))
}

/// Words for a revert; what a stranger's contract says is cut and quoted.
pub(super) fn reason(data: &[u8]) -> String {
    if let Ok(revert) = Revert::abi_decode(data) {
        return format!("{:?}", revert.reason.chars().take(200).collect::<String>());
    }
    if let Some(kind) = Panic::abi_decode(data).ok().and_then(|panic| panic.kind()) {
        return kind.as_str().to_owned();
    }
    match data.get(..4) {
        Some(selector) => {
            format!("with error {}", alloy_primitives::hex::encode_prefixed(selector))
        }
        None => "without a reason".to_owned(),
    }
}

impl Simulated {
    fn of(&self, wanted: Watch) -> Option<([U256; 2], [U256; 2])> {
        let found = self.watched.iter().find(|(watch, ..)| *watch == wanted)?;
        Some((found.1, found.2))
    }

    fn balance(&self, token: Address, account: Address) -> (U256, U256) {
        let of = self.of(Watch::Balance { token, account }).unwrap_or_default();
        (of.0[0], of.1[0])
    }

    fn gained(&self, token: Address) -> Option<u128> {
        let (before, after) = self.balance(token, self.owner);
        u128::try_from(after.checked_sub(before)?).ok()
    }

    fn lost(&self, token: Address, account: Address) -> Option<u128> {
        let (before, after) = self.balance(token, account);
        u128::try_from(before.checked_sub(after)?).ok()
    }

    /// Every balance that changed.
    pub(super) fn changes(&self) -> Vec<Change> {
        let changed = self.watched.iter().filter(|(_, before, after)| before != after);
        let change = |(watch, before, after): &(Watch, [U256; 2], [U256; 2])| {
            let (token, account) = match *watch {
                Watch::Coin(account) => (Address::ZERO, account),
                Watch::Balance { token, account } => (token, account),
                Watch::Allowance { .. } | Watch::Owed(_) => return None,
            };
            Some(Change { token, account, before: before[0], after: after[0] })
        };
        changed.filter_map(change).collect()
    }

    /// Whether it did what the call is for and nothing else. Gives the amounts that came: of a swap
    /// what was bought, of liquidity what moved of each token.
    pub(super) fn check(&self, expected: &Expected) -> Result<[u128; 2], Refusal> {
        self.nothing_else(expected)?;
        let wrong = |what: &str| Err(Refusal::Effects(what.to_owned()));
        match *expected {
            Expected::Transfer { token, payee, amount } => {
                let gained = self.balance(token, payee);
                if self.lost(token, self.owner) != Some(amount)
                    || gained.1.checked_sub(gained.0) != Some(U256::from(amount))
                {
                    return wrong("the token does not move as much as it is told");
                }
                Ok([amount, 0])
            }
            Expected::Swap { sell, buy, amount_in, min_out } => {
                if self.lost(sell, self.owner) != Some(amount_in) {
                    return wrong("the sold token does not leave as much as is sold");
                }
                match self.gained(buy) {
                    Some(out) if out >= min_out => Ok([out, 0]),
                    _ => wrong("less is bought than the minimum"),
                }
            }
            Expected::Add { tokens, minima } => {
                let lost = tokens.map(|token| self.lost(token, self.owner));
                match lost {
                    [Some(a), Some(b)] if a >= minima[0] && b >= minima[1] => Ok([a, b]),
                    _ => wrong("less is put in than the minimum, or tokens come back"),
                }
            }
            Expected::Remove { tokens, position: None, .. } => {
                match tokens.map(|token| self.gained(token)) {
                    [Some(a), Some(b)] => Ok([a, b]),
                    _ => wrong("tokens leave while liquidity is taken out"),
                }
            }
            Expected::Remove { position: Some(id), .. } => {
                let owed = self.of(Watch::Owed(id)).unwrap_or_default();
                let freed = |index: usize| {
                    let freed = owed.1.get(index)?.checked_sub(*owed.0.get(index)?)?;
                    u128::try_from(freed).ok()
                };
                match (freed(0), freed(1)) {
                    (Some(a), Some(b)) => Ok([a, b]),
                    _ => wrong("the position owes less than before"),
                }
            }
            Expected::Collect { tokens, .. } => match tokens.map(|token| self.gained(token)) {
                [Some(a), Some(b)] => Ok([a, b]),
                _ => wrong("tokens leave while fees are collected"),
            },
            Expected::Nothing => Ok([0, 0]),
        }
    }

    /// Only what the call is for changes; no allowance grows.
    fn nothing_else(&self, expected: &Expected) -> Result<(), Refusal> {
        let tokens = match *expected {
            Expected::Transfer { token, .. } => vec![token],
            Expected::Swap { sell, buy, .. } => vec![sell, buy],
            Expected::Add { tokens, .. }
            | Expected::Remove { tokens, .. }
            | Expected::Collect { tokens, .. } => tokens.to_vec(),
            Expected::Nothing => Vec::new(),
        };
        for (watch, before, after) in &self.watched {
            let fine = match watch {
                Watch::Coin(_) => before == after,
                Watch::Balance { token, .. } => before == after || tokens.contains(token),
                Watch::Allowance { .. } => after[0] <= before[0],
                Watch::Owed(_) => true,
            };
            if !fine {
                return Err(Refusal::Effects(format!("it also changes {watch:?}")));
            }
        }
        Ok(())
    }
}
