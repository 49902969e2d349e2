//! Moves money up the lineage: what is to be called, and the calls.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{providers::DynProvider, rpc::types::TransactionReceipt};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use vouch_contracts::bindings::RoyaltyVault::{
    RoyaltyVaultInstance, pullCall, sweepCall, withdrawCall,
};
use vouch_wallet::Wallet;

use super::{Graph, Royalties};
use crate::{Result, consent::signing, send::sent};

/// Calls of one transaction.
const CALLS: usize = 50;

/// One call of the vault. Each moves what is due, and nothing where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Takes in what lies at a node's receiver.
    Sweep(B256),
    /// Moves a share along an edge: of which child, and which of its parents.
    Pull(B256, usize),
    /// Pays a node's owner.
    Withdraw(B256),
}

/// What brings all that is due to the owners of `own`, in the order in which it flows: from what was
/// made of their nodes, children first, to them. `waiting`: what lies at each node's receiver. What is
/// less than `least` stays where it is.
#[must_use]
pub fn plan(
    graph: &Graph,
    royalties: &Royalties,
    own: &BTreeSet<B256>,
    waiting: &BTreeMap<B256, U256>,
    least: U256,
) -> Vec<Step> {
    let (made, least) = (graph.made_of(own), least.max(U256::from(1)));
    let (mut steps, mut comes) = (Vec::new(), BTreeSet::new());
    for books in royalties.nodes.iter().rev().filter(|books| made.contains(&books.node)) {
        let node = books.node;
        if waiting.get(&node).is_some_and(|amount| *amount >= least) {
            steps.push(Step::Sweep(node));
            comes.insert(node);
        }
        for (index, edge) in books.parents.iter().enumerate() {
            let due = edge.owed >= least || comes.contains(&node);
            if due && made.contains(&edge.parent) {
                steps.push(Step::Pull(node, index));
                comes.insert(edge.parent);
            }
        }
        if own.contains(&node) && (books.withdrawable >= least || comes.contains(&node)) {
            steps.push(Step::Withdraw(node));
        }
    }
    steps
}

/// An account's hand on the vault.
#[derive(Debug, Clone)]
pub struct Vault {
    contract: RoyaltyVaultInstance<DynProvider>,
    from: Address,
}

impl Vault {
    /// Writes as `wallet` to the vault at `address`.
    ///
    /// # Errors
    /// [`Error::Wallet`] if the key cannot sign transactions.
    pub fn new(provider: &DynProvider, address: Address, wallet: &Wallet) -> Result<Self> {
        let signing = signing(provider, wallet)?;
        let contract = RoyaltyVaultInstance::new(address, signing);
        Ok(Self { contract, from: wallet.address() })
    }

    /// Takes the steps in order, up to 50 in a transaction: all of one, or none.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Reverted`], [`Error::Unknown`]: then of this transaction and
    /// those after it.
    pub async fn take(&self, steps: &[Step], token: Address) -> Result<Vec<TransactionReceipt>> {
        let mut receipts = Vec::new();
        for steps in steps.chunks(CALLS) {
            let calls = steps.iter().map(|step| encoded(*step, token)).collect();
            let call = self.contract.multicall(calls);
            receipts.push(sent("the royalties", self.from, call).await?);
        }
        Ok(receipts)
    }
}

fn encoded(step: Step, token: Address) -> Bytes {
    let call = match step {
        Step::Sweep(node) => sweepCall { node, token }.abi_encode(),
        Step::Pull(child, index) => {
            pullCall { child, parentIndex: U256::from(index), token }.abi_encode()
        }
        Step::Withdraw(node) => withdrawCall { node, token }.abi_encode(),
    };
    call.into()
}
