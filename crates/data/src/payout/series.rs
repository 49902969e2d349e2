//! `ContributionRoot` on the chain: written to, and read back from its events.

use alloy::{
    providers::{DynProvider, Provider},
    rpc::types::TransactionReceipt,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolEventInterface;
use serde::Serialize;
use vouch_contracts::bindings::{
    ContributionRoot::{self, ContributionRootEvents, ContributionRootInstance},
    TestDollar::TestDollarInstance,
};
use vouch_core::{domain::Domain, promise::SignedPromise, receipt::Receipt};
use vouch_wallet::Wallet;

use super::Tree;
use crate::{
    Error, Result,
    consent::{logs, signing},
    send::sent,
};

/// An account's hand on the contract that pays contributions.
#[derive(Debug, Clone)]
pub struct Contributions {
    contract: ContributionRootInstance<DynProvider>,
    from: Address,
}

impl Contributions {
    /// Writes as `wallet` to the contract at `address`.
    ///
    /// # Errors
    /// [`Error::Wallet`] if the key cannot sign transactions.
    pub fn new(provider: &DynProvider, address: Address, wallet: &Wallet) -> Result<Self> {
        let signing = signing(provider, wallet)?;
        let contract = ContributionRootInstance::new(address, signing);
        Ok(Self { contract, from: wallet.address() })
    }

    /// Opens a series of this account; returns its number.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Reverted`], [`Error::Unknown`].
    pub async fn open(
        &self,
        settlement: Address,
        token: Address,
        arbiter: Address,
        window: u64,
        bond: u128,
    ) -> Result<U256> {
        let call = self.contract.open(settlement, token, arbiter, window, bond);
        let receipt = sent("the series", self.from, call).await?;
        let opened =
            receipt.logs().iter().find_map(|log| {
                match ContributionRootEvents::decode_log(&log.inner).ok()?.data {
                    ContributionRootEvents::Opened(opened) => Some(opened.series),
                    _ => None,
                }
            });
        opened.ok_or_else(|| Error::malformed("series", "its transaction has no event"))
    }

    /// Proposes a tree, and approves what it adds and the bond.
    ///
    /// # Errors
    /// As [`Contributions::open`].
    pub async fn propose(
        &self,
        series: U256,
        tree: &Tree,
        until: u64,
    ) -> Result<TransactionReceipt> {
        let opened = self.contract.seriesOf(series).call().await;
        let opened = opened.map_err(Error::rpc("for the series"))?;
        let total = tree.total()?;
        let added = total.checked_sub(opened.total);
        let due = added.and_then(|added| added.checked_add(opened.bond));
        let due = due.ok_or_else(|| Error::Amount("the total is below the last root's".into()))?;
        let token = TestDollarInstance::new(opened.token, self.contract.provider().clone());
        let approve = token.approve(*self.contract.address(), U256::from(due));
        sent("the approval", self.from, approve).await?;
        let evidence = Bytes::from(tree.evidence()?);
        let call = self.contract.propose(series, tree.root(), total, until, evidence);
        sent("the root", self.from, call).await
    }

    /// Claims what a final tree adds for an account: by anyone, for it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the tree has no such account, and as [`Contributions::open`].
    pub async fn claim(
        &self,
        series: U256,
        tree: &Tree,
        account: Address,
    ) -> Result<TransactionReceipt> {
        let missing = || Error::NotFound { what: "account", id: account.to_string() };
        let (leaf, proof) = tree.proof(account).ok_or_else(missing)?;
        let call = self.contract.claim(series, account, leaf.cumulative, leaf.sequence, proof);
        sent("the claim", self.from, call).await
    }

    /// Challenges a root with a receipt that it may have left out; `bond` is approved.
    ///
    /// # Errors
    /// As [`Contributions::open`].
    pub async fn challenge(
        &self,
        series: U256,
        receipt: &Receipt,
        promise: &SignedPromise,
    ) -> Result<TransactionReceipt> {
        let opened = self.contract.seriesOf(series).call().await;
        let opened = opened.map_err(Error::rpc("for the series"))?;
        let token = TestDollarInstance::new(opened.token, self.contract.provider().clone());
        let approve = token.approve(*self.contract.address(), U256::from(opened.bond));
        sent("the approval", self.from, approve).await?;
        let call = self.contract.challengeWithReceipt(series, evidence(receipt, promise));
        sent("the challenge", self.from, call).await
    }

    /// Ends a challenge that had no answer.
    ///
    /// # Errors
    /// As [`Contributions::open`].
    pub async fn enforce(&self, series: U256) -> Result<TransactionReceipt> {
        sent("the end of the challenge", self.from, self.contract.enforce(series)).await
    }

    /// Answers a challenge with an account's leaf in the root that was challenged.
    ///
    /// # Errors
    /// As [`Contributions::claim`].
    pub async fn answer(
        &self,
        series: U256,
        tree: &Tree,
        account: Address,
    ) -> Result<TransactionReceipt> {
        let missing = || Error::NotFound { what: "account", id: account.to_string() };
        let (leaf, proof) = tree.proof(account).ok_or_else(missing)?;
        let call = self.contract.answer(series, leaf.cumulative, leaf.sequence, proof);
        sent("the answer", self.from, call).await
    }

    /// Takes the bonds and refunds that wait for this account; nothing is sent where none do.
    ///
    /// # Errors
    /// As [`Contributions::open`].
    pub async fn withdraw(&self, token: Address) -> Result<U256> {
        let waiting = self.contract.credits(token, self.from).call().await;
        let waiting = waiting.map_err(Error::rpc("for what waits"))?;
        if !waiting.is_zero() {
            sent("the withdrawal", self.from, self.contract.withdraw(token)).await?;
        }
        Ok(waiting)
    }
}

fn evidence(receipt: &Receipt, promise: &SignedPromise) -> ContributionRoot::Evidence {
    let promised = &promise.promise;
    ContributionRoot::Evidence {
        receipt: Bytes::copy_from_slice(&receipt.encode()),
        promised: ContributionRoot::Promise {
            root: promised.root,
            first: promised.first,
            count: promised.count,
            notBefore: promised.not_before,
            mergeBy: promised.merge_by,
        },
        signature: Bytes::copy_from_slice(&promise.signature.0),
        index: promise.index,
        path: promise.path.clone(),
    }
}

/// A root that was proposed, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposed {
    /// The root.
    pub root: B256,
    /// The sum of its leaves, as the publisher says.
    #[serde(with = "crate::decimal")]
    pub total: u128,
    /// Receipts of an earlier time are counted; Unix milliseconds.
    pub until: u64,
    /// Whether it became final.
    pub is_final: bool,
    /// Whether it was voided.
    pub is_void: bool,
    /// What the publisher gave with it.
    pub evidence: Bytes,
}

