//! The signer: the one holder of the agent's key, apart from strategy and model.
//!
//! ```text
//! intent ─▶ plan (mandate) ─▶ ledger ─▶ simulate, compare effects ─▶ sign ─▶ send ─▶ outcome
//!             └────────── refused, with a reason ──────────┘                    └─▶ act's receipt
//! ```
//! One act at a time: what was simulated is what is sent next. Whatever an act takes is in the
//! journal before its signature leaves, and a transaction whose fate is unknown blocks the next.

mod answer;
mod calldata;
mod client;
mod compare;
mod conclude;
mod error;
mod ledger;
mod outcome;
mod plan;
mod price;
mod record;
mod refusal;
mod send;
mod serve;
mod simulate;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use alloy::providers::DynProvider;
use alloy_primitives::{Address, B256};
use tokio::sync::Mutex;
use vouch_contracts::bindings::DelegationManager;
use vouch_core::domain::Domain;
use vouch_wallet::Wallet;

pub use client::{Client, ClientError};
pub use error::SignerError;
pub use ledger::{Amount, Ledger, Spend, Taken};
pub use outcome::{Mined, Moved, Outcome};
pub use plan::{Call, Expected, Plan, plan};
pub use refusal::Refusal;
pub use serve::{Query, Reply, Told, Used, serve, serve_lines};
pub use simulate::Change;

use crate::{
    act::{ActError, ActLog, Draft, Parties, Request},
    intent::Intent,
    mandate::{Delegation, Grant, Part, Use, hash_of, redeem},
};
use record::{Book, Sent};

/// Acts that are told at a time.
const MAX_ACTS: usize = 64;

/// Unix milliseconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a signer needs from outside.
pub struct Surroundings {
    /// The chain.
    pub provider: DynProvider,
    /// Unix milliseconds.
    pub clock: Clock,
    /// The agent's log.
    pub log: Arc<dyn ActLog>,
    /// Where the acts' receipts belong.
    pub domain: Domain,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// A signer for one mandate.
#[derive(Debug)]
pub struct Signer {
    grant: Grant,
    chains: BTreeMap<(usize, Use), Vec<Delegation>>,
    frame: B256,
    key: Wallet,
    parties: Parties,
    surroundings: Surroundings,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    book: Book,
    pools: BTreeMap<usize, Address>,
    /// An act could not be logged: nothing more is done.
    unlogged: bool,
}

impl Signer {
    /// Opens the signer whose journal is in `dir`.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn open(
        dir: &Path,
        grant: Grant,
        key: Wallet,
        surroundings: Surroundings,
    ) -> Result<Self, SignerError> {
        grant.mandate.check((surroundings.clock)() / 1_000)?;
        if key.address() != grant.agent() {
            return Err(SignerError::OtherKey { key: key.address(), agent: grant.agent() });
        }
        let compiled = grant.compiled()?;
        let chains = grant.chains()?.into_iter();
        let chains =
            chains.map(|(permission, usage, chain)| ((permission, usage), chain)).collect();
        let delegated = grant.made_in()?;
        let book = Book::open(dir, compiled.hash)?;
        let parties = Parties {
            domain: surroundings.domain,
            agent: key.address(),
            owner: grant.mandate.owner,
            terms: compiled.hash,
            delegated,
        };
        let state = Mutex::new(State { book, pools: BTreeMap::new(), unlogged: false });
        let frame = hash_of(&compiled.frame);
        Ok(Self { grant, chains, frame, key, parties, surroundings, state })
    }

    /// The mandate.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// What was used so far, as the signer counts.
    pub async fn ledger(&self) -> Ledger {
        self.state.lock().await.book.ledger.clone()
    }

    /// Answers what changes nothing.
    ///
    /// # Errors
    /// [`ActError`] if the log cannot be read.
    pub async fn tell(&self, query: &Query) -> Result<Told, ActError> {
        match query {
            Query::Used => {
                let ledger = self.ledger().await;
                Ok(Told::Used(Used {
                    calls: ledger.calls(),
                    dollars: Amount(ledger.dollars()),
                    dollars_left: Amount(ledger.dollars_left(&self.grant)),
                }))
            }
            Query::Acts { after } => {
                Ok(Told::Acts(self.surroundings.log.acts(*after, MAX_ACTS).await?))
            }
        }
    }

    fn provider(&self) -> &DynProvider {
        &self.surroundings.provider
    }

