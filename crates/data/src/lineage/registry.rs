//! The registry and the vault on the chain.

use alloy::{
    providers::{DynProvider, Provider},
    rpc::types::TransactionReceipt,
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEventInterface;
use vouch_contracts::bindings::{
    LineageRegistry::{LineageRegistryEvents, LineageRegistryInstance, Registered},
    RoyaltyVault::RoyaltyVaultEvents,
};
use vouch_wallet::Wallet;

use super::{Graph, Kind, Node};
use crate::{
    Error, Result,
    consent::{logs, signing},
    send::sent,
};

/// An account's hand on the lineage registry.
#[derive(Debug, Clone)]
pub struct Lineage {
    contract: LineageRegistryInstance<DynProvider>,
    from: Address,
}

impl Lineage {
    /// Writes as `wallet` to the registry at `address`.
    ///
    /// # Errors
    /// [`Error::Wallet`] if the key cannot sign transactions.
    pub fn new(provider: &DynProvider, address: Address, wallet: &Wallet) -> Result<Self> {
        let signing = signing(provider, wallet)?;
        let contract = LineageRegistryInstance::new(address, signing);
        Ok(Self { contract, from: wallet.address() })
    }

    /// Registers a node of this account.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the node is another owner's; [`Error::Refused`],
    /// [`Error::Reverted`], [`Error::Unknown`].
    pub async fn register(&self, node: &Node) -> Result<TransactionReceipt> {
        if node.owner != self.from {
            return Err(Error::malformed("lineage node", "its owner is another account"));
        }
        let (parents, shares) = node.parents.iter().copied().unzip();
        let call = self.contract.register(node.kind as u8, node.content, parents, shares);
        sent("the node", self.from, call).await
    }
}

/// Reads the whole graph from the registry's events.
///
/// # Errors
/// [`Error::Rpc`], or [`Error::Malformed`] if the events contradict the contract's rules.
pub async fn read(provider: &DynProvider, registry: Address) -> Result<Graph> {
    let head = provider.get_block_number().await.map_err(Error::rpc("for its height"))?;
    let mut graph = Graph::default();
    for log in logs(provider, registry, 0, head).await? {
        let event = LineageRegistryEvents::decode_log(&log.inner);
        let Ok(LineageRegistryEvents::Registered(event)) = event.map(|event| event.data) else {
            continue;
        };
        let id = graph.insert(node(&event)?)?;
        if id != event.node {
            return Err(Error::malformed(
                "lineage",
                format!("node {} has another name", event.node),
            ));
        }
    }
    Ok(graph)
}

fn node(event: &Registered) -> Result<Node> {
    let parents = event.parents.iter().copied().zip(event.sharesBps.iter().copied()).collect();
    Node::new(event.owner, Kind::try_from(event.kind)?, event.content, parents)
}

/// Money that the vault moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Movement {
    /// Came in at a node's receiver, net of the fee.
    Swept {
        /// The node.
        node: B256,
        /// What arrived.
        amount: U256,
        /// What the protocol kept of it.
        fee: U256,
    },
    /// Went along an edge.
    Pulled {
        /// From.
        child: B256,
        /// To.
        parent: B256,
        /// How much.
        amount: U256,
    },
    /// Was paid to a node's owner.
    Withdrawn {
        /// The node.
        node: B256,
        /// How much.
        amount: U256,
    },
}

/// All movements of one token, in the chain's order.
///
/// # Errors
/// [`Error::Rpc`].
pub async fn movements(
    provider: &DynProvider,
    vault: Address,
    token: Address,
) -> Result<Vec<Movement>> {
    let head = provider.get_block_number().await.map_err(Error::rpc("for its height"))?;
    let logs = logs(provider, vault, 0, head).await?;
    let movement = |log: &alloy::rpc::types::Log| match RoyaltyVaultEvents::decode_log(&log.inner)
        .ok()?
        .data
    {
        RoyaltyVaultEvents::Swept(e) if e.token == token => {
            Some(Movement::Swept { node: e.node, amount: e.amount, fee: e.fee })
        }
        RoyaltyVaultEvents::Pulled(e) if e.token == token => {
            Some(Movement::Pulled { child: e.child, parent: e.parent, amount: e.amount })
        }
        RoyaltyVaultEvents::Withdrawn(e) if e.token == token => {
            Some(Movement::Withdrawn { node: e.node, amount: e.amount })
        }
        _ => None,
    };
    Ok(logs.iter().filter_map(movement).collect())
}