/// All that the chain says of a series.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Its number.
    pub series: U256,
    /// Who owes.
    pub publisher: Address,
    /// Where its receipts belong.
    #[serde(skip)]
    pub domain: Domain,
    /// What it pays in.
    pub token: Address,
    /// Roots, in order.
    pub proposals: Vec<Proposed>,
    /// What each account has claimed, in all.
    pub claimed: Vec<(Address, U256)>,
}

/// Reads a series from the chain's events, from block 0.
///
/// # Errors
/// [`Error::Rpc`], [`Error::NotFound`] if there is no such series.
pub async fn history(provider: &DynProvider, contract: Address, series: U256) -> Result<History> {
    let chain = provider.get_chain_id().await.map_err(Error::rpc("for its id"))?;
    let head = provider.get_block_number().await.map_err(Error::rpc("for its height"))?;
    let mut history: Option<History> = None;
    for log in logs(provider, contract, 0, head).await? {
        let Ok(event) = ContributionRootEvents::decode_log(&log.inner) else { continue };
        match (&mut history, event.data) {
            (none @ None, ContributionRootEvents::Opened(opened)) if opened.series == series => {
                *none = Some(History {
                    series,
                    publisher: opened.publisher,
                    domain: Domain { chain, settlement: opened.settlement },
                    token: opened.token,
                    proposals: Vec::new(),
                    claimed: Vec::new(),
                });
            }
            (Some(history), event) => history.apply(event),
            _ => {}
        }
    }
    history.ok_or_else(|| Error::NotFound { what: "series", id: series.to_string() })
}

impl History {
    fn apply(&mut self, event: ContributionRootEvents) {
        match event {
            ContributionRootEvents::Proposed(proposed) if proposed.series == self.series => {
                self.proposals.push(Proposed {
                    root: proposed.root,
                    total: proposed.total,
                    until: proposed.until,
                    is_final: false,
                    is_void: false,
                    evidence: proposed.evidence,
                });
            }
            ContributionRootEvents::Finalised(done) if done.series == self.series => {
                self.proposals.last_mut().into_iter().for_each(|last| last.is_final = true);
            }
            ContributionRootEvents::Voided(void) if void.series == self.series => {
                self.proposals.last_mut().into_iter().for_each(|last| last.is_void = true);
            }
            ContributionRootEvents::Claimed(claim) if claim.series == self.series => {
                self.claimed.retain(|(account, _)| *account != claim.account);
                self.claimed.push((claim.account, claim.cumulative));
            }
            _ => {}
        }
    }

    /// The newest root that is not void.
    #[must_use]
    pub fn newest(&self) -> Option<&Proposed> {
        self.proposals.iter().rev().find(|proposed| !proposed.is_void)
    }
}