    /// Does what a request asks for if the mandate allows it, and logs what came of it. A refusal
    /// is an outcome like any other.
    pub async fn act(&self, request: &Request) -> Reply {
        let mut state = self.state.lock().await;
        if state.unlogged {
            return Reply { outcome: Refusal::Unlogged.into(), receipt: None };
        }
        let (mut outcome, charge) = match self.perform(&mut state, request).await {
            Ok(done) => done,
            Err(refusal) => (refusal.into(), (0, Address::ZERO)),
        };
        let receipt = self.log(request, &outcome, charge).await;
        state.unlogged = receipt.is_none();
        if let (Outcome::Settled { grant: Some(grant), .. }, Some(receipt)) =
            (&mut outcome, receipt)
        {
            grant.name_act(self.parties.terms, receipt, &self.key);
        }
        Reply { outcome, receipt }
    }

    async fn log(
        &self,
        request: &Request,
        outcome: &Outcome,
        charge: (u128, Address),
    ) -> Option<B256> {
        let time = (self.surroundings.clock)();
        let permission = self.grant.mandate.permissions.get(request.intent.permission());
        let act = Draft::new(&self.parties, permission, request, outcome, charge, time);
        let logged = match act {
            Ok(act) => self.surroundings.log.append(act).await,
            Err(error) => Err(error),
        };
        match logged {
            Ok(acknowledged) => Some(acknowledged.digest),
            Err(error) => {
                tracing::error!(%error, "the signer stops: nothing is done that is not logged");
                None
            }
        }
    }

    /// The outcome, and what it spent of which token.
    async fn perform(
        &self,
        state: &mut State,
        request: &Request,
    ) -> Result<(Outcome, (u128, Address)), Refusal> {
        self.settle_open(state).await?;
        let now = (self.surroundings.clock)() / 1_000;
        let plan = plan(&self.grant, &request.intent, now)?;
        let mut taken = state.book.ledger.admit(&self.grant, &plan, now)?;
        let Some(call) = &plan.call else {
            match request.intent {
                // What an answer cost is counted, whatever became of the mandate since.
                Intent::Answer { request: question, charge, .. } => {
                    let asks = self.grant.mandate.permissions.get(plan.permission);
                    let asks = asks.ok_or(Refusal::NoPermission(plan.permission))?;
                    return answer::settle(&mut state.book, asks, &question, charge, request);
                }
                Intent::Ask { request: question, .. } => taken.question = Some(question),
                _ => {}
            }
            self.check_not_revoked().await?;
            return self.off_chain(state, &plan, &taken);
        };
        let chain = self.chains.get(&(plan.permission, call.usage));
        let chain = chain.ok_or(Refusal::NoPermission(plan.permission))?;
        self.check_not_revoked().await?;
        let redemption = redeem(chain, call.target, &call.data);
        let simulated = self.simulate(state, &plan, call, redemption.clone()).await?;
        let manager = self.grant.contracts.manager;
        let chain_id = self.grant.mandate.chain;
        let signed = send::sign(self.provider(), &self.key, chain_id, manager, redemption).await?;
        let act = state.book.take(&taken)?;
        let sent = Sent {
            transaction: signed.transaction,
            raw: signed.raw,
            nonce: signed.nonce,
            taken,
            request: request.clone(),
        };
        state.book.sent(act, sent.clone())?;
        let receipt = send::send(self.provider(), &sent.raw, sent.transaction).await;
        let Some(receipt) = receipt else {
            let reason = "it was sent and is not mined yet".to_owned();
            return Ok((
                Outcome::Unknown { transaction: sent.transaction, reason },
                (0, Address::ZERO),
            ));
        };
        self.conclude(state, act, &sent, &receipt, simulated)
    }

    /// Asks and delegations: nothing goes to a chain.
    fn off_chain(
        &self,
        state: &mut State,
        plan: &Plan,
        taken: &Taken,
    ) -> Result<(Outcome, (u128, Address)), Refusal> {
        let grant = match plan.hands_on {
            0 => None,
            more => {
                let before = state.book.ledger.handed(plan.permission);
                let part = Part { before, limit: more, dollars: plan.dollars };
                let handed = self.grant.hand_on(plan.permission, part, &self.key);
                Some(Box::new(handed.map_err(|error| Refusal::Journal(error.to_string()))?))
            }
        };
        state.book.take(taken)?;
        let outcome =
            Outcome::Settled { mined: None, simulated: Vec::new(), moved: Vec::new(), grant };
        // Nothing is spent yet: the answer's receipt, or the sub-agent's acts, will say what is.
        Ok((outcome, (0, Address::ZERO)))
    }

    async fn check_not_revoked(&self) -> Result<(), Refusal> {
        let manager = DelegationManager::new(self.grant.contracts.manager, self.provider());
        match manager.disabledDelegations(self.frame).call().await {
            Ok(false) => Ok(()),
            Ok(true) => Err(Refusal::Revoked),
            Err(error) => Err(Refusal::Rpc(error.to_string())),
        }
    }
}
